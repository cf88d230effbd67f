"""Logistic recalibration, for many weightings of the same patients at once.

statsmodels fits one weighting a call; a bootstrap needs a thousand. With one or two parameters
Newton's method is a few lines over a matrix of weights; statsmodels is the oracle of the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prognobench.evaluation.patients import Array

ITERATIONS = 100
"""Newton steps; where the fit exists and no probability is near 0 or 1, ten are enough."""

SMALLEST_STEP = 1e-12
"""Length of a step at which a fit stands."""

TOLERANCE = 1e-8
"""Largest slope of the mean log-likelihood at which a fit counts as found."""

LARGEST_STEP = 4.0
"""Steps are cut to this length, since a full step from afar can leave the domain."""


def fit_intercept(linear: Array, target: NDArray[np.int64], weights: Array) -> Array:
    """Fit the intercept of a logistic regression with ``linear`` as offset.

    Args:
        linear: Logit of the predicted probability, of shape [n].
        target: 1 or 0 for each.
        weights: Weights of shape [B, n], at least 0.

    Returns:
        Intercepts of shape [B]; NaN where one class has no weight.
    """
    events = weights @ (target == 1).astype(np.float64)
    total = weights.sum(axis=1)
    solvable = (events > 0) & (events < total)
    intercept = np.zeros(len(weights))
    gradient = np.full(len(weights), np.inf)
    for _ in range(ITERATIONS):
        probability = expit(linear + intercept[:, None])
        gradient = (weights * (target - probability)).sum(axis=1)
        curvature = (weights * probability * (1.0 - probability)).sum(axis=1)
        step = gradient / np.maximum(curvature, 1e-300)
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP) * solvable
        intercept = intercept + step
        if np.all(np.abs(step) <= SMALLEST_STEP * (1.0 + np.abs(intercept))):
            break
    found = solvable & (np.abs(gradient) <= TOLERANCE * np.maximum(total, 1e-12))
    return np.where(found, intercept, np.nan)


def fit_slope(linear: Array, target: NDArray[np.int64], weights: Array) -> Array:
    """Fit the slope of a logistic regression of the target on ``linear``, with an intercept.

    Args:
        linear: Logit of the predicted probability, of shape [n].
        target: 1 or 0 for each.
        weights: Weights of shape [B, n], at least 0.

    Returns:
        Slopes of shape [B]; NaN where no finite slope fits: one class has no weight, all scores
        are equal, or they separate the classes.
    """
    total = np.maximum(weights.sum(axis=1), 1e-12)
    centre = (weights @ linear) / total
    spread = np.sqrt(np.maximum((weights @ linear**2) / total - centre**2, 0.0))
    solvable = (spread > 1e-9) & _overlapping(linear, target, weights)
    scale = np.where(solvable, spread, 1.0)
    # Standardised, so that both parameters are of the same size.
    place = (linear - centre[:, None]) / scale[:, None]
    intercept, slope = np.zeros(len(weights)), np.zeros(len(weights))
    largest = np.full(len(weights), np.inf)
    for _ in range(ITERATIONS):
        probability = expit(intercept[:, None] + slope[:, None] * place)
        residual = weights * (target - probability)
        first, second = residual.sum(axis=1), (residual * place).sum(axis=1)
        curvature = weights * probability * (1.0 - probability)
        h00 = curvature.sum(axis=1)
        h01 = (curvature * place).sum(axis=1)
        h11 = (curvature * place**2).sum(axis=1)
        determinant = np.maximum(h00 * h11 - h01**2, 1e-300)
        steps = np.stack([h11 * first - h01 * second, h00 * second - h01 * first]) / determinant
        length = np.maximum(np.abs(steps).max(axis=0), 1e-300)
        steps = steps * np.minimum(1.0, LARGEST_STEP / length) * solvable
        intercept, slope = intercept + steps[0], slope + steps[1]
        largest = np.maximum(np.abs(first), np.abs(second)) / total
        if np.all(np.abs(steps) <= SMALLEST_STEP * (1.0 + np.abs(slope))):
            break
    return np.where(solvable & (largest <= TOLERANCE), slope / scale, np.nan)


def _overlapping(linear: Array, target: NDArray[np.int64], weights: Array) -> NDArray[np.bool_]:
    """Say for each weighting whether the scores of the two classes overlap."""
    event = target == 1
    there = weights > 0

    def extreme(members: NDArray[np.bool_], sign: float) -> Array:
        values = np.where(there & members, sign * linear, -np.inf)
        highest: Array = sign * values.max(axis=1, initial=-np.inf)
        return highest

    lowest_event, highest_event = extreme(event, -1.0), extreme(event, 1.0)
    lowest_other, highest_other = extreme(~event, -1.0), extreme(~event, 1.0)
    crossed = (lowest_event < highest_other) & (highest_event > lowest_other)
    both: NDArray[np.bool_] = crossed & (there & event).any(axis=1) & (there & ~event).any(axis=1)
    return both
