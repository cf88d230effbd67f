"""Thresholds chosen on the validation part, which the test part never touches."""

from __future__ import annotations

import math

import numpy as np

from prognobench.evaluation.confusion_metrics import FIXED
from prognobench.evaluation.patients import PatientPredictions

TARGET_SENSITIVITY = 0.9


def choose_thresholds(
    fixed: float, validation: PatientPredictions | None
) -> dict[str, float | None]:
    """Choose the thresholds of a run.

    Args:
        fixed: The run's own threshold.
        validation: Its validation patients; None where it has none.

    Returns:
        Thresholds on the raw probability: ``fixed`` is the run's own; ``validated`` has the
        highest MCC on the validation part (of equal ones the nearest to ``fixed``);
        ``sensitive`` is the highest that finds 90 % of its events. The last two are None where
        there is no validation part with both outcomes. Each lies midway between two scores.
    """
    if validation is None or validation.positives in (0, len(validation.target)):
        return {"fixed": fixed, "validated": None, "sensitive": None}
    scores = np.unique(validation.probability)[::-1]
    # Midway to the next lower score: a cut on a patient's own score would hang by rounding.
    cuts = np.append((scores[:-1] + scores[1:]) / 2, scores[-1])
    event = validation.target == 1
    called = validation.probability >= cuts[:, None]
    counts = np.stack(
        [
            (called & event).sum(axis=1),
            (called & ~event).sum(axis=1),
            (~called & ~event).sum(axis=1),
            (~called & event).sum(axis=1),
        ],
        axis=1,
    ).astype(np.float64)
    mcc = FIXED[0].value(counts).round(12)
    best = np.flatnonzero(mcc == mcc.max())
    validated = cuts[best[np.argmin(np.abs(cuts[best] - fixed))]]
    enough = counts[:, 0] >= math.ceil(TARGET_SENSITIVITY * event.sum() - 1e-9)
    return {
        "fixed": fixed,
        "validated": float(validated),
        "sensitive": float(cuts[np.argmax(enough)]),
    }
