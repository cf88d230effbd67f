"""One candidate of a cell, evaluated by itself: from its runs' predictions to its estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prognobench.evaluation import bootstrap
from prognobench.evaluation.candidates import (
    Key,
    Unit,
    chance_level,
    estimate,
    make_unit,
)
from prognobench.evaluation.choice import DONE, chosen_rates
from prognobench.evaluation.finished import Measured, Runs
from prognobench.evaluation.kinds import effective_size
from prognobench.evaluation.metrics import METRICS, SPREAD
from prognobench.evaluation.paired import Candidate, TestedRun
from prognobench.evaluation.patients import Array, PatientPredictions
from prognobench.evaluation.patients import Unit as Counted
from prognobench.evaluation.task import Task, outcomes_of, read_task

PARTIAL = "partial"
STATE_ORDER = ("failed", "not_feasible", "not_applicable", "running", "pending")
"""Which state a candidate without any finished run is given, the most telling first."""


def is_incomplete(row: Mapping[Any, Any], best: Mapping[Any, Any]) -> bool:
    """Say whether a candidate has missing runs where the best of its cell has none.

    It was tested on fewer patients: it ranks last, and is compared with nobody.

    Args:
        row: The candidate's row of the leaderboard.
        best: That of the best.
    """
    return bool(row["state"] == PARTIAL != best["state"])


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


@dataclass(frozen=True)
class CandidateRuns:
    """The runs of one candidate of a cell, and what its cell draws from.

    Attributes:
        runs: The runs, from :func:`~prognobench.evaluation.choice.choose_runs`, with the columns
            of :func:`~prognobench.evaluation.candidates.run_groups`.
        episodes: The episodes that are drawn from, in order; None where there are none.
        tested: The patients that are drawn from.
        rule: How it is evaluated.
    """

    runs: pd.DataFrame
    episodes: Sequence[Key] | None
    tested: Sequence[str]
    rule: Rule

    @property
    def finished(self) -> int:
        """How many of its runs are done."""
        return self.runs["state"].tolist().count(DONE)


@dataclass(frozen=True)
class EvaluatedCandidate:
    """A candidate, evaluated.

    Attributes:
        candidate: What it is compared by.
        tested: The patients that its runs tested, with their outcomes.
        measured: By run and by what counts once, every metric of that run.
        troubles: Why runs that are done cannot be evaluated, by run.
    """

    candidate: Candidate
    tested: Mapping[str, float]
    measured: Mapping[str, Mapping[Counted, Measured]]
    troubles: Mapping[str, str]


def evaluate(asked: tuple[CandidateRuns, Runs]) -> EvaluatedCandidate:
    """Evaluate a candidate's runs, whose predictions are read here.

    Args:
        asked: The candidate, and what reads its runs.

    Raises:
        UserError: When two of its runs disagree on a patient's outcome.
    """
    own, read = asked
    if not own.finished:
        return EvaluatedCandidate(_without_numbers(own.runs, own.rule), {}, {}, {})
    task, runs = read_task(own.runs, read, own.rule.replicates, own.tested)
    done = own.runs[own.runs["state"] == DONE].to_dict("records")
    found = {run["run"]: read.finished(run) for run in done if run["run"] in task.patients}
    reasons = dict(zip(runs["run"], runs["reason"], strict=True))
    return EvaluatedCandidate(
        evaluate_candidate(task, runs, own.episodes, own.rule),
        _tested(task, task.patients),
        {
            run: {"patient": one.by_patient.measured, "image": one.by_image.measured}
            for run, one in found.items()
        },
        {run["run"]: str(reasons[run["run"]]) for run in done if run["run"] not in found},
    )


def episode_draws(
    runs: pd.DataFrame, episodes: Sequence[Key] | None, replicates: int
) -> dict[Key, Array] | None:
    """Draw a cell's episodes, the same for all candidates.

    Args:
        runs: Runs of the cell.
        episodes: The episodes; None where there are none.
        replicates: Number of replicates B.

    Returns:
        By episode, how often it is drawn, of shape [1 + B]; None where there are none.
    """
    if episodes is None:
        return None
    if not episodes:
        return {}
    named = (str(runs[name].iloc[0]) for name in ("dataset", "endpoint", "regime"))
    weights = bootstrap.episode_multiplicities(len(episodes), replicates, *named)
    return {episode: weights[:, place] for place, episode in enumerate(episodes)}


def units_again(own: CandidateRuns, read: Runs) -> list[Unit]:
    """Return a candidate's finished runs with replicates of the metric that ranks.

    Args:
        own: The candidate.
        read: What reads its runs.
    """
    task, runs = read_task(own.runs, read, own.rule.replicates, own.tested)
    return headline_units(task, runs, own.rule)


def headline_units(task: Task, runs: pd.DataFrame, rule: Rule) -> list[Unit]:
    """Return a candidate's finished runs with replicates of the metric that ranks.

    Args:
        task: The patients of these runs.
        runs: The runs, with their keys and groups.
        rule: How they are evaluated.
    """
    return _units(task, runs[runs["state"] == DONE], (rule.metric,))


def _units(task: Task, done: pd.DataFrame, metrics: Sequence[str]) -> list[Unit]:
    return [
        make_unit(
            run["key"],
            run["group"],
            task.patients[run["run"]],
            thresholds=task.thresholds[run["run"]],
            weights=task.weights_of(run["run"]),
            metrics=metrics,
        )
        for run in done.to_dict("records")
    ]


def evaluate_candidate(
    task: Task, runs: pd.DataFrame, episodes: Sequence[Key] | None, rule: Rule
) -> Candidate:
    """Evaluate one candidate's runs; a candidate without a finished run gets an empty row.

    Args:
        task: The patients of these runs, and the draws.
        runs: The runs, with their keys and groups.
        episodes: The episodes of the cell; None where there are none.
        rule: The metrics, the replicates and the confidence.
    """
    metric = METRICS[rule.metric]
    row = _empty_row(runs, rule)
    if not row["n_runs"]:
        return _without_numbers(runs, rule)
    done = runs[runs["state"] == DONE]
    draws = episode_draws(runs, episodes, rule.replicates)
    units = _units(task, done, (rule.metric, *rule.others))
    tested = _tested(task, done["run"])
    rarer = effective_size(tested, task.kind)
    if task.kind != "ordinal":
        row["n_positive"] = events = sum(target > 0 for target in tested.values())
    if task.kind == "binary":
        row["prevalence"] = events / len(tested)
    row |= {
        "n_patients": len(tested),
        "chance": chance_level(units, metric, episodes=draws is not None),
        **dict(zip(("fold_mean", "fold_sd"), _spread(units, rule.metric), strict=True)),
        **{
            f"{name}_chance": chance_level(units, METRICS[name], episodes=draws is not None)
            for name in rule.others
        },
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
    notes = [
        *_run_notes(runs),
        *_unit_notes(units, rule.metric),
        *_choice_notes(done),
        *_size_notes(task, rarer),
    ]
    if row["ci_low"] == row["ci_high"] and not all(rule.metric in u.constant for u in units):
        notes.append("the interval has no width: resampling these patients never changes the value")
    row["reason"] = "; ".join(notes) or None
    complete = len(done) == len(runs)
    kept = [] if complete else [u.only(rule.metric, summed=draws is None) for u in units]
    return Candidate(row, _runs(task, done, units, rule), headline, complete, rarer, kept)


def _without_numbers(runs: pd.DataFrame, rule: Rule) -> Candidate:
    """Return a candidate without a finished run."""
    nothing = np.full(1 + rule.replicates, np.nan)
    return Candidate(_empty_row(runs, rule), {}, nothing, complete=False, rarer=0)


def _runs(
    task: Task, done: pd.DataFrame, units: Sequence[Unit], rule: Rule
) -> dict[Key, TestedRun]:
    """Return what comparisons need of a candidate's finished runs, in the order of their keys."""
    names = done["run"].tolist()
    tested = [patient for run in names for patient in task.patients[run].patient_id]
    once = len(set(tested)) == len(tested)
    found = {}
    for run, unit in zip(names, units, strict=True):
        own = task.patients[run]
        scores = None
        if once and isinstance(own, PatientPredictions):
            scores = own.target, own.probability
        value = float(unit.valued[rule.metric][0])
        found[unit.key] = TestedRun(run, value, unit.size[0], task.trained[run], scores)
    return {key: found[key] for key in sorted(found, key=repr)}


def _tested(task: Task, runs: Iterable[str]) -> dict[str, float]:
    """Return each patient that a candidate's runs tested, with the outcome."""
    tested: dict[str, float] = {}
    for run in runs:
        tested |= outcomes_of(task.patients[run])
    return tested


def _spread(units: Sequence[Unit], metric: str) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1) over folds or episodes with a value."""
    values = np.array([unit.valued[metric][0] for unit in units])
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else float("nan")
    return mean, float(values.std(ddof=1)) if len(values) > 1 else float("nan")


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


def _choice_notes(done: pd.DataFrame) -> list[str]:
    """Say which learning rates were chosen from a grid."""
    rates = chosen_rates(done)
    return [rates] if rates else []


def _size_notes(task: Task, rarer: int) -> list[str]:
    """Say where there are too few patients for an interval, or for a good one."""
    which = "the rarer class has" if task.kind == "binary" else "there are"
    noun = "test patients with the event" if task.kind == "time_to_event" else "test patients"
    if rarer < bootstrap.SMALLEST_CLASS:
        return [f"no interval: {which} {rarer} {noun}"]
    if rarer < bootstrap.FEW:
        return [
            f"{which} {rarer} {noun}: with fewer than {bootstrap.FEW} the interval is only a "
            "rough one"
        ]
    return []


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
