"""Metrics of the probability: its error, its calibration, and what decisions on it are worth."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import logit

from prognobench.evaluation.calibration import fit_intercept, fit_slope
from prognobench.evaluation.metric import Metric, Need, mean_of, ratio
from prognobench.evaluation.patients import Array
from prognobench.evaluation.sample import Sample

_SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept that far from 0 and 1, as scikit-learn does: a certain error costs 36."""

BINS = 10
"""Bins of equal width of the expected calibration error."""

THRESHOLD_PROBABILITIES = (0.1, 0.2, 0.3)
"""Risks at which net benefit is tabulated; the decision curve has them all."""


def _probability(sample: Sample, *, raw: bool) -> Array:
    return np.clip(sample.probability if raw else sample.corrected, _SMALLEST, 1.0 - _SMALLEST)


def _brier(sample: Sample) -> Array:
    return sample.mean_loss((sample.corrected - sample.target) ** 2)


def _brier_raw(sample: Sample) -> Array:
    return sample.mean_loss((sample.probability - sample.target) ** 2)


def _log_loss(sample: Sample) -> Array:
    probability = _probability(sample, raw=False)
    return sample.mean_loss(-np.log(np.where(sample.target == 1, probability, 1.0 - probability)))


def _slope(sample: Sample, *, raw: bool) -> Array:
    return fit_slope(logit(_probability(sample, raw=raw)), sample.target, sample.weights)[:, None]


def _intercept(sample: Sample, *, raw: bool) -> Array:
    linear = logit(_probability(sample, raw=raw))
    return fit_intercept(linear, sample.target, sample.weights)[:, None]


def _bins(sample: Sample, *, raw: bool) -> Array:
    """Return, of shape [B, 3 x bins]: a bin's weight, summed probability and events."""
    probability = sample.probability if raw else sample.corrected
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    member = (place[:, None] == np.arange(BINS)).astype(np.float64)
    columns = [member, member * probability[:, None], member * sample.target[:, None]]
    statistics: Array = sample.weights @ np.concatenate(columns, axis=1)
    return statistics


def _expected_calibration_error(statistics: Array) -> Array:
    weight, predicted, observed = np.split(statistics, 3, axis=-1)
    return ratio(np.abs(predicted - observed).sum(axis=-1), weight.sum(axis=-1))


def _decision(sample: Sample, *, risk: float) -> Array:
    """Return, of shape [B, 3]: true positives, false positives, patients, at a risk."""
    called = sample.corrected >= risk
    event = sample.target == 1
    columns = [event & called, ~event & called, np.ones_like(event)]
    statistics: Array = sample.weights @ np.stack(columns, axis=1).astype(np.float64)
    return statistics


def _net_benefit(statistics: Array, *, risk: float) -> Array:
    true, false, patients = np.moveaxis(statistics, -1, 0)
    return ratio(true - false * risk / (1.0 - risk), patients)


def _only(statistics: Array) -> Array:
    return statistics[..., 0]


def _entropy(patients: int, events: int) -> float:
    prevalence = events / patients
    if prevalence in (0.0, 1.0):
        return 0.0
    other = 1.0 - prevalence
    return float(-prevalence * np.log(prevalence) - other * np.log(other))


_RAW = {False: "after the training's prior was taken back", True: "as the model gave it"}

ERROR = (
    Metric(
        "brier",
        "Brier score",
        "Mean squared error of the predicted probability, after the prior that the training's "
        "weighting added was taken back; lower is better.",
        "Brier 1950, Monthly Weather Review 78:1",
        _brier,
        mean_of,
        "sum",
        higher_is_better=False,
        reads="score",
        chance=lambda patients, events: events / patients * (1.0 - events / patients),
    ),
    Metric(
        "brier_raw",
        "Brier score, raw",
        "Mean squared error of the predicted probability as the model gave it; class weighting "
        "makes it worse without making the ranking better.",
        "Brier 1950, Monthly Weather Review 78:1",
        _brier_raw,
        mean_of,
        "sum",
        higher_is_better=False,
        reads="score",
        chance=lambda patients, events: events / patients * (1.0 - events / patients),
    ),
    Metric(
        "log_loss",
        "Log loss",
        "Mean negative log-likelihood (natural logarithm) of the corrected probability; it "
        "punishes certain errors hardest.",
        "Good 1952, J R Stat Soc B 14:107",
        _log_loss,
        mean_of,
        "sum",
        higher_is_better=False,
        highest=float("inf"),
        reads="score",
        chance=_entropy,
    ),
)
"""Proper scores."""

_SLOPE = (Need.DIFFERENCES_CORRECTED, Need.OVERLAP_CORRECTED)
_RAW_SLOPE = (Need.DIFFERENCES, Need.OVERLAP)

CALIBRATION = tuple(
    metric
    for raw, end, words in ((False, "", ""), (True, "_raw", ", raw"))
    for metric in (
        Metric(
            f"calibration_slope{end}",
            f"Calibration slope{words}",
            "Slope of a logistic regression of the outcome on the logit of the probability, "
            f"{_RAW[raw]}: 1 is ideal, below 1 predictions are too extreme, above 1 too timid.",
            "Cox 1958, Biometrika 45:562; Van Calster et al. 2019, BMC Medicine 17:230",
            partial(_slope, raw=raw),
            _only,
            "mean",
            lowest=float("-inf"),
            highest=float("inf"),
            reads="score",
            needs=(Need.BOTH_CLASSES, *(_RAW_SLOPE if raw else _SLOPE)),
            ideal=1.0,
        ),
        Metric(
            f"calibration_intercept{end}",
            f"Calibration in the large{words}",
            "Intercept of a logistic regression with the logit of the probability, "
            f"{_RAW[raw]}, as offset: 0 is ideal, below 0 risks are too high on average.",
            "Van Calster et al. 2019, BMC Medicine 17:230",
            partial(_intercept, raw=raw),
            _only,
            "mean",
            lowest=float("-inf"),
            highest=float("inf"),
            reads="score",
            needs=(Need.BOTH_CLASSES,),
            ideal=0.0,
        ),
        Metric(
            f"ece{end}",
            f"ECE{words}",
            f"Expected calibration error over {BINS} bins of equal width: how far the "
            f"probability, {_RAW[raw]}, lies from the share of events on average; it grows by "
            "chance in small samples.",
            "Naeini et al. 2015, AAAI",
            partial(_bins, raw=raw),
            _expected_calibration_error,
            "sum",
            higher_is_better=False,
            reads="score",
        ),
    )
)
"""How well probabilities agree with shares of events."""

DECISION = tuple(
    Metric(
        f"net_benefit_{round(100 * risk)}",
        f"Net benefit at {100 * risk:g} %",
        f"True positives less false positives at the exchange rate of a risk of {100 * risk:g} %, "
        "a patient; calling nobody gives 0.",
        "Vickers and Elkin 2006, Medical Decision Making 26:565",
        partial(_decision, risk=risk),
        partial(_net_benefit, risk=risk),
        "sum",
        lowest=float("-inf"),
        reads="score",
    )
    for risk in THRESHOLD_PROBABILITIES
)
"""What a decision on the corrected probability is worth."""
