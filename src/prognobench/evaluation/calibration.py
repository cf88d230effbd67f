"""Logistic recalibration, for many weightings of the same patients at once.

statsmodels fits one weighting a call; a bootstrap needs a thousand. With one or two parameters
Newton's method is a few lines over a matrix of weights; statsmodels is the oracle of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prognobench.evaluation.patients import Array

ITERATIONS = 100
"""Newton steps; where the fit exists and no probability is near 0 or 1, ten are enough."""

PLAIN_ITERATIONS = 12
"""Steps without a look at the loss; a fit that has not been found by then is begun anew."""

NEAR = 1e-7
"""Length of a step after which a fit stands: the error left is about its square."""

FLAT = 1e-5
"""Largest slope of the mean log-likelihood before such a step: where probabilities are all 0 or 1
there is no curvature, and steps say nothing."""

LEAST_CURVATURE = 1e-9
"""Smallest mean curvature at which a plain step says where the optimum is; below it, rounding does,
and the answer would depend on where the steps began."""

SMALLEST_STEP = 1e-12
"""Length of a step at which a fit that takes care stands."""

TOLERANCE = 1e-8
"""Largest slope of the mean log-likelihood at which a fit counts as found."""

NOTHING = 1e-15
"""Slope of the mean log-likelihood that is rounding."""

LARGEST_STEP = 4.0
"""Steps of an intercept are cut to this length: a full step from afar can leave the domain."""

HALVINGS = 40
"""How often a step is halved at most, until it no longer raises the loss."""

BLOCK = 32768
"""Numbers that are worked on at once, so that they stay in the processor's cache."""


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
    design = np.ones((1, len(linear)))
    fit = np.full(len(weights), np.nan)
    rows = np.flatnonzero(solvable)
    found, intercept = _newton(design, linear, target, weights, rows)
    fit[rows] = intercept[0]
    rest = rows[~found]
    if len(rest):
        fit[rest] = _intercept_with_care(linear, target, weights[rest], total[rest])
    return fit


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
    _, _, spread = _moments(linear, weights)
    solvable = (spread > 1e-9) & _overlapping(linear, target, weights)
    fit = np.full(len(weights), np.nan)
    rows = np.flatnonzero(solvable)
    if not len(rows):
        return fit
    # Standardised, so that both parameters are of the same size.
    middle, scale = float(linear.mean()), float(linear.std())
    design = np.stack([np.ones_like(linear), (linear - middle) / scale])
    found, both = _newton(design, np.zeros_like(linear), target, weights, rows)
    fit[rows] = both[1] / scale
    rest = rows[~found]
    if len(rest):
        fit[rest] = _slope_with_care(linear, target, weights[rest])
    return fit


def _moments(linear: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return each weighting's sum of weights, and its mean and spread of the scores."""
    total = np.maximum(weights.sum(axis=1), 1e-12)
    centre, square = ((weights @ np.stack([linear, linear**2], axis=1)) / total[:, None]).T
    return total, centre, np.sqrt(np.maximum(square - centre**2, 0.0))


def _newton(
    design: Array,
    offset: Array,
    target: NDArray[np.int64],
    weights: Array,
    rows: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], Array]:
    """Fit one or two parameters by Newton's method, all weightings from the fit of their mean.

    The loss is convex: where the steps end, they end at the only optimum. Where they have not
    ended soon, the start was too far away, and a fit with care has to be made.

    Args:
        design: Of shape [k, n], with k of 1 or 2.
        offset: Added to the linear predictor, of shape [n].
        target: 1 or 0 for each.
        weights: Weights of shape [B, n].
        rows: The weightings to fit, R of them.

    Returns:
        Which were found, of shape [R], and their parameters of shape [k, R].
    """
    found = np.zeros(len(rows), dtype=bool)
    fit = np.zeros((len(design), len(rows)))
    if not len(rows):
        return found, fit
    own = weights if len(rows) == len(weights) else weights[rows]
    model = _Model.of(design, offset, target)
    mean = own.mean(axis=0, keepdims=True)
    alone = model.steps(mean, model.first_step(mean, np.zeros(len(design))))
    if len(own) == 1:
        return alone
    start = alone[1][:, 0]
    if not np.isfinite(start).all():
        start = np.zeros_like(start)
    size = max(1, BLOCK // max(1, len(offset)))
    for first in range(0, len(rows), size):
        block = own[first : first + size]
        ended = model.steps(block, model.first_step(block, start))
        found[first : first + size], fit[:, first : first + size] = ended
    return found, fit


@dataclass(frozen=True)
class _Model:
    """A logistic regression with k of 1 or 2 parameters on n patients, to be weighted.

    Attributes:
        predictors: Of shape [k + 1, n]: the design, and the offset, which has no parameter.
        design: Of shape [n, k].
        products: The products of its columns, of shape [n, 1 or 3].
        events: The design of the patients with the event, zero for the others.
    """

    predictors: Array
    design: Array
    products: Array
    events: Array

    @classmethod
    def of(cls, design: Array, offset: Array, target: NDArray[np.int64]) -> _Model:
        columns = np.ascontiguousarray(design.T)
        pairs = columns[:, [0, 0, 1]] * columns[:, [0, 1, 1]] if len(design) == 2 else columns
        return cls(np.vstack([design, offset]), columns, pairs, columns * target[:, None])

    def first_step(self, weights: Array, start: Array) -> Array:
        """Step from a point that all weightings share, whose probabilities are shared too."""
        probability = expit(np.append(start, 1.0) @ self.predictors)[:, None]
        gradient = weights @ (self.events - probability * self.design)
        curvature = weights @ (probability * (1.0 - probability) * self.products)
        stepped: Array = start[:, None] + _solved(gradient, curvature)
        return stepped

    def steps(self, weights: Array, fit: Array) -> tuple[NDArray[np.bool_], Array]:
        """Take plain steps from ``fit``, of shape [k, R]; returns as :func:`_newton`."""
        found = np.zeros(len(weights), dtype=bool)
        own, observed = weights, weights @ self.events
        total = np.maximum(weights.sum(axis=1), 1e-12)
        going = np.arange(len(weights))
        with np.errstate(all="ignore"):
            for _ in range(PLAIN_ITERATIONS):
                at = fit[:, going]
                probability = -np.vstack([at, np.ones(len(going))]).T @ self.predictors
                np.exp(probability, out=probability)
                probability += 1.0
                np.reciprocal(probability, out=probability)
                weighted = own * probability
                gradient = observed - weighted @ self.design
                probability *= weighted
                weighted -= probability
                curvature = weighted @ self.products
                step = _solved(gradient, curvature)
                at = at + step
                fit[:, going] = at
                near = (np.abs(step) <= NEAR * (1.0 + np.abs(at))).all(axis=0)
                near &= (np.abs(gradient) <= FLAT * total[:, None]).all(axis=1)
                near &= curvature[:, 0] >= LEAST_CURVATURE * total
                found[going] = near
                left = ~near & np.isfinite(at).all(axis=0)
                if not left.any():
                    break
                if np.count_nonzero(left) < 0.75 * len(left):
                    going, own, observed = going[left], own[left], observed[left]
                    total = total[left]
        return found, fit


def _solved(gradient: Array, curvature: Array) -> Array:
    """Return Newton's step, of shape [k, R], from a gradient and the curvature's upper half."""
    if gradient.shape[1] == 1:
        only: Array = (gradient / np.maximum(curvature, 1e-300)).T
        return only.clip(-LARGEST_STEP, LARGEST_STEP)
    (first, second), (h00, h01, h11) = gradient.T, curvature.T
    determinant = np.maximum(h00 * h11 - h01**2, 1e-300)
    step: Array = np.stack([h11 * first - h01 * second, h00 * second - h01 * first]) / determinant
    return step


def _intercept_with_care(
    linear: Array, target: NDArray[np.int64], weights: Array, total: Array
) -> Array:
    """Fit intercepts from 0 on, by short steps; NaN where none is found."""
    intercept = np.zeros(len(weights))
    gradient = np.full(len(weights), np.inf)
    for _ in range(ITERATIONS):
        probability = expit(linear + intercept[:, None])
        gradient = (weights * (target - probability)).sum(axis=1)
        curvature = (weights * probability * (1.0 - probability)).sum(axis=1)
        step = np.clip(gradient / np.maximum(curvature, 1e-300), -LARGEST_STEP, LARGEST_STEP)
        # Certain and right: a slope of nothing but rounding must not be followed.
        step = np.where(np.abs(gradient) <= NOTHING * total, 0.0, step)
        intercept = intercept + step
        if np.all(np.abs(step) <= SMALLEST_STEP * (1.0 + np.abs(intercept))):
            break
    return np.where(np.abs(gradient) <= TOLERANCE * np.maximum(total, 1e-12), intercept, np.nan)


def _slope_with_care(linear: Array, target: NDArray[np.int64], weights: Array) -> Array:
    """Fit slopes from 0 on, by steps that never raise the loss; NaN where none is found."""
    # Each weighting is standardised by itself: some are far from the others.
    total, centre, spread = _moments(linear, weights)
    place = (linear - centre[:, None]) / spread[:, None]
    design = np.stack([np.ones_like(place), place])
    fit = np.zeros((2, len(weights)))
    loss_at = partial(_loss, design, target, weights)
    loss = loss_at(fit)
    largest = np.full(len(weights), np.inf)
    for _ in range(ITERATIONS):
        probability = expit((fit[:, :, None] * design).sum(axis=0))
        gradient = (design * (weights * (target - probability))).sum(axis=-1)
        curvature = weights * probability * (1.0 - probability)
        halves = [
            (curvature * one * other).sum(axis=1)
            for one, other in ((design[0], design[0]), (place, design[0]), (place, place))
        ]
        largest = np.abs(gradient).max(axis=0) / total
        step, loss = _descend(fit, _solved(gradient.T, np.stack(halves, axis=1)), loss, loss_at)
        fit = fit + step
        if np.all(np.abs(step) <= SMALLEST_STEP * (1.0 + np.abs(fit))):
            break
    return np.where(largest <= TOLERANCE, fit[1] / spread, np.nan)


def _descend(
    fit: Array, step: Array, loss: Array, loss_at: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Halve steps until none raises the loss: the loss is convex, so this always succeeds.

    Args:
        fit: Intercepts and slopes, of shape [2, B].
        step: What Newton's method adds, of shape [2, B].
        loss: The loss at ``fit``, of shape [B].
        loss_at: Gives the loss at other intercepts and slopes.

    Returns:
        The steps to take, and the loss after them.
    """
    room = 1e-12 * (1.0 + np.abs(loss))  # what rounding may add near the optimum
    for _ in range(HALVINGS):
        after = loss_at(fit + step)
        # Not a number counts as higher.
        too_far = ~(after <= loss + room)
        if not too_far.any():
            break
        step = np.where(too_far, 0.5 * step, step)
    return step, after


def _loss(design: Array, target: NDArray[np.int64], weights: Array, fit: Array) -> Array:
    """Return the weighted negative log-likelihood for each weighting, of shape [B]."""
    linear = (fit[:, :, None] * design).sum(axis=0)
    total: Array = (weights * (np.logaddexp(0.0, linear) - target * linear)).sum(axis=1)
    return total


def _overlapping(linear: Array, target: NDArray[np.int64], weights: Array) -> NDArray[np.bool_]:
    """Say for each weighting whether the scores of the two classes overlap."""
    # Sorted, so that the ends of a class are the first and the last of its patients there.
    order = np.argsort(linear, kind="stable")
    scores, there = linear[order], weights[:, order] > 0
    event = target[order] == 1

    def ends(members: NDArray[np.bool_]) -> tuple[Array, Array, NDArray[np.bool_]]:
        own, values = there[:, members], scores[members]
        if not values.size:
            nothing = np.zeros(len(weights))
            return nothing, nothing, np.zeros(len(weights), dtype=bool)
        last = values.size - 1
        lowest = values[own.argmax(axis=1)]
        highest = values[last - own[:, ::-1].argmax(axis=1)]
        some: NDArray[np.bool_] = np.any(own, axis=1)
        return lowest, highest, some

    lowest_event, highest_event, some_events = ends(event)
    lowest_other, highest_other, some_others = ends(~event)
    crossed = (lowest_event < highest_other) & (highest_event > lowest_other)
    both: NDArray[np.bool_] = crossed & some_events & some_others
    return both
