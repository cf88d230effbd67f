"""Resampling: how often each patient, and each few-shot episode, is drawn in each replicate.

No library resamples patients (rather than images) for many candidates at once with the same
draws, so the multiplicities are drawn here; the metrics take them as weights. Predictions are
kept fixed: the interval says how the estimate would move with other patients, not with a
repeated training (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13;
Field and Welsh 2007, J R Stat Soc B 69:369, for clusters).
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats

from prognobench.evaluation.patients import Array
from prognobench.randomness import generator

SMALLEST_DEFINED_SHARE = 0.5
"""Below this share of defined replicates no interval is given: what is left is no sample."""

SMALLEST_CLASS = 2
"""With fewer patients in a class, resampling it changes nothing and an interval would lie."""

FEW = 20
"""With fewer patients in the rarer class, coverage was measured outside 92 to 98 % for some
metrics (``benchmarks/coverage.py``), and the tables say so."""


@functools.lru_cache(maxsize=2)
def patient_multiplicities(patients: int, replicates: int, dataset: str, endpoint: str) -> Array:
    """Draw how often each patient is in each replicate.

    Not stratified by outcome: how many of a cohort have the event is a matter of chance as well,
    and average precision, MCC and Brier score move with it.

    Args:
        patients: Number n of patients of the cohort.
        replicates: Number of replicates B.
        dataset: Name of the cohort; with ``endpoint`` it decides the random stream, so that all
            candidates of a task meet the same draws.
        endpoint: Name of the endpoint.

    Returns:
        Weights of shape [1 + B, n], read-only. The first row is all ones: the data as they are.
    """
    random = generator("bootstrap", "patients", dataset, endpoint, replicates)
    weights = np.ones((1 + replicates, patients))
    if patients:
        equal = np.full(patients, 1.0 / patients)
        weights[1:] = random.multinomial(patients, equal, size=replicates)
    weights.flags.writeable = False
    return weights


@functools.lru_cache(maxsize=8)
def episode_multiplicities(
    episodes: int, replicates: int, dataset: str, endpoint: str, regime: str
) -> Array:
    """Draw how often each few-shot episode is in each replicate.

    Args:
        episodes: Number of episodes E.
        replicates: Number of replicates B.
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        regime: Name of the regime.

    Returns:
        Weights of shape [1 + B, E], read-only; the first row is all ones.
    """
    random = generator("bootstrap", "episodes", dataset, endpoint, regime, replicates)
    weights = np.ones((1 + replicates, episodes))
    weights[1:] = random.multinomial(episodes, np.full(episodes, 1.0 / episodes), size=replicates)
    weights.flags.writeable = False
    return weights


def percentile_interval(replicates: Array, confidence: float, rarer: int) -> tuple[float, float]:
    """Return the expanded percentile interval of replicates, leaving out undefined ones.

    Percentiles of few patients are too narrow, as a normal interval with an estimated spread
    is. The tails are therefore those that Student's distribution has beyond normal: its
    quantile, with as many degrees of freedom as the rarer class has patients, less one, takes
    the place of the normal one (Hesterberg 2015, The American Statistician 69:371, section 4).

    Args:
        replicates: Values of shape [B], NaN where the statistic is undefined.
        confidence: Share of repetitions in which the interval shall hold the truth, such as 0.95.
        rarer: Number of patients in the rarer class.

    Returns:
        The two ends; both NaN when fewer than half of the replicates are defined, or the rarer
        class has fewer than two patients.
    """
    if not has_interval(replicates, rarer):
        return float("nan"), float("nan")
    defined = replicates[np.isfinite(replicates)]
    tail = _tail(confidence, rarer)
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def has_interval(replicates: Array, rarer: int) -> bool:
    """Say whether replicates are enough for an interval: most are defined, and classes not tiny."""
    enough = max(1.0, SMALLEST_DEFINED_SHARE * len(replicates))
    return bool(np.isfinite(replicates).sum() >= enough and rarer >= SMALLEST_CLASS)


@functools.lru_cache(maxsize=4096)
def _tail(confidence: float, rarer: int) -> float:
    """Return the share of replicates beyond each end of an interval."""
    return float(stats.norm.sf(stats.t.isf((1.0 - confidence) / 2.0, rarer - 1)))
