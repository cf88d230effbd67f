"""Tests for two candidates, and what holds when many are tested.

The bootstrap works for every metric. Beside it stand the tests that reviewers know by name:
DeLong's for the AUROC on the same patients, and the corrected resampled t-test for values of the
same cross-validation folds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from prognobench.evaluation.bootstrap import has_interval
from prognobench.evaluation.patients import Array


@dataclass(frozen=True)
class Comparison:
    """A difference between two candidates.

    Attributes:
        difference: First less second.
        low: Lower end of its interval.
        high: Upper end.
        p_value: Two-sided, in [0, 1]; NaN where the test is undefined. Both ends and the p-value
            are NaN where the standard error of a difference is 0: no spread is there to test by.
    """

    difference: float
    low: float
    high: float
    p_value: float


def delong(
    target: NDArray[np.int64], first: Array, second: Array, confidence: float = 0.95
) -> Comparison:
    """Compare the AUROC of two scores on the same patients.

    DeLong et al. 1988 (Biometrics 44:837), with the placement values from mid-ranks (Sun and Xu
    2014, IEEE Signal Processing Letters 21:1389). Each row must be a patient of its own.

    Args:
        target: 1 or 0 for each of n patients.
        first: Score of the first candidate, any monotone scale.
        second: Score of the second.
        confidence: Share of repetitions in which the interval holds the truth.

    Raises:
        ValueError: When a class has fewer than two patients, whose spread is then unknown.
    """
    event = target == 1
    if min(event.sum(), (~event).sum()) < 2:
        raise ValueError("DeLong's test needs two patients of each class")
    return _student(*_delong(event, first, second), math.inf, confidence)


def _delong(event: NDArray[np.bool_], first: Array, second: Array) -> tuple[float, float]:
    """Return the difference of two AUROC on the same patients, and its standard error."""
    placements = [_placements(score, event) for score in (first, second)]
    events = np.stack([above for above, _ in placements])
    others = np.stack([below for _, below in placements])
    covariance = np.cov(events) / events.shape[1] + np.cov(others) / others.shape[1]
    difference = float(events[0].mean() - events[1].mean())
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    return difference, error


def delong_over_folds(
    folds: Sequence[tuple[NDArray[np.int64], Array, Array]], confidence: float = 0.95
) -> Comparison | None:
    """Compare the mean AUROC over folds whose test patients are disjoint.

    Scores of different models share no scale, so each fold is compared alone; the folds' errors
    are independent, since no patient is in two of them.

    Args:
        folds: For each fold the targets and the scores of both candidates.
        confidence: As :func:`delong`.

    Returns:
        The comparison; None where a fold has not two patients of each class, or there is no fold.
    """
    if not folds or any(min(own.sum(), len(own) - own.sum()) < 2 for own, _, _ in folds):
        return None
    made = [_delong(target == 1, first, second) for target, first, second in folds]
    differences, errors = zip(*made, strict=True)
    error = math.hypot(*errors) / len(made)
    return _student(float(np.mean(differences)), error, math.inf, confidence)


def _student(
    difference: float, error: float, degrees: float, confidence: float = 0.95
) -> Comparison:
    """Compare by a difference, its standard error and the degrees of freedom of that error."""
    half = _quantile(confidence, degrees) * error
    if error < 1e-12:
        if abs(difference) >= 1e-12:
            return Comparison(difference, math.nan, math.nan, math.nan)
        p_value = 1.0
    else:
        far = -abs(difference) / error
        # What scipy.stats has for these takes fifty times as long for one number.
        tail = special.ndtr(far) if math.isinf(degrees) else special.stdtr(degrees, far)
        p_value = float(2 * tail)
    return Comparison(difference, difference - half, difference + half, p_value)


@functools.lru_cache(maxsize=4096)
def _quantile(confidence: float, degrees: float) -> float:
    """Return how many standard errors an interval reaches to either side."""
    return float(stats.t.isf((1 - confidence) / 2, degrees))


def _placements(score: Array, event: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return for each event the share of others below it, and for each other of events above."""
    below = _below(np.sort(score[~event]), score[event]) / int((~event).sum())
    above = 1.0 - _below(np.sort(score[event]), score[~event]) / int(event.sum())
    return below, above


def _below(ordered: Array, score: Array) -> Array:
    """Return how many of an ordered array are below each score, equal ones counting half."""
    places = [np.searchsorted(ordered, score, side) for side in ("left", "right")]
    counts: Array = (places[0] + places[1]) / 2
    return counts


def corrected_resampled_t(
    first: Sequence[float] | Array,
    second: Sequence[float] | Array,
    test_share: float,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two candidates by their values on the same folds of a (repeated) cross-validation.

    The training parts of folds overlap, so that a plain paired t-test rejects far too often; the
    variance of the mean is enlarged to (1/k + n_test/n_train) times that of the differences
    (Nadeau and Bengio 2003, Machine Learning 52:239; Bouckaert and Frank 2004, PAKDD).

    Args:
        first: Values of the first candidate, one a fold and repetition.
        second: Values of the second, in the same order.
        test_share: Number of test patients divided by that of training patients, above 0; 0.25
            for 5 folds without a validation part.
        confidence: Share of repetitions in which the interval holds the truth.

    Returns:
        The comparison; ends and p-value NaN with fewer than two folds.
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    folds = len(differences)
    mean = float(differences.mean())
    if folds < 2:
        return Comparison(mean, float("nan"), float("nan"), float("nan"))
    error = math.sqrt((1.0 / folds + test_share) * float(differences.var(ddof=1)))
    return _student(mean, error, folds - 1, confidence)


def bootstrap_t(values: Array, rarer: int, confidence: float = 0.95) -> Comparison:
    """Compare two candidates by the bootstrapped standard error of their difference.

    Student's t with the bootstrap's standard error (Efron and Tibshirani 1993, An Introduction to
    the Bootstrap, section 12.4). The degrees of freedom are those of two groups of the size of the
    rarer class, 2 (r - 1): the error of a metric comes from both classes, and the smaller one
    decides how well it is known. The replicates' percentiles are not taken: those of the average
    precision lie to one side of the estimate, and a test by them seldom rejects
    (``benchmarks/coverage.py``).

    Args:
        values: The difference and its B replicates, of shape [1 + B], NaN where undefined.
        rarer: Number r of patients in the rarer class.
        confidence: As :func:`delong`.

    Returns:
        The comparison; ends and p-value NaN when fewer than half of the replicates are defined, or
        the rarer class has fewer than two patients.
    """
    difference = float(values[0])
    known = np.isfinite(values)
    if not has_interval(values[1:], rarer) or not known[0] or known.sum() < 3:
        return Comparison(difference, float("nan"), float("nan"), float("nan"))
    error = float(np.nanstd(values[1:], ddof=1))
    return _student(difference, error, 2 * (rarer - 1), confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979, Scand J Stat 6:65), in their order.

    Undefined ones (NaN) stay undefined and do not count.
    """
    given = np.asarray(p_values, dtype=float)
    corrected = np.full(len(given), np.nan)
    known = np.flatnonzero(np.isfinite(given))
    order = known[np.argsort(given[known], kind="stable")]
    # The smallest is multiplied by the number of all, the next by one less, and none may be
    # smaller than one before it.
    enlarged = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(enlarged), 1.0)
    return [float(value) for value in corrected]
