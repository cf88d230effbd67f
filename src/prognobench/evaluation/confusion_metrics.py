"""Metrics of the confusion matrix, at each of the thresholds that were fixed beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from prognobench.evaluation.metric import Metric, Need, ratio
from prognobench.evaluation.patients import Array
from prognobench.evaluation.sample import Sample


def _mcc(counts: Array) -> Array:
    tp, fp, tn, fn = np.moveaxis(counts, -1, 0)
    margins = (tp + fp) * (tn + fn)
    # With one predicted class the correlation is 0/0; 0 is the limit and scikit-learn's value.
    # (torchmetrics 1.9 gives up to 0.6 there.) With one true class nothing can be correlated.
    below = np.sqrt(margins) * np.sqrt((tp + fn) * (tn + fp))
    value = np.where(margins > 0, ratio(tp * tn - fp * fn, below), 0.0)
    both = ((tp + fn) > 0) & ((tn + fp) > 0)
    return np.where(both, np.clip(value, -1.0, 1.0), np.nan)


def _sensitivity(counts: Array) -> Array:
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 3])


def _specificity(counts: Array) -> Array:
    return ratio(counts[..., 2], counts[..., 2] + counts[..., 1])


def _balanced_accuracy(counts: Array) -> Array:
    return (_sensitivity(counts) + _specificity(counts)) / 2


def _ppv(counts: Array) -> Array:
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def _npv(counts: Array) -> Array:
    return ratio(counts[..., 2], counts[..., 2] + counts[..., 3])


def _f1(counts: Array) -> Array:
    tp, fp, _, fn = np.moveaxis(counts, -1, 0)
    return np.where(tp + fn > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _confusion(sample: Sample, point: str = "fixed") -> Array:
    return sample.confusion(point)


FIXED = (
    Metric(
        "mcc",
        "MCC",
        "Matthews correlation between predicted and true class: 1 is perfect, 0 is chance, and "
        "both classes count whatever their sizes.",
        "Matthews 1975, Biochim Biophys Acta 405:442",
        _confusion,
        _mcc,
        "sum",
        lowest=-1.0,
        needs=(Need.BOTH_CLASSES,),
        chance=lambda patients, events: 0.0,  # noqa: ARG005
    ),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        "The mean of sensitivity and specificity at the threshold.",
        "Brodersen et al. 2010, ICPR",
        _confusion,
        _balanced_accuracy,
        "sum",
        needs=(Need.BOTH_CLASSES,),
        chance=lambda patients, events: 0.5,  # noqa: ARG005
    ),
    Metric(
        "f1",
        "F1",
        "Harmonic mean of sensitivity and positive predictive value at the threshold; it ignores "
        "true negatives and moves with the prevalence.",
        "van Rijsbergen 1979, Information Retrieval",
        _confusion,
        _f1,
        "sum",
        needs=(Need.EVENT,),
    ),
    Metric(
        "sensitivity",
        "Sensitivity",
        "The share of the patients with the event that is called positive.",
        "Altman and Bland 1994, BMJ 308:1552",
        _confusion,
        _sensitivity,
        "sum",
        needs=(Need.EVENT,),
    ),
    Metric(
        "specificity",
        "Specificity",
        "The share of the patients without the event that is called negative.",
        "Altman and Bland 1994, BMJ 308:1552",
        _confusion,
        _specificity,
        "sum",
        needs=(Need.NO_EVENT,),
    ),
    Metric(
        "ppv",
        "PPV",
        "Positive predictive value: the share of events among the patients called positive.",
        "Altman and Bland 1994, BMJ 309:102",
        _confusion,
        _ppv,
        "sum",
        needs=(Need.CALLED_POSITIVE,),
        chance=lambda patients, events: events / patients,
    ),
    Metric(
        "npv",
        "NPV",
        "Negative predictive value: the share without the event among the patients called "
        "negative.",
        "Altman and Bland 1994, BMJ 309:102",
        _confusion,
        _npv,
        "sum",
        needs=(Need.CALLED_NEGATIVE,),
        chance=lambda patients, events: 1.0 - events / patients,
    ),
)
"""At the threshold that the run fixed before it began."""

VALIDATED = tuple(
    replace(
        metric,
        name=f"{metric.name}_validated",
        title=f"{metric.title}, validated threshold",
        description=f"{metric.description} At the threshold with the highest MCC on the "
        "validation part.",
        statistics=partial(_confusion, point="validated"),
        operating_point="validated",
    )
    for metric in FIXED
)
"""At the threshold that the validation part chose."""

SENSITIVE = tuple(
    replace(
        metric,
        name=f"{metric.name}_at_sensitivity_90",
        title=f"{metric.title}, at 90 % sensitivity",
        description=f"{metric.description} At the highest threshold that finds 90 % of the "
        "events of the validation part.",
        statistics=partial(_confusion, point="sensitive"),
        operating_point="sensitive",
    )
    for metric in FIXED
)
"""At the threshold that reaches a stated sensitivity on the validation part."""
