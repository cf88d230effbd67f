"""What a metric is: what it means, when it is undefined, and how it is computed.

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
from numpy.typing import NDArray

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.patients import Array
from prognobench.evaluation.sample import OPERATING_POINTS, Sample


class Need(Enum):
    """What a metric needs to be defined; the value is the sentence when it is not there."""

    BOTH_CLASSES = "all test patients are of one class, and this metric compares two"
    EVENT = "no test patient had the event"
    NO_EVENT = "every test patient had the event"
    CALLED_POSITIVE = "no test patient was predicted positive"
    CALLED_NEGATIVE = "no test patient was predicted negative"
    DIFFERENCES = "the raw probability is the same for every test patient: no slope fits"
    DIFFERENCES_CORRECTED = "the probability is the same for every test patient: no slope fits"
    OVERLAP = "the raw probabilities separate the test patients by outcome: no slope fits"
    OVERLAP_CORRECTED = "the probabilities separate the test patients by outcome: no slope fits"


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
        chance: The value expected of scores without any information, from the number of test
            patients and of events among them; None where that depends on how often the model
            calls positive.
        ideal: The best value where neither direction is better (then nothing is ranked by it).
        operating_point: Which threshold it is taken at.
        kind: The kind of outcome that it is of; what its statistics are taken from goes by that.
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
    chance: Callable[[int, int], float] | None = None
    ideal: float | None = None
    operating_point: Literal["fixed", "validated", "sensitive"] = "fixed"
    kind: Kind = "binary"

    def __call__(self, sample: Sample) -> Array:
        """Return the metric for each of the B weightings, NaN where it is undefined."""
        return self.value(self.statistics(sample))

    def undefined_reason(self, sample: Sample) -> str | None:
        """Return why the metric has no value on the patients of a sample, or None if it has."""
        if sample.threshold_at(self.operating_point) is None:
            return OPERATING_POINTS[self.operating_point]
        lacking = (need for need in self.needs if not _met(need, sample, self.operating_point))
        return next((need.value for need in lacking), None)

    def constant_prediction(self, sample: Sample) -> bool:
        """Return whether what this metric reads is the same for every patient.

        Such a model has collapsed: it tells nobody apart. The metric keeps its honest value
        (MCC 0, average precision equal to the prevalence, AUROC 0.5), and the flag says why.
        """
        if self.reads == "score":
            return bool(sample.probability.min() == sample.probability.max())
        if sample.threshold_at(self.operating_point) is None:
            return False
        return not all(
            _met(need, sample, self.operating_point)
            for need in (Need.CALLED_POSITIVE, Need.CALLED_NEGATIVE)
        )


def _met(need: Need, sample: Sample, point: str) -> bool:
    """Say whether a sample has what a metric needs; it remembers the answer."""
    called = need in {Need.CALLED_POSITIVE, Need.CALLED_NEGATIVE}
    asked = (need, sample.threshold_at(point)) if called else need
    if asked not in sample.facts:
        sample.facts[asked] = _found(need, sample, point)
    return sample.facts[asked]


def _found(need: Need, sample: Sample, point: str) -> bool:
    event = sample.event
    match need:
        case Need.EVENT:
            return bool(event.any())
        case Need.NO_EVENT:
            return not event.all()
        case Need.CALLED_POSITIVE:
            return bool(sample.called(point).any())
        case Need.CALLED_NEGATIVE:
            return not sample.called(point).all()
    both = bool(event.any() and not event.all())
    if need is Need.BOTH_CLASSES or not both:
        return both
    raw = need in {Need.DIFFERENCES, Need.OVERLAP}
    score = sample.probability if raw else sample.corrected
    overlap = need in {Need.OVERLAP, Need.OVERLAP_CORRECTED}
    return _overlap(score, event) if overlap else bool(score.min() < score.max())


def _overlap(score: Array, event: NDArray[np.bool_]) -> bool:
    """Return whether neither class lies wholly above the other, as a finite slope needs."""
    events, others = score[event], score[~event]
    return bool(events.min() < others.max() and events.max() > others.min())


def mean_of(statistics: Array) -> Array:
    """Return a mean, of shape [...], from a weighted sum and the weight, of shape [..., 2]."""
    return ratio(statistics[..., 0], statistics[..., 1])


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, giving NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
