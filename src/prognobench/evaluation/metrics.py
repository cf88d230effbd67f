"""All metrics by their names."""

from __future__ import annotations

from collections.abc import Mapping

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError, nearest
from prognobench.evaluation import (
    confusion_metrics,
    probability_metrics,
    ranking_metrics,
    scores,
    times,
)
from prognobench.evaluation.metric import Metric

_MCC, *_OTHERS = confusion_metrics.FIXED

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _MCC,
        *ranking_metrics.RANKING,
        *_OTHERS,
        *confusion_metrics.VALIDATED,
        *confusion_metrics.SENSITIVE,
        *probability_metrics.ERROR,
        *probability_metrics.CALIBRATION,
        *probability_metrics.DECISION,
        *scores.SCORES,
        *times.TIMES,
    )
}
"""All metrics by name, those of binary outcomes first, with their headline."""

HEADLINE = "mcc"
"""The metric candidates are ranked by unless told otherwise."""

HEADLINES: Mapping[Kind, str] = {
    "binary": HEADLINE,
    "ordinal": "quadratic_kappa",
    "time_to_event": "c_index",
}
"""The same by the kind of the outcome."""

MAIN_METRICS = (
    *("mcc", "pr_auc", "auroc", "balanced_accuracy", "brier"),
    *("calibration_slope", "calibration_intercept", "ece"),
)
"""The metrics that the leaderboard shows, each with its interval."""

SPREAD = ("mcc", "pr_auc")
"""Those whose mean and deviation over folds it shows besides, as the paper has them."""

SHOWN: Mapping[Kind, tuple[str, ...]] = {
    "binary": MAIN_METRICS,
    "ordinal": ("quadratic_kappa", "mae"),
    "time_to_event": ("c_index", "integrated_brier"),
}
"""The same by the kind of the outcome."""


def metrics_of(kind: Kind) -> dict[str, Metric]:
    """Return the metrics of a kind of outcome, by name."""
    return {name: metric for name, metric in METRICS.items() if metric.kind == kind}


def headline_of(kind: Kind, wanted: str) -> str:
    """Return the metric that ranks a kind of outcome: the one wanted, where it is of that kind."""
    return wanted if METRICS[wanted].kind == kind else HEADLINES[kind]


def get_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UserError: When there is none of that name; the sentence names the nearest.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric '{name}': {nearest(name, METRICS)}")
    return METRICS[name]


def get_headline(name: str) -> Metric:
    """Return a metric that candidates can be ranked by.

    Raises:
        UserError: When there is none of that name, or neither direction of it is better.
    """
    metric = get_metric(name)
    if metric.ideal is not None:
        raise UserError(
            f"candidates cannot be ranked by {name}, of which neither more nor less is better: "
            f"choose another metric, such as {HEADLINE}"
        )
    return metric
