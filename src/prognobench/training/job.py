"""What the engine is handed: images, targets and who is in which part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True)
class Job:
    """The data of one run.

    Attributes:
        run: Id of the run; every random stream of its training is derived from it.
        images: uint8 [N, 1, S, S], all images of the task on the device; runs share it.
        targets: int64 [N], 0 or 1, the target of each image's patient.
        rows: For each of the parts ``train``, ``val`` and ``test``, indices of its images.
        prevalence: Share of events among all patients outside the test part, in (0, 1).
    """

    run: str
    images: torch.Tensor
    targets: npt.NDArray[np.int64]
    rows: dict[str, npt.NDArray[np.int64]]
    prevalence: float

    @property
    def fixed_steps(self) -> bool:
        """Whether training takes a fixed number of steps, for want of a validation part."""
        return len(self.rows["val"]) == 0


def prior_logit_shift(job: Job, class_weighting: str) -> float:
    """Return what the training's own share of events adds to the logit.

    A model trained on classes weighted to equal shares learns the logit at a share of one
    half; the difference to the logit of the true share is constant (prior correction, Saerens
    et al. 2002, Neural Computation 14:21).

    Args:
        job: The run's data.
        class_weighting: ``balanced`` or ``none``.

    Returns:
        logit(share in training) - logit(prevalence); subtract it from a predicted logit.
    """
    trained = 0.5 if class_weighting == "balanced" else job.targets[job.rows["train"]].mean()
    return float(_logit(trained) - _logit(job.prevalence))


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
