"""The images of a task, as runs and controls are handed them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from prognobench.cohorts.outcome_kinds import BINARY, OtherOutcome


@dataclass(frozen=True)
class TaskImages:
    """The images of a task at one input size.

    Attributes:
        image_ids: Ids of the N images.
        patient_ids: Patient of each.
        targets: [N], the target of each image's patient, as
            :class:`~prognobench.training.job.Job` has it.
        pixels: uint8 [N, S, S]; may be memory-mapped.
        key: Hash of the pixels and their order.
        about: What else is known of each image: view, site and the clinical columns.
        outcome: Of what kind the targets are.
    """

    image_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.uint8]
    key: str
    about: pd.DataFrame
    outcome: OtherOutcome = BINARY

    @cached_property
    def names(self) -> dict[str, pd.api.extensions.ExtensionArray]:
        """The columns ``patient_id`` and ``image_id``: many runs take their rows from them."""
        columns = {"patient_id": self.patient_ids, "image_id": self.image_ids}
        return {name: pd.Series(values).array for name, values in columns.items()}
