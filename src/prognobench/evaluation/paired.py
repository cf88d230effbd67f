"""A candidate with its estimate, and its difference to another on what both have finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prognobench.evaluation.candidates import Key, Unit, estimate
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.patients import Array


@dataclass(frozen=True)
class Candidate:
    """A candidate of one cell.

    Attributes:
        row: Its row of the leaderboard, filled step by step.
        units: Its finished runs.
        runs: Their ids by what they trained and tested on.
        headline: Estimate and replicates of the metric that ranks, of shape [1 + B].
        complete: Whether all its runs are done.
        rarer: How many of its tested patients are in the rarer class.
    """

    row: dict[str, Any]
    units: Sequence[Unit]
    runs: Mapping[Key, str]
    headline: Array
    complete: bool
    rarer: int

    def standing(self, metric: Metric) -> tuple[bool, float]:
        """Return what candidates are sorted by: the incomplete last, then the better first."""
        sign = -1.0 if metric.higher_is_better else 1.0
        # Rounded, so that two sums of the same numbers in another order are a tie.
        return not self.complete, round(sign * float(self.headline[0]), 12)


def paired_difference(
    one: Candidate, other: Candidate, draws: Mapping[Key, Array] | None, metric: Metric
) -> Array | None:
    """Return the first's values minus the second's, of shape [1 + B], on the same draws.

    Only folds and episodes that both have finished are compared: a candidate whose hardest
    fold failed must not profit from it.

    Returns:
        The difference and its replicates; None where they have nothing in common.
    """
    if one is other:
        return np.zeros_like(one.headline)
    common = {unit.key for unit in one.units} & {unit.key for unit in other.units}
    if not common:
        return None
    return _on(one, common, draws, metric) - _on(other, common, draws, metric)


def _on(
    candidate: Candidate, keys: set[Key], draws: Mapping[Key, Array] | None, metric: Metric
) -> Array:
    if len(keys) == len(candidate.units):
        return candidate.headline
    return estimate([unit for unit in candidate.units if unit.key in keys], metric, draws)
