"""One cell of the benchmark: the candidates that meet on one task, regime and number of shots.

They are ranked, and each is compared with the best on the same patients, draws and folds. The
best group is everyone whose difference to the best cannot be told from zero: with few patients
that is most of the table, and a first rank alone says nothing (Varoquaux and Colliot 2023,
Machine Learning for Brain Disorders, chapter 20; Christodoulou et al. 2024, MICCAI).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    has_episodes,
    make_unit,
    run_groups,
)
from prognobench.evaluation.choice import chosen_rates
from prognobench.evaluation.comparison import (
    bootstrap_p_value,
    corrected_resampled_t,
    delong_over_folds,
    holm,
)
from prognobench.evaluation.controls import against_controls, is_control
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.paired import Candidate, paired_difference
from prognobench.evaluation.patients import Array, PatientPredictions

DONE = "done"
PARTIAL = "partial"
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
    """

    dataset: str
    endpoint: str
    patients: Mapping[str, PatientPredictions]
    thresholds: Mapping[str, Mapping[str, float | None]]
    trained: Mapping[str, int]
    index: pd.Index[Any]
    weights: Array

    def weights_of(self, run: str) -> Array:
        """Return the multiplicities of the test patients of one run."""
        patients = pd.Index(self.patients[run].patient_id)
        return np.take(self.weights, self.index.get_indexer(patients), axis=1)


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


def cell_rows(task: Task, runs: pd.DataFrame, rule: Rule) -> list[dict[str, Any]]:
    """Evaluate, rank and compare the candidates of one cell.

    Controls are evaluated on the same draws, and are not ranked.

    Args:
        task: The patients and draws of the cell's task.
        runs: The cell's runs: one dataset, endpoint, regime and number of shots.
        rule: The metrics, the replicates and the confidence.

    Returns:
        One leaderboard row a candidate, not yet sorted.
    """
    runs = runs.join(run_groups(runs))
    draws = _episode_draws(task, runs, rule)
    metric = METRICS[rule.metric]
    everybody = [
        _candidate(task, members, draws, rule)
        for _, members in runs.groupby(["backbone", "strategy"], sort=True)
    ]
    candidates = [entry for entry in everybody if not is_control(entry.row)]
    controls = [entry for entry in everybody if is_control(entry.row)]
    with_estimate = [entry for entry in candidates if np.isfinite(entry.headline[0])]
    if with_estimate:
        order = sorted(with_estimate, key=lambda entry: entry.standing(metric))
        for entry in order:
            # Equal estimates share a rank: the order of names is no evidence.
            standing = entry.standing(metric)
            entry.row["rank"] = 1 + sum(other.standing(metric) < standing for other in order)
            _compare(entry, order[0], draws, metric, rule.confidence)
            if entry is not order[0]:
                entry.row.update(_named_tests(task, entry, order[0], rule.metric))
        _correct(order)
    against_controls(candidates, controls, draws, metric, rule.confidence)
    return [entry.row for entry in everybody]


def _episode_draws(task: Task, runs: pd.DataFrame, rule: Rule) -> dict[Key, Array] | None:
    """Draw the cell's episodes, once for all candidates; None where there are no episodes."""
    if not has_episodes(runs):
        return None
    groups = sorted(set(runs.loc[runs["state"] == DONE, "group"]), key=repr)
    if not groups:
        return {}
    weights = bootstrap.episode_multiplicities(
        len(groups), rule.replicates, task.dataset, task.endpoint, str(runs["regime"].iloc[0])
    )
    return {group: weights[:, place] for place, group in enumerate(groups)}


def _candidate(
    task: Task,
    runs: pd.DataFrame,
    draws: dict[Key, Array] | None,
    rule: Rule,
) -> Candidate:
    """Evaluate one candidate's runs; a candidate without a finished run gets an empty row."""
    done = runs[runs["state"] == DONE]
    metric = METRICS[rule.metric]
    row = _empty_row(runs, len(done), rule)
    if done.empty:
        return Candidate(row, [], {}, np.full(1 + rule.replicates, np.nan), False)
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
    events = int(sum(tested.values()))
    rarer = min(events, len(tested) - events)
    enough = rarer >= bootstrap.SMALLEST_CLASS
    prevalence = events / len(tested)
    row |= {
        "n_patients": len(tested),
        "n_positive": events,
        "prevalence": prevalence,
        "chance": chance_level(units, metric),
        **dict(zip(("fold_mean", "fold_sd"), _spread(units, rule.metric), strict=True)),
        **{f"{name}_chance": chance_level(units, METRICS[name]) for name in rule.others},
        "trainable_parameters": int(done["trainable_parameters"].max()),
        "train_seconds": float(done["train_seconds"].mean()),
    }
    headline = estimate(units, metric, draws)
    for name in (rule.metric, *rule.others):
        values = headline if name == rule.metric else estimate(units, METRICS[name], draws)
        low, high = (
            bootstrap.percentile_interval(values[1:], rule.confidence)
            if enough and np.isfinite(values[0])
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
    if not enough:
        notes.append(f"no interval: the rarer class has {rarer} test patients")
    elif row["ci_low"] == row["ci_high"] and not all(rule.metric in u.constant for u in units):
        notes.append("the interval has no width: resampling these patients never changes the value")
    row["reason"] = "; ".join(notes) or None
    names = dict(zip(done["key"], done["run"], strict=True))
    return Candidate(row, units, names, headline, len(done) == len(runs))


def _spread(units: Sequence[Unit], metric: str) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1) over folds or episodes with a value."""
    values = np.array([unit.valued[metric][0] for unit in units])
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else float("nan")
    return mean, float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _compare(
    entry: Candidate,
    best: Candidate,
    draws: dict[Key, Array] | None,
    metric: Metric,
    confidence: float,
) -> None:
    """Write the paired difference to the best into a candidate's row."""
    difference = paired_difference(entry, best, draws, metric)
    if difference is None:
        entry.row["best_group"] = True
        return
    low, high = bootstrap.percentile_interval(difference[1:], confidence)
    if entry is not best:
        entry.row["p_value"] = bootstrap_p_value(difference[1:])
    entry.row.update(
        difference_to_best=float(difference[0]),
        difference_low=low,
        difference_high=high,
        # Without an interval there is no evidence of a difference either.
        best_group=not (low > 0.0 or high < 0.0),
    )


def _correct(ranked: Sequence[Candidate]) -> None:
    """Write the p-values corrected for the number of candidates that are compared."""
    others = ranked[1:]
    corrected = holm([entry.row.get("p_value", np.nan) for entry in others])
    for entry, p_value in zip(others, corrected, strict=True):
        entry.row["p_holm"] = p_value


def _named_tests(task: Task, mine: Candidate, theirs: Candidate, metric: str) -> dict[str, float]:
    """Return the p-values of the tests known by name, over what both candidates have finished.

    The corrected resampled t-test needs values of folds; DeLong's test is made where no patient
    is tested twice.
    """
    common = sorted(set(mine.runs) & set(theirs.runs), key=repr)
    own, other = ({unit.key: unit for unit in side.units} for side in (mine, theirs))
    pairs = [(own[key].valued[metric][0], other[key].valued[metric][0]) for key in common]
    pairs = [pair for pair in pairs if np.isfinite(pair).all()]
    found = {}
    if len(pairs) > 1:
        tested = np.mean([own[key].size[0] / task.trained[mine.runs[key]] for key in common])
        first, second = zip(*pairs, strict=True)
        found["p_corrected_t"] = corrected_resampled_t(first, second, float(tested)).p_value
    scores = [(task.patients[mine.runs[key]], task.patients[theirs.runs[key]]) for key in common]
    patients = [patient for left, _ in scores for patient in left.patient_id]
    if patients and len(set(patients)) == len(patients):
        folds = [(left.target, left.probability, right.probability) for left, right in scores]
        test = delong_over_folds(folds)
        if test is not None:
            found["p_delong"] = test.p_value
    return found


def _empty_row(runs: pd.DataFrame, done: int, rule: Rule) -> dict[str, Any]:
    """Return a candidate's row with its names, counts and state, and no number yet."""
    first = runs.iloc[0]
    states = set(runs["state"])
    if done == len(runs):
        state = DONE
    elif done:
        state = PARTIAL
    else:
        state = next((name for name in STATE_ORDER if name in states), "failed")
    reasons = sorted(set(runs.loc[runs["state"] != DONE, "reason"].dropna().astype(str)))
    return {
        **{name: first[name] for name in ("dataset", "endpoint", "regime", "shots", "level")},
        "backbone": first["backbone"],
        "strategy": first["strategy"],
        "metric": rule.metric,
        "best_group": False,
        "n_runs": done,
        "n_failed": int((runs["state"] == "failed").sum()),
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


def _tested(task: Task, runs: pd.Series[str]) -> dict[str, int]:
    """Return each patient that a candidate's runs tested, with the outcome."""
    tested: dict[str, int] = {}
    for run in runs:
        patients = task.patients[run]
        tested.update(zip(patients.patient_id, patients.target.tolist(), strict=True))
    return tested
