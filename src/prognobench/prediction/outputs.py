"""From what a model gives to predictions of a score or of a time, as the benchmark makes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.patients import by_patient, mean_by_patient
from prognobench.evaluation.scores import nearest_level
from prognobench.prediction.description import OutcomeDescription

Array = npt.NDArray[np.float64]

VALUES: Mapping[Kind, tuple[str, ...]] = {
    "ordinal": ("score", "level"),
    "time_to_event": ("log_hazard", "risk"),
}
"""The columns of predictions, by the kind of the outcome."""


def image_values(outcome: OutcomeDescription, given: Array) -> pd.DataFrame:
    """Return the predictions of images.

    Args:
        outcome: Of what kind the outcome is.
        given: What the model gives, [N]; NaN where there is no image.

    Returns:
        The columns of :data:`VALUES`.
    """
    if outcome.kind == "ordinal":
        score = outcome.score_mean + outcome.score_deviation * given
        return _judged(outcome, np.clip(score, 0, outcome.highest))
    return _judged(outcome, given - outcome.log_hazard_mean)


def patient_values(
    outcome: OutcomeDescription, images: pd.DataFrame, patients: npt.NDArray[np.object_]
) -> pd.DataFrame:
    """Return the predictions of patients: the mean over the images, which is then rounded.

    Args:
        outcome: Of what kind the outcome is.
        images: The predictions of images.
        patients: The patient of each.

    Returns:
        ``patient_id``, ``images`` and the columns of :data:`VALUES`, sorted by patient.
    """
    name, _ = VALUES[outcome.kind]
    values = images[name].to_numpy(dtype=np.float64)
    codes, names, counts, _ = by_patient(patients, np.zeros(len(values)))
    judged = _judged(outcome, mean_by_patient(values, codes, counts))
    return pd.DataFrame({"patient_id": names, "images": counts}).join(judged)


def _judged(outcome: OutcomeDescription, values: Array) -> pd.DataFrame:
    if outcome.kind == "ordinal":
        known = np.isfinite(values)
        level = pd.array(nearest_level(np.where(known, values, 0.0)), dtype="Int64")
        level[~known] = pd.NA
        return pd.DataFrame({"score": values, "level": level})
    risk = np.full(len(values), np.nan)
    if outcome.horizon is not None:
        risk = 1.0 - np.exp(-outcome.baseline_hazard * np.exp(np.clip(values, -500, 500)))
    return pd.DataFrame({"log_hazard": values, "risk": risk})
