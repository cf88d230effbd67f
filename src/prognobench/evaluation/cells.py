"""One cell of the benchmark: the candidates that meet on one task, regime and number of shots.

They are ranked, and each is compared with the best on the same patients, draws and folds. The
best group is everyone whose difference to the best cannot be told from zero: with few patients
that is most of the table, and a first rank alone says nothing (Varoquaux and Colliot 2023,
Machine Learning for Brain Disorders, chapter 20; Christodoulou et al. 2024, MICCAI).
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prognobench.evaluation.candidates import Key, Unit, has_episodes, run_groups
from prognobench.evaluation.choice import IMPOSSIBLE
from prognobench.evaluation.comparison import bootstrap_t, holm
from prognobench.evaluation.controls import against_controls, is_control
from prognobench.evaluation.evaluated import (
    CandidateRuns,
    Rule,
    episode_draws,
    evaluate_candidate,
    headline_units,
    units_again,
)
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.kinds import kind_of
from prognobench.evaluation.metrics import METRICS, SHOWN, headline_of
from prognobench.evaluation.named_tests import corrected_t, delong_of
from prognobench.evaluation.paired import Candidate, UnitsOf, paired_difference, rarer_of_both
from prognobench.evaluation.patients import Array
from prognobench.evaluation.task import Task

TASK = ("dataset", "endpoint")
SETTING = ("regime", "shots", "level")
NAMES = ("backbone", "strategy")


@dataclass(frozen=True)
class Cell:
    """The runs of one task, regime and number of shots or level.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        runs: Its runs, with the columns of
            :func:`~prognobench.evaluation.candidates.run_groups`.
        members: The places of each candidate's runs, in the order of their names.
        episodes: The few-shot episodes that are drawn from, in order; None where there are none.
        tested: The patients that are drawn from.
        rule: How its candidates are evaluated.
    """

    dataset: str
    endpoint: str
    runs: pd.DataFrame
    members: Sequence[NDArray[np.intp]]
    episodes: Sequence[Key] | None
    tested: Sequence[str]
    rule: Rule

    def candidate(self, place: int) -> CandidateRuns:
        """Return one of its candidates."""
        own = self.runs.take(self.members[place])
        return CandidateRuns(own, self.episodes, self.tested, self.rule)


def cells_of(
    runs: pd.DataFrame,
    tested: Mapping[tuple[str, str], Collection[str]],
    metric: str,
    replicates: int,
    confidence: float,
) -> Iterator[Cell]:
    """Yield the cells of a benchmark, in order.

    Args:
        runs: Runs from :func:`~prognobench.evaluation.choice.choose_runs`, each index once.
        tested: The patients that are drawn from, by dataset and endpoint.
        metric: The headline.
        replicates: Number of bootstrap replicates B.
        confidence: Share of the replicates an interval holds.
    """
    for (dataset, endpoint), task in runs.groupby(list(TASK), sort=True):
        kind = kind_of(task.iloc[0])
        headline = headline_of(kind, metric)
        others = tuple(name for name in SHOWN[kind] if name != headline)
        rule = Rule(headline, others, replicates, confidence)
        patients = tuple(sorted(tested[str(dataset), str(endpoint)]))
        for _, cell in task.groupby(list(SETTING), sort=True, dropna=False):
            own = cell.join(run_groups(cell))
            candidate = own.groupby(list(NAMES), sort=True).ngroup().to_numpy()
            ends = np.cumsum(np.bincount(candidate))[:-1]
            members = np.split(np.argsort(candidate, kind="stable"), ends)
            yield Cell(str(dataset), str(endpoint), own, members, episodes_of(own), patients, rule)


def episodes_of(runs: pd.DataFrame) -> list[Key] | None:
    """Return the episodes of a cell that can be had, in order; None where there are none.

    They are drawn from whether or not they are finished, so that what is known of a candidate does
    not change as others go on.

    Args:
        runs: All runs of the cell, with their groups.
    """
    if not has_episodes(runs):
        return None
    return sorted(set(runs.loc[~runs["state"].isin(IMPOSSIBLE), "group"]), key=repr)


def cell_rows(task: Task, runs: pd.DataFrame, rule: Rule) -> list[dict[str, Any]]:
    """Evaluate, rank and compare the candidates of one cell whose predictions are at hand.

    Args:
        task: The patients and draws of the cell's task.
        runs: The cell's runs: one dataset, endpoint, regime and number of shots.
        rule: The metrics, the replicates and the confidence.

    Returns:
        One leaderboard row a candidate, not yet sorted.
    """
    own = runs.join(run_groups(runs))
    episodes = episodes_of(own)
    members = dict(iter(own.groupby(list(NAMES), sort=True)))
    found = {names: evaluate_candidate(task, one, episodes, rule) for names, one in members.items()}

    def units_of(candidate: Candidate) -> Sequence[Unit]:
        names = candidate.row["backbone"], candidate.row["strategy"]
        return headline_units(task, members[names], rule)

    draws = episode_draws(own, episodes, rule.replicates)
    return compared(list(found.values()), draws, rule, units_of)


def rows_of(cell: Cell, found: Sequence[Candidate], read: Runs) -> list[dict[str, Any]]:
    """Rank and compare the candidates of a cell.

    Args:
        cell: The cell.
        found: Its candidates, evaluated, in their order.
        read: What reads their runs, where a part of a candidate has to be estimated.

    Returns:
        One leaderboard row a candidate, not yet sorted.
    """
    places = {id(one): place for place, one in enumerate(found)}
    draws = episode_draws(cell.runs, cell.episodes, cell.rule.replicates)

    # All incomplete candidates are compared with the same best one.
    @functools.lru_cache(maxsize=2)
    def made(place: int) -> Sequence[Unit]:
        return units_again(cell.candidate(place), read)

    def units_of(candidate: Candidate) -> Sequence[Unit]:
        return made(places[id(candidate)])

    return compared(found, draws, cell.rule, units_of)


def compared(
    everybody: Sequence[Candidate],
    draws: Mapping[Key, Array] | None,
    rule: Rule,
    units_of: UnitsOf,
) -> list[dict[str, Any]]:
    """Rank and compare the candidates of one cell.

    Controls are evaluated on the same draws, and are not ranked.

    Args:
        everybody: The candidates and controls, evaluated.
        draws: Multiplicities of the episodes, where there are any.
        rule: How they were evaluated.
        units_of: As of :func:`~prognobench.evaluation.paired.paired_difference`.

    Returns:
        One leaderboard row a candidate, not yet sorted.
    """
    metric = METRICS[rule.metric]
    candidates = [entry for entry in everybody if not is_control(entry.row)]
    controls = [entry for entry in everybody if is_control(entry.row)]
    with_estimate = [entry for entry in candidates if np.isfinite(entry.headline[0])]
    if with_estimate:
        order = sorted(with_estimate, key=lambda entry: entry.standing(metric))
        standings = [entry.standing(metric) for entry in order]
        for entry, standing in zip(order, standings, strict=True):
            # Equal estimates share a rank: the order of names is no evidence.
            entry.row["rank"] = 1 + bisect_left(standings, standing)
            _compare(entry, order[0], draws, rule, units_of)
        _correct(order)
    against_controls(
        candidates, controls, draws, metric, confidence=rule.confidence, units_of=units_of
    )
    return [entry.row for entry in everybody]


def _compare(
    entry: Candidate,
    best: Candidate,
    draws: Mapping[Key, Array] | None,
    rule: Rule,
    units_of: UnitsOf,
) -> None:
    """Write the paired difference to the best into a candidate's row."""
    metric = METRICS[rule.metric]
    difference = paired_difference(entry, best, draws, metric, units_of)
    if difference is None:
        entry.row["best_group"] = True
        return
    rarer = rarer_of_both(entry, best, draws, metric)
    found = bootstrap_t(difference, rarer, rule.confidence)
    if entry is not best:
        over_folds = corrected_t(entry, best)
        if over_folds is not None:
            entry.row["p_corrected_t"] = over_folds.p_value
        # Over episodes it would take what was drawn to train on for given.
        of_ranking = None if draws is not None else delong_of(entry, best, rule.confidence)
        if of_ranking is not None:
            entry.row["p_delong"] = of_ranking.p_value
            if rule.metric == "auroc":
                # The bootstrap of the AUROC is too careful in small folds.
                found = of_ranking
        entry.row["p_value"] = found.p_value
    # Without an interval there is no evidence of a difference. By what both have done, a candidate
    # may be better than a best one that has runs missing.
    worse = found.high < 0.0 if metric.higher_is_better else found.low > 0.0
    entry.row.update(
        difference_to_best=found.difference,
        difference_low=found.low,
        difference_high=found.high,
        best_group=not worse,
    )


def _correct(ranked: Sequence[Candidate]) -> None:
    """Write the p-values corrected for the number of candidates that are compared."""
    others = ranked[1:]
    corrected = holm([entry.row.get("p_value", np.nan) for entry in others])
    for entry, p_value in zip(others, corrected, strict=True):
        entry.row["p_holm"] = p_value
