"""One cell of the benchmark: the candidates that meet on one task, regime and number of shots.

They are ranked, and each is compared with the best on the same patients, draws and folds. The
best group is everyone whose difference to the best cannot be told from zero: with few patients
that is most of the table, and a first rank alone says nothing (Varoquaux and Colliot 2023,
Machine Learning for Brain Disorders, chapter 20; Christodoulou et al. 2024, MICCAI).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation import bootstrap
from prognobench.evaluation.candidates import (
    Key,
    Unit,
    chance_level,
    estimate,
    has_episodes,
    make_unit,
    run_groups,
)
from prognobench.evaluation.choice import chosen_rates
from prognobench.evaluation.comparison import (
    bootstrap_t,
    holm,
)
from prognobench.evaluation.controls import against_controls, is_control
from prognobench.evaluation.finished import Map
from prognobench.evaluation.kinds import Patients, effective_size
from prognobench.evaluation.metrics import METRICS, SPREAD
from prognobench.evaluation.named_tests import corrected_t, delong_of
from prognobench.evaluation.paired import Candidate, paired_difference
from prognobench.evaluation.patients import Array

MOST_TAKEN = 64
"""Sets of test patients, usually folds, whose draws are kept at hand."""

DONE, PARTIAL = "done", "partial"
STATE_ORDER = ("failed", "not_feasible", "not_applicable", "running", "pending")
"""Which state a candidate without any finished run is given, the most telling first."""


@dataclass(frozen=True)
class Task:
    """The patients of one dataset and endpoint, and the draws that all candidates share.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        patients: Per run that can be evaluated, its test patients.
        thresholds: Per such run, its thresholds by operating point.
        trained: Per such run, how many patients trained or validated it.
        index: All test patients of the task, sorted.
        weights: Multiplicities of shape [1 + B, patients], the first row all ones.
        kind: The kind of the outcome.
    """

    dataset: str
    endpoint: str
    patients: Mapping[str, Patients]
    thresholds: Mapping[str, Mapping[str, float | None]]
    trained: Mapping[str, int]
    index: pd.Index[Any]
    weights: Array
    kind: Kind = "binary"
    _taken: dict[tuple[str, ...], Array] = field(default_factory=dict, repr=False)

    def weights_of(self, run: str) -> Array:
        """Return the multiplicities of the test patients of one run."""
        patients = tuple(self.patients[run].patient_id)
        if patients not in self._taken:
            if len(self._taken) >= MOST_TAKEN:
                self._taken.clear()
            places = self.index.get_indexer(pd.Index(patients))
            self._taken[patients] = np.take(self.weights, places, axis=1)
        return self._taken[patients]

    def of(self, runs: Iterable[str]) -> Task:
        """Return the task with the patients of only some runs."""
        patients = {run: self.patients[run] for run in runs}
        return replace(
            self,
            patients=patients,
            thresholds={run: self.thresholds[run] for run in patients},
            trained={},
            _taken={},
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the draws: another process draws the same."""
        return {**self.__dict__, "weights": len(self.weights) - 1, "_taken": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Draw what :meth:`__getstate__` left out."""
        own = (len(state["index"]), state["weights"], state["dataset"], state["endpoint"])
        self.__dict__.update(state, weights=bootstrap.patient_multiplicities(*own))


@dataclass(frozen=True)
class Rule:
    """How a leaderboard is made.

    Attributes:
        metric: Name of the metric candidates are ranked by.
        others: Names of the further metrics that are shown.
        replicates: Number of bootstrap replicates B.
        confidence: Share of the replicates an interval holds.
    """

    metric: str
    others: tuple[str, ...]
    replicates: int
    confidence: float


def cell_rows(
    task: Task, runs: pd.DataFrame, rule: Rule, mapped: Map = map
) -> list[dict[str, Any]]:
    """Evaluate, rank and compare the candidates of one cell.

    Controls are evaluated on the same draws, and are not ranked.

    Args:
        task: The patients and draws of the cell's task.
        runs: The cell's runs: one dataset, endpoint, regime and number of shots.
        rule: The metrics, the replicates and the confidence.
        mapped: What evaluates the candidates.

    Returns:
        One leaderboard row a candidate, not yet sorted.
    """
    runs = runs.join(run_groups(runs))
    groups = _episodes(runs)
    draws = _episode_draws(task, runs, groups, rule.replicates)
    metric = METRICS[rule.metric]
    asked = (
        (task.of(_finished(members)), members, groups, rule)
        for _, members in runs.groupby(["backbone", "strategy"], sort=True)
    )
    everybody = list(mapped(_candidate, asked))
    candidates = [entry for entry in everybody if not is_control(entry.row)]
    controls = [entry for entry in everybody if is_control(entry.row)]
    with_estimate = [entry for entry in candidates if np.isfinite(entry.headline[0])]
    if with_estimate:
        order = sorted(with_estimate, key=lambda entry: entry.standing(metric))
        standings = [entry.standing(metric) for entry in order]
        for entry, standing in zip(order, standings, strict=True):
            # Equal estimates share a rank: the order of names is no evidence.
            entry.row["rank"] = 1 + bisect_left(standings, standing)
            _compare(task, entry, order[0], draws, rule)
        _correct(order)
    against_controls(candidates, controls, draws, metric, rule.confidence)
    return [entry.row for entry in everybody]


def _finished(runs: pd.DataFrame) -> list[str]:
    """Return the runs that are done."""
    states = zip(runs["run"], runs["state"], strict=True)
    return [run for run, state in states if state == DONE]


def _episodes(runs: pd.DataFrame) -> list[Key] | None:
    """Return the episodes that any candidate finished, in order; None where there are none."""
    if not has_episodes(runs):
        return None
    return sorted(set(runs.loc[runs["state"] == DONE, "group"]), key=repr)


def _episode_draws(
    task: Task, runs: pd.DataFrame, groups: Sequence[Key] | None, replicates: int
) -> dict[Key, Array] | None:
    """Draw the cell's episodes, the same for all candidates."""
    if groups is None:
        return None
    if not groups:
        return {}
    weights = bootstrap.episode_multiplicities(
        len(groups), replicates, task.dataset, task.endpoint, str(runs["regime"].iloc[0])
    )
    return {group: weights[:, place] for place, group in enumerate(groups)}


def _candidate(asked: tuple[Task, pd.DataFrame, Sequence[Key] | None, Rule]) -> Candidate:
    """Evaluate one candidate's runs; a candidate without a finished run gets an empty row."""
    task, runs, groups, rule = asked
    metric = METRICS[rule.metric]
    row = _empty_row(runs, rule)
    if not row["n_runs"]:
        return Candidate(row, [], {}, np.full(1 + rule.replicates, np.nan), False, 0)
    done = runs[runs["state"] == DONE]
    draws = _episode_draws(task, runs, groups, rule.replicates)
    units = [
        make_unit(
            run["key"],
            run["group"],
            task.patients[run["run"]],
            thresholds=task.thresholds[run["run"]],
            weights=task.weights_of(run["run"]),
            metrics=(rule.metric, *rule.others),
        )
        for run in done.to_dict("records")
    ]
    tested = _tested(task, done["run"])
    rarer = effective_size(tested, task.kind)
    if task.kind != "ordinal":
        row["n_positive"] = events = sum(target > 0 for target in tested.values())
    if task.kind == "binary":
        row["prevalence"] = events / len(tested)
    row |= {
        "n_patients": len(tested),
        "chance": chance_level(units, metric),
        **dict(zip(("fold_mean", "fold_sd"), _spread(units, rule.metric), strict=True)),
        **{f"{name}_chance": chance_level(units, METRICS[name]) for name in rule.others},
        **{
            f"{name}_{end}": value
            for name in rule.others
            if name in SPREAD
            for end, value in zip(("fold_mean", "fold_sd"), _spread(units, name), strict=True)
        },
        "trainable_parameters": int(done["trainable_parameters"].max()),
        "train_seconds": float(done["train_seconds"].mean()),
    }
    headline = estimate(units, metric, draws)
    for name in (rule.metric, *rule.others):
        values = headline if name == rule.metric else estimate(units, METRICS[name], draws)
        low, high = (
            bootstrap.percentile_interval(values[1:], rule.confidence, rarer)
            if np.isfinite(values[0])
            else (np.nan, np.nan)
        )
        columns = (
            ("estimate", "ci_low", "ci_high")
            if name == rule.metric
            else (name, f"{name}_ci_low", f"{name}_ci_high")
        )
        row |= dict(zip(columns, (float(values[0]), low, high), strict=True))
    row["n_replicates"] = int(np.isfinite(headline[1:]).sum())
    notes = [*_run_notes(runs), *_unit_notes(units, rule.metric)]
    rates = chosen_rates(done)
    if rates:
        notes.append(rates)
    which = "the rarer class has" if task.kind == "binary" else "there are"
    noun = "test patients with the event" if task.kind == "time_to_event" else "test patients"
    if rarer < bootstrap.SMALLEST_CLASS:
        notes.append(f"no interval: {which} {rarer} {noun}")
    elif rarer < bootstrap.FEW:
        notes.append(
            f"{which} {rarer} {noun}: with fewer than {bootstrap.FEW} the "
            "interval is only a rough one"
        )
    if row["ci_low"] == row["ci_high"] and not all(rule.metric in u.constant for u in units):
        notes.append("the interval has no width: resampling these patients never changes the value")
    row["reason"] = "; ".join(notes) or None
    names = dict(zip(done["key"], done["run"], strict=True))
    kept = [unit.only(rule.metric, summed=draws is None) for unit in units]
    return Candidate(row, kept, names, headline, len(done) == len(runs), rarer)


def _spread(units: Sequence[Unit], metric: str) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1) over folds or episodes with a value."""
    values = np.array([unit.valued[metric][0] for unit in units])
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else float("nan")
    return mean, float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _compare(
    task: Task,
    entry: Candidate,
    best: Candidate,
    draws: dict[Key, Array] | None,
    rule: Rule,
) -> None:
    """Write the paired difference to the best into a candidate's row."""
    difference = paired_difference(entry, best, draws, METRICS[rule.metric])
    if difference is None:
        entry.row["best_group"] = True
        return
    found = bootstrap_t(difference, min(entry.rarer, best.rarer), rule.confidence)
    if entry is not best:
        over_folds = corrected_t(task.trained, entry, best, rule.metric)
        if over_folds is not None:
            entry.row["p_corrected_t"] = over_folds.p_value
        of_ranking = delong_of(task.patients, entry, best, rule.confidence)
        if of_ranking is not None:
            entry.row["p_delong"] = of_ranking.p_value
            if rule.metric == "auroc":
                # The bootstrap of the AUROC is too careful in small folds.
                found = of_ranking
        entry.row["p_value"] = found.p_value
    entry.row.update(
        difference_to_best=found.difference,
        difference_low=found.low,
        difference_high=found.high,
        # Without an interval there is no evidence of a difference either.
        best_group=not (found.low > 0.0 or found.high < 0.0),
    )


def _correct(ranked: Sequence[Candidate]) -> None:
    """Write the p-values corrected for the number of candidates that are compared."""
    others = ranked[1:]
    corrected = holm([entry.row.get("p_value", np.nan) for entry in others])
    for entry, p_value in zip(others, corrected, strict=True):
        entry.row["p_holm"] = p_value


def _empty_row(runs: pd.DataFrame, rule: Rule) -> dict[str, Any]:
    """Return a candidate's row with its names, counts and state, and no number yet."""
    # Plain lists: most of a large benchmark may be rows of this kind.
    states = runs["state"].tolist()
    done = states.count(DONE)
    if done == len(runs):
        state = DONE
    elif done:
        state = PARTIAL
    else:
        state = next((name for name in STATE_ORDER if name in states), "failed")
    told = zip(states, runs["reason"].tolist(), strict=True)
    reasons = sorted({str(reason) for state, reason in told if state != DONE and pd.notna(reason)})
    named = ("dataset", "endpoint", "regime", "shots", "level", "backbone", "strategy")
    return {
        **{name: runs[name].iloc[0] for name in named},
        "metric": rule.metric,
        "best_group": False,
        "n_runs": done,
        "n_failed": states.count("failed"),
        "state": state,
        "reason": "; ".join(reasons[:3]) or None,
    }


def _run_notes(runs: pd.DataFrame) -> list[str]:
    """Say how many of a candidate's runs are missing, with the first reason."""
    notes = []
    for state, members in runs[runs["state"] != DONE].groupby("state"):
        reasons = members["reason"].dropna().astype(str)
        because = f": {reasons.iloc[0]}" if len(reasons) else ""
        words = str(state).replace("_", " ")
        notes.append(f"{len(members)} of {len(runs)} runs {words}{because}")
    return notes


def _unit_notes(units: Sequence[Unit], metric: str) -> list[str]:
    """Say in how many runs the metric is undefined or the prediction constant."""
    notes = []
    without = [unit.undefined[metric] for unit in units if metric in unit.undefined]
    if without:
        notes.append(f"undefined in {len(without)} of {len(units)} runs: {without[0]}")
    constant = sum(metric in unit.constant for unit in units)
    if constant:
        notes.append(f"constant prediction in {constant} of {len(units)} runs")
    return notes


def _tested(task: Task, runs: pd.Series[str]) -> dict[str, float]:
    """Return each patient that a candidate's runs tested, with the outcome."""
    tested: dict[str, float] = {}
    for run in runs:
        patients = task.patients[run]
        tested.update(zip(patients.patient_id, patients.target.tolist(), strict=True))
    return tested
