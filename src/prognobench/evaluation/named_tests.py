"""The tests that are known by name, over what two candidates have both finished."""

from __future__ import annotations

import numpy as np

from prognobench.evaluation.candidates import Key
from prognobench.evaluation.comparison import (
    Comparison,
    corrected_resampled_t,
    delong_over_folds,
)
from prognobench.evaluation.paired import Candidate


def corrected_t(first: Candidate, second: Candidate) -> Comparison | None:
    """Return the corrected resampled t-test over folds or episodes.

    What the test counts are resamplings of the patients. Trainings of one split by several seeds
    are none: their values are averaged first, over the seeds that have a value of both.

    Args:
        first: A candidate.
        second: Another.

    Returns:
        The test; None where fewer than two folds have a value of both.
    """
    common = _common(first, second)
    left, right = (np.array([own.runs[key].value for key in common]) for own in (first, second))
    known = np.isfinite(left) & np.isfinite(right)
    kept = [key for key, own in zip(common, known, strict=True) if own]
    places: dict[Key, int] = {}
    # A key is a seed, then its split.
    place = [places.setdefault(key[1:], len(places)) for key in kept]
    if len(places) < 2:
        return None
    parts = [first.runs[key] for key in kept]
    tested = np.array([run.tested / run.trained for run in parts])
    counts = np.bincount(place)
    left, right, tested = (
        np.bincount(place, own) / counts for own in (left[known], right[known], tested)
    )
    return corrected_resampled_t(left, right, float(np.mean(tested)))


def delong_of(first: Candidate, second: Candidate, confidence: float) -> Comparison | None:
    """Return DeLong's test of the AUROC.

    Args:
        first: A candidate.
        second: Another.
        confidence: Share of repetitions in which the interval holds the truth.

    Returns:
        The test; None where the outcome is no event, a candidate tests a patient twice, or a fold
        has fewer than two patients of a class.
    """
    scored = []
    for key in _common(first, second):
        own, other = first.runs[key].scores, second.runs[key].scores
        if own is None or other is None:
            return None
        scored.append((own[0], own[1], other[1]))
    return delong_over_folds(scored, confidence)


def _common(first: Candidate, second: Candidate) -> list[Key]:
    """Return what both have finished, in the order in which candidates have their runs."""
    return [key for key in first.runs if key in second.runs]
