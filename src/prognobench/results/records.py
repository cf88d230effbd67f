"""What the store keeps of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from prognobench.cohorts.outcome_kinds import Kind


class RunState(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    NOT_FEASIBLE = "not_feasible"


_ROW = ("patient_id", "image_id", "part", "target")

PREDICTION_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "binary": (*_ROW, "logit", "probability"),
    "ordinal": (*_ROW, "score"),
    "time_to_event": (*_ROW, "log_hazard"),
}
"""The columns of stored predictions, by the kind of the outcome."""


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves.

    Attributes:
        predictions: One row an image: ``patient_id, image_id, part`` (train, val, test),
            ``target`` (0, 1), ``logit``, ``probability`` (the logistic function of the logit, raw);
            for an ordinal outcome ``target`` and the predicted ``score``, not rounded; for times
            ``target`` (negative where no event was seen) and ``log_hazard``, relative to the mean
            of the training images.
        validation_score: Score of the validation part by which learning rates are chosen, higher
            is better (a loss is negated); None without a validation part.
        prior_logit_shift: What class weighting or balanced drawing added to the logit (of an event
            that is seen, where times are predicted); subtracting
            it gives the logit at the cohort's own share of events.
        threshold: Probability at and above which an event is predicted, fixed before the
            test part was seen.
        trainable_parameters: Number of trained parameters, the head's included.
        train_seconds: Wall time of training and prediction.
        train_info: Further facts on the training, as plain data.
        kind: The kind of the outcome.
    """

    predictions: pd.DataFrame
    validation_score: float | None
    prior_logit_shift: float
    threshold: float
    trainable_parameters: int
    train_seconds: float
    train_info: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "binary"

    def file(self) -> bytes:
        """Return the Parquet file of the columns of the predictions that are stored."""
        # Arrow alone: what pandas notes of its types takes longer than all else, and says nothing
        # here that the columns do not. Ids hardly repeat, so a dictionary of them saves nothing.
        names = PREDICTION_COLUMNS[self.kind]
        table = pa.table({name: pa.array(self.predictions[name]) for name in names})
        stream = pa.BufferOutputStream()
        parquet.write_table(table, stream, use_dictionary=["part"])
        return bytes(stream.getvalue())

    def columns(self) -> dict[str, Any]:
        """Return what of it a store has in columns, besides the predictions."""
        return {
            "state": RunState.DONE,
            "reason": None,
            "validation_score": self.validation_score,
            "prior_logit_shift": self.prior_logit_shift,
            "threshold": self.threshold,
            "trainable_parameters": self.trainable_parameters,
            "train_seconds": self.train_seconds,
            "train_info": self.train_info,
        }


@dataclass(frozen=True)
class Outcome:
    """How a run ended, as it goes from one store to another.

    Attributes:
        run: Its id.
        columns: The columns :data:`~prognobench.results.schema.OUTCOME`.
        predictions: The Parquet file of its predictions; None when it failed.
    """

    run: str
    columns: dict[str, Any]
    predictions: bytes | None

    @property
    def is_whole(self) -> bool:
        """Whether the predictions are those that were written."""
        digest = hashlib.sha256(self.predictions or b"").hexdigest()
        return bool(digest == self.columns["predictions_sha256"])
