"""All metrics by their names."""

from __future__ import annotations

from prognobench.errors import UserError, nearest
from prognobench.evaluation import confusion_metrics, probability_metrics, ranking_metrics
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
    )
}
"""All metrics by name, the headline first."""

HEADLINE = "mcc"
"""The metric candidates are ranked by unless told otherwise."""

MAIN_METRICS = (
    *("mcc", "pr_auc", "auroc", "balanced_accuracy", "brier"),
    *("calibration_slope", "calibration_intercept", "ece"),
)
"""The metrics that the leaderboard shows, each with its interval."""


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
