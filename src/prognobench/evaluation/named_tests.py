"""The tests that are known by name, over what two candidates have both finished."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prognobench.evaluation.candidates import Key
from prognobench.evaluation.comparison import (
    Comparison,
    corrected_resampled_t,
    delong_over_folds,
)
from prognobench.evaluation.kinds import Patients
from prognobench.evaluation.paired import Candidate
from prognobench.evaluation.patients import PatientPredictions


def corrected_t(
    trained: Mapping[str, int], first: Candidate, second: Candidate, metric: str
) -> Comparison | None:
    """Return the corrected resampled t-test over folds or episodes.

    Args:
        trained: How many patients trained or validated each run.
        first: A candidate.
        second: Another.
        metric: The metric by which they are ranked.

    Returns:
        The test; None where fewer than two folds have a value of both.
    """
    own, other = ({unit.key: unit for unit in side.units} for side in (first, second))
    common = _common(first, second)
    pairs = [(own[key].valued[metric][0], other[key].valued[metric][0]) for key in common]
    pairs = [pair for pair in pairs if np.isfinite(pair).all()]
    if len(pairs) < 2:
        return None
    tested = np.mean([own[key].size[0] / trained[first.runs[key]] for key in common])
    left, right = zip(*pairs, strict=True)
    return corrected_resampled_t(left, right, float(tested))


def delong_of(
    patients: Mapping[str, Patients], first: Candidate, second: Candidate, confidence: float
) -> Comparison | None:
    """Return DeLong's test of the AUROC.

    Args:
        patients: The test patients of each run.
        first: A candidate.
        second: Another.
        confidence: Share of repetitions in which the interval holds the truth.

    Returns:
        The test; None where the outcome is no event, a patient is tested twice, or a fold has
        fewer than two patients of a class.
    """
    folds = [
        (left, right)
        for left, right in (
            (patients[first.runs[key]], patients[second.runs[key]])
            for key in _common(first, second)
        )
        if isinstance(left, PatientPredictions) and isinstance(right, PatientPredictions)
    ]
    tested = [patient for left, _ in folds for patient in left.patient_id]
    if len(set(tested)) != len(tested):
        return None
    scored = [(a.target, a.probability, b.probability) for a, b in folds]
    return delong_over_folds(scored, confidence)


def _common(first: Candidate, second: Candidate) -> list[Key]:
    return sorted(set(first.runs) & set(second.runs), key=repr)
