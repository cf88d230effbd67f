"""The metrics: what each means, when it is undefined, and how it is computed.

A metric is a statistic that can be stored a test fold (counts, or the value itself) and a
function from statistic to value. That says in one place how folds are put together: a metric
of the confusion matrix adds its counts up over the folds first, because averages of ratios
over small folds are biased (Forman and Scholz 2010, SIGKDD Explorations 12:49); a ranking is
averaged over folds, because scores of different models do not share a scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np

from prognobench.errors import UserError, nearest
from prognobench.evaluation.patients import Array
from prognobench.evaluation.sample import Sample


class Need(Enum):
    """What a metric needs to be defined; the value is the sentence when it is not there."""

    BOTH_CLASSES = "all test patients are of one class, and this metric compares two"
    EVENT = "no test patient had the event"
    NO_EVENT = "every test patient had the event"
    CALLED_POSITIVE = "no test patient was predicted positive"
    CALLED_NEGATIVE = "no test patient was predicted negative"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name in files, such as ``pr_auc``.
        title: Its name in the report.
        description: One sentence on what it says.
        source: The publication that defines or recommends it.
        statistics: From a sample to what must be kept of it, of shape [B, k].
        value: From statistics of shape [..., k] to values of shape [...], NaN where undefined.
        across_folds: ``sum``: the statistics of the folds are added, then valued once;
            ``mean``: each fold is valued, then averaged.
        higher_is_better: The direction.
        lowest: Smallest possible value.
        highest: Largest possible value.
        reads: What it sees of a prediction: the ``class`` at the threshold, or the ``score``.
        needs: What must be there for it to be defined.
        chance: The value expected without any information, as a function of prevalence; None
            where that depends on how often the model calls positive.
    """

    name: str
    title: str
    description: str
    source: str
    statistics: Callable[[Sample], Array]
    value: Callable[[Array], Array]
    across_folds: Literal["sum", "mean"]
    higher_is_better: bool = True
    lowest: float = 0.0
    highest: float = 1.0
    reads: Literal["class", "score"] = "class"
    needs: tuple[Need, ...] = ()
    chance: Callable[[float], float] | None = None

    def __call__(self, sample: Sample) -> Array:
        """Return the metric for each of the B weightings, NaN where it is undefined."""
        return self.value(self.statistics(sample))

    def undefined_reason(self, sample: Sample) -> str | None:
        """Return why the metric has no value on the patients of a sample, or None if it has."""
        called = sample.predicted
        there = {
            Need.BOTH_CLASSES: sample.target.min() != sample.target.max(),
            Need.EVENT: bool(sample.target.any()),
            Need.NO_EVENT: not sample.target.all(),
            Need.CALLED_POSITIVE: bool(called.any()),
            Need.CALLED_NEGATIVE: not called.all(),
        }
        return next((need.value for need in self.needs if not there[need]), None)

    def constant_prediction(self, sample: Sample) -> bool:
        """Return whether what this metric reads is the same for every patient.

        Such a model has collapsed: it tells nobody apart. The metric keeps its honest value
        (MCC 0, average precision equal to the prevalence, AUROC 0.5), and the flag says why.
        """
        seen = sample.predicted if self.reads == "class" else sample.probability
        return bool(seen.min() == seen.max())


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, giving NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _mcc(counts: Array) -> Array:
    tp, fp, tn, fn = np.moveaxis(counts, -1, 0)
    margins = (tp + fp) * (tn + fn)
    # With one predicted class the correlation is 0/0; 0 is the limit and scikit-learn's value.
    # (torchmetrics 1.9 gives up to 0.6 there.) With one true class nothing can be correlated.
    below = np.sqrt(margins) * np.sqrt((tp + fn) * (tn + fp))
    value = np.where(margins > 0, _ratio(tp * tn - fp * fn, below), 0.0)
    both = ((tp + fn) > 0) & ((tn + fp) > 0)
    return np.where(both, np.clip(value, -1.0, 1.0), np.nan)


def _sensitivity(counts: Array) -> Array:
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 3])


def _specificity(counts: Array) -> Array:
    return _ratio(counts[..., 2], counts[..., 2] + counts[..., 1])


def _balanced_accuracy(counts: Array) -> Array:
    return (_sensitivity(counts) + _specificity(counts)) / 2


def _ppv(counts: Array) -> Array:
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def _npv(counts: Array) -> Array:
    return _ratio(counts[..., 2], counts[..., 2] + counts[..., 3])


def _f1(counts: Array) -> Array:
    tp, fp, _, fn = np.moveaxis(counts, -1, 0)
    return np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _average_precision(sample: Sample) -> Array:
    events, others = sample.ranking
    step = np.diff(events, axis=1, prepend=0.0)
    ranked = events + others
    # Where nobody is ranked yet (weights of 0) the step is 0 too, so any divisor will do.
    precision = events / np.where(ranked > 0, ranked, 1.0)
    value = _ratio((step * precision).sum(axis=1), events[:, -1])
    return np.where(others[:, -1] > 0, np.minimum(value, 1.0), np.nan)[:, None]


def _auroc(sample: Sample) -> Array:
    events, others = sample.ranking
    step = np.diff(others, axis=1, prepend=0.0)
    before = np.concatenate([np.zeros((len(events), 1)), events[:, :-1]], axis=1)
    won = (step * (events + before)).sum(axis=1) / 2
    return np.minimum(_ratio(won, events[:, -1] * others[:, -1]), 1.0)[:, None]


def _brier(sample: Sample) -> Array:
    return sample.mean_loss((sample.corrected - sample.target) ** 2)


def _brier_raw(sample: Sample) -> Array:
    return sample.mean_loss((sample.probability - sample.target) ** 2)


def _log_loss(sample: Sample) -> Array:
    # Away from 0 and 1 by one rounding step, as scikit-learn does: a certain error costs 36.
    smallest = np.finfo(np.float64).eps
    probability = np.clip(sample.corrected, smallest, 1.0 - smallest)
    return sample.mean_loss(-np.log(np.where(sample.target == 1, probability, 1.0 - probability)))


def _confusion(sample: Sample) -> Array:
    return sample.confusion


def _only(statistics: Array) -> Array:
    return statistics[..., 0]


def _mean(statistics: Array) -> Array:
    return _ratio(statistics[..., 0], statistics[..., 1])


def _entropy(prevalence: float) -> float:
    if prevalence in (0.0, 1.0):
        return 0.0
    other = 1.0 - prevalence
    return float(-prevalence * np.log(prevalence) - other * np.log(other))


_METRICS = (
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
        chance=lambda prevalence: 0.0,  # noqa: ARG005
    ),
    Metric(
        "pr_auc",
        "PR-AUC",
        "Average precision: the share of true events among the patients ranked highest, averaged "
        "over the events; read it against the prevalence, which is what chance gives in a large "
        "sample (in folds with few events chance gives more).",
        "Davis and Goadrich 2006, ICML; never by trapezoids, which are too optimistic",
        _average_precision,
        _only,
        "mean",
        reads="score",
        needs=(Need.BOTH_CLASSES,),
        chance=lambda prevalence: prevalence,
    ),
    Metric(
        "auroc",
        "AUROC",
        "How often a patient with the event is ranked above one without, ties counting half.",
        "Hanley and McNeil 1982, Radiology 143:29",
        _auroc,
        _only,
        "mean",
        reads="score",
        needs=(Need.BOTH_CLASSES,),
        chance=lambda prevalence: 0.5,  # noqa: ARG005
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
        chance=lambda prevalence: 0.5,  # noqa: ARG005
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
        chance=lambda prevalence: prevalence,
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
        chance=lambda prevalence: 1.0 - prevalence,
    ),
    Metric(
        "brier",
        "Brier score",
        "Mean squared error of the predicted probability, after the prior that the training's "
        "weighting added was taken back; lower is better.",
        "Brier 1950, Monthly Weather Review 78:1",
        _brier,
        _mean,
        "sum",
        higher_is_better=False,
        reads="score",
        chance=lambda prevalence: prevalence * (1.0 - prevalence),
    ),
    Metric(
        "brier_raw",
        "Brier score, raw",
        "Mean squared error of the predicted probability as the model gave it; class weighting "
        "makes it worse without making the ranking better.",
        "Brier 1950, Monthly Weather Review 78:1",
        _brier_raw,
        _mean,
        "sum",
        higher_is_better=False,
        reads="score",
        chance=lambda prevalence: prevalence * (1.0 - prevalence),
    ),
    Metric(
        "log_loss",
        "Log loss",
        "Mean negative log-likelihood (natural logarithm) of the corrected probability; it "
        "punishes certain errors hardest.",
        "Good 1952, J R Stat Soc B 14:107",
        _log_loss,
        _mean,
        "sum",
        higher_is_better=False,
        highest=float("inf"),
        reads="score",
        chance=_entropy,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}
"""All metrics by name, the headline first."""

HEADLINE = "mcc"
"""The metric candidates are ranked by unless told otherwise."""

MAIN_METRICS = ("mcc", "pr_auc", "auroc", "balanced_accuracy", "brier")
"""The metrics that the leaderboard shows, each with its interval."""


def get_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UserError: When there is none of that name; the sentence names the nearest.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric '{name}': {nearest(name, METRICS)}")
    return METRICS[name]
