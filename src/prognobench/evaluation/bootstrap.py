"""Resampling: how often each patient, and each few-shot episode, is drawn in each replicate.

No library resamples patients (rather than images) for many candidates at once with the same
draws, so the multiplicities are drawn here; the metrics take them as weights. Predictions are
kept fixed: the interval says how the estimate would move with other patients, not with a
repeated training (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13;
Field and Welsh 2007, J R Stat Soc B 69:369, for clusters).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prognobench.evaluation.patients import Array
from prognobench.randomness import generator

SMALLEST_DEFINED_SHARE = 0.5
"""Below this share of defined replicates no interval is given: what is left is no sample."""

SMALLEST_CLASS = 2
"""With fewer patients in a class, resampling it changes nothing and an interval would lie."""


def patient_multiplicities(
    target: NDArray[np.int64], replicates: int, dataset: str, endpoint: str
) -> Array:
    """Draw how often each patient is in each replicate, stratified by outcome.

    Stratified, so that each replicate has the events of the cohort and none is lost to a
    one-class sample.

    Args:
        target: 1 or 0 for each of n patients of the cohort.
        replicates: Number of replicates B.
        dataset: Name of the cohort; with ``endpoint`` it decides the random stream, so that all
            candidates of a task meet the same draws.
        endpoint: Name of the endpoint.

    Returns:
        Weights of shape [1 + B, n]. The first row is all ones: the data as they are.
    """
    random = generator("bootstrap", "patients", dataset, endpoint, replicates)
    weights = np.ones((1 + replicates, len(target)))
    for outcome in (0, 1):
        members = np.flatnonzero(target == outcome)
        if len(members):
            equal = np.full(len(members), 1.0 / len(members))
            weights[1:, members] = random.multinomial(len(members), equal, size=replicates)
    return weights


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
        Weights of shape [1 + B, E]; the first row is all ones.
    """
    random = generator("bootstrap", "episodes", dataset, endpoint, regime, replicates)
    weights = np.ones((1 + replicates, episodes))
    weights[1:] = random.multinomial(episodes, np.full(episodes, 1.0 / episodes), size=replicates)
    return weights


def percentile_interval(replicates: Array, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of replicates, leaving out undefined ones.

    Args:
        replicates: Values of shape [B], NaN where the statistic is undefined.
        confidence: Share of the replicates the interval holds, such as 0.95.

    Returns:
        The two ends; both NaN when fewer than half of the replicates are defined.
    """
    defined = replicates[np.isfinite(replicates)]
    if len(defined) == 0 or len(defined) < SMALLEST_DEFINED_SHARE * len(replicates):
        return float("nan"), float("nan")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)
