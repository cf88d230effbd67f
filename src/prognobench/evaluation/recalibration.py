"""Recalibration of predicted probabilities by what was predicted for patients out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from prognobench.evaluation.calibration import fit_intercept, fit_slope
from prognobench.evaluation.patients import Array

Method = Literal["none", "intercept", "logistic"]

METHODS: tuple[Method, ...] = ("none", "intercept", "logistic")
"""From the simplest to the one with most parameters."""

SMALLEST = 1e-12
"""Probabilities are kept that far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True)
class Recalibration:
    """A map of probabilities: ``expit(intercept + slope * logit(p))``.

    With both parameters it is Cox's recalibration (Cox 1958, Biometrika 45:562), which is Platt's
    scaling (1999) of a logit; with the slope at 1 it moves the mean alone.

    Attributes:
        method: ``none`` (the identity), ``intercept`` or ``logistic``.
        intercept: What is added to the logit.
        slope: What the logit is multiplied with, above 0, so that no order changes.
    """

    method: Method = "none"
    intercept: float = 0.0
    slope: float = 1.0

    def __call__(self, probability: Array) -> Array:
        """Return recalibrated probabilities, in [0, 1]."""
        if self.method == "none":
            return probability
        linear = logit(np.clip(probability, SMALLEST, 1.0 - SMALLEST))
        calibrated: Array = expit(self.intercept + self.slope * linear)
        return calibrated


@dataclass(frozen=True)
class RecalibrationFit:
    """A recalibration with what it was judged by.

    Attributes:
        chosen: The recalibration.
        patients: How many patients it was fitted to.
        events: How many of them had the event.
        log_loss: Per method that could be fitted, the mean log-loss of patients whose fold took
            no part in the fit.
        brier: Likewise the Brier score.
        reason: Why no recalibration was fitted, or why a method was left out.
    """

    chosen: Recalibration
    patients: int
    events: int
    log_loss: dict[str, float]
    brier: dict[str, float]
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "method": self.chosen.method,
            "intercept": self.chosen.intercept,
            "slope": self.chosen.slope,
            "patients": self.patients,
            "events": self.events,
            "cross_fitted_log_loss": self.log_loss,
            "cross_fitted_brier": self.brier,
            "reason": self.reason,
        }


def fit(method: Method, probability: Array, target: NDArray[np.int64]) -> Recalibration | None:
    """Fit one method by maximum likelihood.

    Returns:
        The recalibration; None where there is no finite fit, or its slope would turn the order
        of patients round.
    """
    if method == "none":
        return Recalibration()
    linear = logit(np.clip(probability, SMALLEST, 1.0 - SMALLEST))
    weights = np.ones((1, len(target)))
    slope = float(fit_slope(linear, target, weights)[0]) if method == "logistic" else 1.0
    if not np.isfinite(slope) or slope <= 0.0:
        return None
    # At the joint optimum the intercept is the best one beside that slope.
    intercept = float(fit_intercept(slope * linear, target, weights)[0])
    return Recalibration(method, intercept, slope) if np.isfinite(intercept) else None


def choose_recalibration(
    probability: Array,
    target: NDArray[np.int64],
    groups: Sequence[Any],
    methods: Sequence[Method] = METHODS,
) -> RecalibrationFit:
    """Fit a recalibration, and choose among methods by patients it was not fitted to.

    For each group of patients (a test fold), each method is fitted to the other groups; the
    method with the lowest log-loss over all patients so held out is fitted to everybody. Of
    equal ones the simpler is taken, so that nothing is moved without a reason.

    Args:
        probability: Out-of-fold probability of each patient, in [0, 1].
        target: 1 or 0 for each.
        groups: What was tested together, for each patient.
        methods: The methods to choose from.
    """
    events = int(target.sum())
    codes = np.unique([str(group) for group in groups], return_inverse=True)[1]
    losses: dict[str, float] = {}
    briers: dict[str, float] = {}
    left_out: list[str] = []
    for method in methods:
        held_out = _cross_fitted(method, probability, target, codes)
        if held_out is None or fit(method, probability, target) is None:
            left_out.append(method)
            continue
        clipped = np.clip(held_out, SMALLEST, 1.0 - SMALLEST)
        likelihood = np.where(target == 1, clipped, 1.0 - clipped)
        losses[method] = float(-np.log(likelihood).mean())
        briers[method] = float(((held_out - target) ** 2).mean())
    known = [method for method in methods if method in losses]
    best = min(known, key=lambda method: round(losses[method], 12), default=None)
    chosen = (fit(best, probability, target) if best else None) or Recalibration()
    reason = None
    if left_out:
        reason = f"{' and '.join(left_out)} could not be fitted to every part of these patients"
    return RecalibrationFit(chosen, len(target), events, losses, briers, reason)


def _cross_fitted(
    method: Method, probability: Array, target: NDArray[np.int64], codes: NDArray[np.int64]
) -> Array | None:
    """Return each patient's probability by a fit to the other groups; None where one fails."""
    found = np.empty_like(probability)
    for code in np.unique(codes):
        own = codes == code
        fitted = fit(method, probability[~own], target[~own]) if not own.all() else None
        if method == "none":
            fitted = Recalibration()
        if fitted is None:
            return None
        found[own] = fitted(probability[own])
    return found
