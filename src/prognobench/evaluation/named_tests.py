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
    seeds: dict[Key, list[Key]] = {}
    for key in _common(first, second):
        if np.isfinite(first.runs[key].value) and np.isfinite(second.runs[key].value):
            seeds.setdefault(key[1:], []).append(key)  # a key is a seed, then its split
    if len(seeds) < 2:
        return None
    left, right = (
        np.array([np.mean([own.runs[key].value for key in keys]) for keys in seeds.values()])
        for own in (first, second)
    )
    parts = [first.runs[keys[0]] for keys in seeds.values()]
    tested = np.mean([run.tested / run.trained for run in parts])
    return corrected_resampled_t(left, right, float(tested))


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
