"""Metrics of the ranking: which patients are put above which, whatever the threshold."""

from __future__ import annotations

import numpy as np

from prognobench.evaluation.metric import Metric, Need, mean_of, ratio
from prognobench.evaluation.patients import Array
from prognobench.evaluation.sample import Sample


def _average_precision(sample: Sample) -> Array:
    events, others = sample.ranking
    step = np.diff(events, axis=1, prepend=0.0)
    ranked = events + others
    # Where nobody is ranked yet (weights of 0) the step is 0 too, so any divisor will do.
    precision = events / np.where(ranked > 0, ranked, 1.0)
    value = ratio((step * precision).sum(axis=1), events[:, -1])
    return np.where(others[:, -1] > 0, np.minimum(value, 1.0), np.nan)[:, None]


def pairs(sample: Sample) -> Array:
    """Return, of shape [B, 2], the weight of pairs (an event and another) that are ranked rightly.

    Ties count half. The second column is the weight of all pairs; the ratio is the AUROC.
    """
    events, others = sample.ranking
    step = np.diff(others, axis=1, prepend=0.0)
    before = np.concatenate([np.zeros((len(events), 1)), events[:, :-1]], axis=1)
    won = (step * (events + before)).sum(axis=1) / 2
    return np.stack([won, events[:, -1] * others[:, -1]], axis=1)


def concordance(statistics: Array) -> Array:
    """Return the share of rightly ranked pairs, of shape [...], from pairs of shape [..., 2]."""
    return np.minimum(mean_of(statistics), 1.0)


def _auroc(sample: Sample) -> Array:
    return concordance(pairs(sample))[:, None]


def _only(statistics: Array) -> Array:
    return statistics[..., 0]


def chance_average_precision(patients: int, events: int) -> float:
    """Return the average precision that random scores reach on average, exactly.

    The patient at rank r is an event with probability k/n, and the precision there is then
    expected to be (1 + (r - 1)(k - 1)/(n - 1))/r; the sum over the ranks, divided by k, is
    (H + (n - H)(k - 1)/(n - 1))/n with the harmonic number H of n. With few events it is well
    above the prevalence k/n (0.22 for 2 events among 20).

    Args:
        patients: Number n of patients, at least 1.
        events: Number k of events among them, at least 1.
    """
    if patients == 1:
        return 1.0
    harmonic = float(np.sum(1.0 / np.arange(1, patients + 1)))
    return (harmonic + (patients - harmonic) * (events - 1) / (patients - 1)) / patients


RANKING = (
    Metric(
        "pr_auc",
        "PR-AUC",
        "Average precision: the share of true events among the patients ranked highest, averaged "
        "over the events; read it against chance, which gives the prevalence in a large sample "
        "and more in folds with few events.",
        "Davis and Goadrich 2006, ICML; never by trapezoids, which are too optimistic",
        _average_precision,
        _only,
        "mean",
        reads="score",
        needs=(Need.BOTH_CLASSES,),
        chance=chance_average_precision,
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
        chance=lambda patients, events: 0.5,  # noqa: ARG005
    ),
)
"""Metrics that read scores only as an order."""
