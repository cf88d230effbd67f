"""Which candidate of a benchmark is exported, and what must be said about that choice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from prognobench.errors import UserError, nearest
from prognobench.evaluation.choice import IMPOSSIBLE, SAME, choose_runs
from prognobench.evaluation.controls import CONTROL, is_control
from prognobench.evaluation.evaluated import PARTIAL, is_incomplete
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.patients import Predictions
from prognobench.evaluation.tables import leaderboard
from prognobench.spec import EvaluationSpec

REFITTED_REGIMES = ("full_data", "leave_one_site_out")
"""Regimes whose procedure can be repeated on all patients of the task."""


Tested: TypeAlias = Mapping[tuple[str, str], Collection[str]]


@dataclass(frozen=True)
class Asked:
    """What of a benchmark shall be exported; None where it is to be found.

    Attributes:
        task: ``dataset/endpoint``, or the endpoint alone where that is clear.
        backbone: Label of the backbone, as the leaderboard has it.
        strategy: Label of the strategy.
        regime: The regime whose candidates are meant.
        run: A run, by its id or the beginning of it; the model is then that of this run.
    """

    task: str | None = None
    backbone: str | None = None
    strategy: str | None = None
    regime: str | None = None
    run: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The candidate that is exported.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        backbone: Label of the backbone.
        strategy: Label of the strategy.
        regime: The regime that it was measured in.
        row: Its row of the leaderboard, missing values as None; empty where it has none.
        runs: All finished or failed runs of the candidate in that cell.
        run: The run whose model is taken; None for a model trained anew.
        findings: What must be said of the choice, in sentences.
    """

    dataset: str
    endpoint: str
    backbone: str
    strategy: str
    regime: str
    row: Mapping[str, Any]
    runs: pd.DataFrame
    run: str | None
    findings: tuple[str, ...]

    @property
    def task(self) -> str:
        """The task's name."""
        return f"{self.dataset}/{self.endpoint}"


def choose(
    runs: pd.DataFrame,
    predictions: Predictions,
    evaluation: EvaluationSpec,
    asked: Asked,
    tested: Tested,
) -> Chosen:
    """Choose a candidate: the one asked for, that of the run asked for, or the best.

    Args:
        runs: The runs of the benchmark.
        predictions: Gives the stored predictions of a run.
        evaluation: How the leaderboard is made.
        asked: What is asked for.
        tested: The patients that all runs of the benchmark test, by dataset and endpoint: the
            intervals are then those of its leaderboard.

    Raises:
        UserError: When there is no such task, candidate or run, or nothing of it is done.
    """
    if asked.run is not None:
        picked = _run(runs, asked.run)
        return _of_run(runs, predictions, evaluation, picked, tested)
    own = runs[_is_task(runs, _task(runs, asked.task))]
    regime = _regime(own, asked.regime)
    cell = own[own["regime"] == regime]
    board = _board(cell, predictions, evaluation, tested)
    candidates = [row for row in board if not is_control(row)]
    row = _candidate(candidates, asked)
    if row["estimate"] is None:
        raise UserError(
            f"nothing of {row['backbone']} with {row['strategy']} is done ({row['reason']}): "
            "run the benchmark first"
        )
    return _chosen(row, cell, None, _findings(row, candidates))


def _run(runs: pd.DataFrame, wanted: str) -> pd.Series[Any]:
    found = runs[runs["run"].str.startswith(wanted)] if wanted else runs[:0]
    if len(found) != 1:
        words = "there is no run" if found.empty else f"{len(found)} runs begin with"
        raise UserError(f"{words} '{wanted}': name one by its id in results.csv")
    picked = found.iloc[0]
    if picked["backbone"] == CONTROL:
        raise UserError(f"the run '{wanted}' is a control, which is no model of the image")
    if picked["state"] != "done":
        raise UserError(f"the run '{wanted}' is {picked['state']}: name one that is done")
    return picked


def _of_run(
    runs: pd.DataFrame,
    predictions: Predictions,
    evaluation: EvaluationSpec,
    picked: pd.Series[Any],
    tested: Tested,
) -> Chosen:
    same = _is_task(runs, (picked["dataset"], picked["endpoint"]))
    for key in ("regime", "shots", "level"):
        value = picked[key]
        same &= runs[key].isna() if pd.isna(value) else runs[key] == value
    cell = runs[same]
    _check_chosen(picked, choose_runs(cell))
    board = _board(cell, predictions, evaluation, tested)
    board = [row for row in board if not is_control(row)]
    names = {"backbone": picked["backbone"], "strategy": picked["strategy"]}
    row = next(own for own in board if all(own[key] == value for key, value in names.items()))
    finding = (
        f"This is the model of one run ({picked['split']}), which trained on a part of the "
        "patients; the numbers below are of all runs of its candidate."
    )
    return _chosen(row, cell, str(picked["run"]), [finding, *_findings(row, board)])


def _check_chosen(picked: pd.Series[Any], stands: pd.DataFrame) -> None:
    """Refuse a run that is no part of its candidate's numbers, which cannot describe it."""
    if picked["run"] in set(stands["run"]):
        return
    (instead,) = stands[(stands[SAME] == picked[SAME]).all(axis="columns")].to_dict("records")
    if instead["state"] != "done":
        raise UserError(
            f"the run '{picked['run']}' is one of several learning rates, and which of them is "
            "taken is not known before all are done: run the benchmark first"
        )
    raise UserError(
        f"the run '{picked['run']}' has a learning rate that validation did not choose, so that no "
        f"number describes it: name '{instead['run']}', which stands for its split"
    )


def _chosen(
    row: Mapping[str, Any], cell: pd.DataFrame, run: str | None, findings: Iterable[str]
) -> Chosen:
    return Chosen(
        **{key: row[key] for key in ("dataset", "endpoint", "backbone", "strategy", "regime")},
        row=row,
        runs=_of_candidate(cell, row["backbone"], row["strategy"]),
        run=run,
        findings=tuple(findings),
    )


def _is_task(runs: pd.DataFrame, task: tuple[str, str]) -> pd.Series[bool]:
    return (runs["dataset"] == task[0]) & (runs["endpoint"] == task[1])


def _of_candidate(cell: pd.DataFrame, backbone: str, strategy: str) -> pd.DataFrame:
    return cell[(cell["backbone"] == backbone) & (cell["strategy"] == strategy)]


def _task(runs: pd.DataFrame, wanted: str | None) -> tuple[str, str]:
    tasks = list(dict.fromkeys(zip(runs["dataset"], runs["endpoint"], strict=True)))
    if not tasks:
        raise UserError("the output folder holds no runs: run the benchmark first")
    names = {f"{dataset}/{endpoint}": (dataset, endpoint) for dataset, endpoint in tasks}
    if wanted is None:
        if len(tasks) == 1:
            return tasks[0]
        raise UserError(f"the benchmark has several tasks: name one by --task {' or '.join(names)}")
    if wanted in names:
        return names[wanted]
    alike = [task for task in tasks if task[1] == wanted]
    if len(alike) == 1:
        return alike[0]
    raise UserError(f"--task: there is no task '{wanted}': {nearest(wanted, names)}")


def _regime(own: pd.DataFrame, wanted: str | None) -> str:
    there = list(dict.fromkeys(own["regime"]))
    if wanted is not None and wanted not in there:
        raise UserError(f"--regime: there is no regime '{wanted}': {nearest(wanted, there)}")
    possible = [name for name in there if name in REFITTED_REGIMES]
    chosen = wanted or next(iter(possible), None)
    if chosen is None or chosen not in REFITTED_REGIMES:
        raise UserError(
            f"models are trained anew by the procedure of {' or '.join(REFITTED_REGIMES)}, and the "
            f"regime here is {', '.join(there)}: export one of its runs with --run"
        )
    return chosen


def _board(
    cell: pd.DataFrame, predictions: Predictions, evaluation: EvaluationSpec, tested: Tested
) -> list[dict[str, Any]]:
    asked = (evaluation.metric, evaluation.replicates, evaluation.confidence)
    table = leaderboard(cell, predictions, *asked, tested=tested)
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _candidate(candidates: list[dict[str, Any]], asked: Asked) -> dict[str, Any]:
    found = candidates
    for key, wanted in (("backbone", asked.backbone), ("strategy", asked.strategy)):
        known = {row[key] for row in found}
        if wanted is not None and wanted not in known:
            raise UserError(f"--{key}: there is no '{wanted}' there: {nearest(wanted, known)}")
        found = [row for row in found if wanted in (None, row[key])]
    return min(found, key=lambda row: (row["rank"] is None, row["rank"]))


def _findings(row: Mapping[str, Any], candidates: list[dict[str, Any]]) -> list[str]:
    """Say what the data do not show of a candidate."""
    metric = METRICS[row["metric"]]
    ranked = [own for own in candidates if own["estimate"] is not None]
    first = min(ranked, key=lambda own: (own["rank"] is None, own["rank"]))
    compared = [own for own in ranked if not is_incomplete(own, first)]
    others = [own for own in candidates if own not in compared]
    # The best itself has runs missing, and then everybody has.
    partial = len(compared) > 1 and first["state"] == PARTIAL
    waiting = [_name(own) for own in others if own["state"] not in IMPOSSIBLE]
    alike = [_name(own) for own in compared if own["best_group"] and _name(own) != _name(row)]
    told = f"{metric.title} {_with_interval(row)}"
    found = []
    if _name(first) == _name(row):
        found.append(f"{_name(row)} has the best estimate of {len(ranked)} candidates: {told}.")
        if waiting:
            found.append(f"Not compared, because runs are missing: {_listed(waiting)}.")
        if alike:
            found.append(f"It cannot be told apart from {_listed(alike)} by these patients.")
    else:
        found.append(f"{_name(row)} was chosen by the user, not by rank: {told}.")
        what = "cannot be told apart from" if row["best_group"] else "is worse than"
        if row not in compared:
            what = "has runs missing and is not compared with"
        found.append(f"It {what} the best, {_name(first)}: {_with_interval(first)}.")
    if partial:
        found.append(
            "All candidates have runs missing: they were compared on what both have done, and "
            "another may turn out the best."
        )
    if row["control"] is None:
        found.append("It was compared with no control, so that nothing shows what it reads.")
    elif not row["beats_controls"]:
        low, high = row["control_low"], row["control_high"]
        ends = "no interval" if low is None else f"{low:.2f} to {high:.2f}"
        found.append(
            f"It has not been shown to beat the control '{row['control']}' (difference "
            f"{row['control_difference']:.2f}, {ends}): these data are no evidence that it reads "
            "more from the image than that."
        )
    if row["n_failed"]:
        found.append(f"{row['n_failed']} of its runs failed.")
    return found


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} others"]
    return ", ".join(shown)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['backbone']} with {row['strategy']}"


def _with_interval(row: Mapping[str, Any]) -> str:
    if row["ci_low"] is None:
        return f"{row['estimate']:.2f} (no interval)"
    return f"{row['estimate']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
