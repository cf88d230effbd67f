"""Candidates over several tasks: do their ranks differ, and which cannot be told apart?

Friedman's test and Nemenyi's post-hoc test over tasks (Demsar 2006, JMLR 7:1). Endpoints of
one cohort share their patients and are no independent tasks, so that a block is a cohort:
candidates are ranked on each endpoint, which may have metrics of their own, and by the mean of
these ranks in the cohort. Mean ranks and both tests are of the ranks in the cohorts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEAST_BLOCKS = 3
"""With fewer cohorts no rank can be told from chance, and the test is not made."""

LEAST_CANDIDATES = 3
"""Friedman's test compares at least three."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over blocks, and what they are evidence of.

    Attributes:
        mean_ranks: Mean over blocks of each candidate's rank in a block, 1 the best, sorted.
        blocks: Number of independent blocks (cohorts).
        p_value: Of Friedman's test that all candidates are alike; NaN where it is not made.
        groups: Largest sets of candidates that Nemenyi's test does not tell apart, as bars in a
            critical-difference diagram; everyone in one set where Friedman's test is not made or
            does not reject.
        note: What the data cannot support, in a sentence; empty where the tests were made.
        critical_difference: Of mean ranks, by Nemenyi's test: who is apart by as much is told
            apart, and nobody else; NaN where that test is not made.
    """

    mean_ranks: pd.Series
    blocks: int
    p_value: float
    groups: tuple[tuple[str, ...], ...]
    note: str = ""
    critical_difference: float = float("nan")


def critical_difference(candidates: int, blocks: int, level: float = 0.05) -> float:
    """Return the difference of mean ranks from which on Nemenyi's test tells two apart.

    That is q sqrt(k (k + 1) / (6 N)), with q the quantile of the studentised range for infinitely
    many degrees of freedom divided by sqrt(2) (Demsar 2006, section 3.2.2).

    Args:
        candidates: Number k of candidates, at least 2.
        blocks: Number N of blocks, at least 1.
        level: Level of the test.
    """
    from scipy import stats

    quantile = float(stats.studentized_range.isf(level, candidates, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(candidates * (candidates + 1) / (6 * blocks)))


def rank_candidates(
    values: pd.DataFrame, *, higher_is_better: bool = True, level: float = 0.05
) -> Ranking:
    """Rank candidates over tasks.

    Args:
        values: Columns ``dataset, endpoint, candidate, estimate``, each candidate once a task.
            Tasks on which nobody has a value are left out, and so are candidates without a value
            on one of the others.
        higher_is_better: The direction of the metric.
        level: Level of both tests.

    Returns:
        The ranking; ``mean_ranks`` is empty when no candidate has a value on all of these tasks.
    """
    import scikit_posthocs
    from scipy import stats

    # With dropna=False there would be a task for every pair of a dataset and an endpoint.
    wide = values.pivot_table(
        index=["dataset", "endpoint"], columns="candidate", values="estimate", dropna=True
    ).dropna(axis="columns")
    signed = wide if higher_is_better else -wide
    # Rounded, so that two sums of the same numbers in another order are a tie.
    by_endpoint = signed.round(12).rank(axis="columns", ascending=False)
    by_cohort = by_endpoint.groupby(level="dataset").mean().round(12).rank(axis="columns")
    mean_ranks = by_cohort.mean().sort_values(kind="stable")
    names = tuple(str(name) for name in mean_ranks.index)
    blocks = len(by_cohort)
    if blocks < LEAST_BLOCKS or len(names) < LEAST_CANDIDATES:
        note = (
            f"{len(names)} candidates with results on every one of {blocks} cohorts are too few "
            f"to test ranks, which takes at least {LEAST_CANDIDATES} on {LEAST_BLOCKS}"
        )
        return Ranking(mean_ranks, blocks, float("nan"), (names,) if names else (), note)
    ordered = by_cohort[list(mean_ranks.index)]
    statistic = stats.friedmanchisquare(*(ordered[name] for name in ordered.columns))
    p_value = float(statistic.pvalue) if np.isfinite(statistic.pvalue) else 1.0
    if p_value > level:
        return Ranking(mean_ranks, blocks, p_value, (names,))
    least = critical_difference(len(names), blocks, level)
    apart = scikit_posthocs.posthoc_nemenyi_friedman(ordered.to_numpy()) <= level
    bars = _bars(names, apart.to_numpy())
    return Ranking(mean_ranks, blocks, p_value, bars, critical_difference=least)


def _bars(names: tuple[str, ...], apart: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of neighbours in rank none of which is told from another."""
    bars: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and not apart[first, last + 1]:
            last += 1
        if not bars or last > bars[-1][1]:
            bars.append((first, last))
    return tuple(names[first : last + 1] for first, last in bars)
