"""A candidate with its estimate, and its difference to another on what both have finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prognobench.evaluation.candidates import Key, Unit, estimate
from prognobench.evaluation.kinds import size_that_counts
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.patients import Array


@dataclass(frozen=True)
class TestedRun:
    """What comparisons need of one finished run of a candidate.

    Attributes:
        run: Its id.
        value: Its value of the metric that ranks, NaN where that is undefined.
        tested: How many patients it tested.
        trained: How many patients trained or validated it.
        scores: Targets and probabilities of its test patients, where the outcome is an event and
            the candidate tested each patient once.
    """

    run: str
    value: float
    tested: int
    trained: int
    scores: tuple[NDArray[np.int64], Array] | None


@dataclass(frozen=True)
class Candidate:
    """A candidate of one cell.

    Attributes:
        row: Its row of the leaderboard, filled step by step.
        runs: Its finished runs by what they trained and tested on.
        headline: Estimate and replicates of the metric that ranks, of shape [1 + B].
        complete: Whether all its runs are done.
        rarer: How many of its tested patients are in the rarer class.
        units: Its finished runs with their replicates, by which parts of it are estimated; empty
            where it is complete, since then nearly all comparisons are of all its runs.
    """

    row: dict[str, Any]
    runs: Mapping[Key, TestedRun]
    headline: Array
    complete: bool
    rarer: int
    units: Sequence[Unit] = ()

    def standing(self, metric: Metric) -> tuple[bool, float]:
        """Return what candidates are sorted by: the incomplete last, then the better first."""
        sign = -1.0 if metric.higher_is_better else 1.0
        # Rounded, so that two sums of the same numbers in another order are a tie.
        return not self.complete, round(sign * float(self.headline[0]), 12)


UnitsOf: TypeAlias = Callable[[Candidate], Sequence[Unit]]
"""Gives the finished runs of a candidate with their replicates, where it has none itself."""


def paired_difference(
    one: Candidate,
    other: Candidate,
    draws: Mapping[Key, Array] | None,
    metric: Metric,
    units_of: UnitsOf,
) -> Array | None:
    """Return the first's values minus the second's, of shape [1 + B], on the same draws.

    Only folds and episodes that both have finished are compared: a candidate whose hardest
    fold failed must not profit from it.

    Args:
        one: A candidate.
        other: Another of the same cell.
        draws: Multiplicities of the episodes, where there are any.
        metric: The metric that ranks.
        units_of: Gives the runs of a complete candidate that is compared on some of them.

    Returns:
        The difference and its replicates; None where they have nothing in common.
    """
    if one is other:
        return np.zeros_like(one.headline)
    common = one.runs.keys() & other.runs.keys()
    if not common:
        return None

    def on_common(candidate: Candidate) -> Array:
        return _on(candidate, common, draws, metric, units_of)

    return on_common(one) - on_common(other)


def rarer_of_both(
    one: Candidate, other: Candidate, draws: Mapping[Key, Array] | None, metric: Metric
) -> int:
    """Return how many patients of the rarer class are in what both have finished.

    Where they share other folds of one seed or repeat than of another, that which has most counts.

    Args:
        one: A candidate.
        other: Another of the same cell, which has something in common with it.
        draws: Multiplicities of the episodes, where there are any.
        metric: The metric that ranks.
    """
    common = one.runs.keys() & other.runs.keys()
    whole = [own.rarer for own in (one, other) if len(common) == len(own.runs)]
    if whole:
        return min(whole)
    units = one.units or other.units
    if not units:
        return min(one.rarer, other.rarer)
    sizes: dict[Key, dict[Any, tuple[int, int]]] = {}
    for unit in units:
        if unit.key in common:
            # The folds of one seed and repeat share no patient, nor do those that episodes test.
            _, split, fold, _ = unit.key
            group, part = (unit.group, split) if draws is None else ((), fold)
            sizes.setdefault(group, {})[part] = unit.size
    counted = [np.sum(list(parts.values()), axis=0) for parts in sizes.values()]
    return max(size_that_counts(int(n), int(events), metric.kind) for n, events in counted)


def _on(
    candidate: Candidate,
    keys: Set[Key],
    draws: Mapping[Key, Array] | None,
    metric: Metric,
    units_of: UnitsOf,
) -> Array:
    if len(keys) == len(candidate.runs):
        return candidate.headline
    units = candidate.units or units_of(candidate)
    return estimate([unit for unit in units if unit.key in keys], metric, draws)
