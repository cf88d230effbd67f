"""What the store keeps of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd


class RunState(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    NOT_FEASIBLE = "not_feasible"


PREDICTION_COLUMNS = ("patient_id", "image_id", "part", "target", "logit", "probability")


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves.

    Attributes:
        predictions: One row an image: ``patient_id, image_id, part`` (train, val, test),
            ``target`` (0, 1), ``logit``, ``probability`` (the logistic function of the logit, raw).
        validation_score: Score of the validation part by which learning rates are chosen, higher
            is better (a loss is negated); None without a validation part.
        prior_logit_shift: What class weighting or balanced drawing added to the logit; subtracting
            it gives the logit at the cohort's own share of events.
        threshold: Probability at and above which an event is predicted, fixed before the
            test part was seen.
        trainable_parameters: Number of trained parameters, the head's included.
        train_seconds: Wall time of training and prediction.
        train_info: Further facts on the training, as plain data.
    """

    predictions: pd.DataFrame
    validation_score: float | None
    prior_logit_shift: float
    threshold: float
    trainable_parameters: int
    train_seconds: float
    train_info: dict[str, Any] = field(default_factory=dict)
