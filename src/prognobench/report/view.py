"""The report's tables as rows of text, ready for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prognobench.evaluation.controls import CONTROL
from prognobench.evaluation.metric import Metric
from prognobench.report import words
from prognobench.report.content import Cell, ReportContent, records


@dataclass(frozen=True)
class Entry:
    """One table cell.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; None sorts last.
        metric: The metric it belongs to, for the filter; ``*`` for what belongs to the one that
            ranks; None if to none.
        kind: How it is set: ``text``, ``number`` or ``best``; ``further`` is left out on paper.
        below: A small second line, such as the chance level.
    """

    text: str
    sort: str | float | None
    metric: str | None = None
    kind: str = "text"
    below: str = ""


@dataclass(frozen=True)
class Heading:
    """One column heading: its text, a small second line, and the metric it belongs to."""

    text: str
    below: str = ""
    metric: str | None = None
    kind: str = "text"


@dataclass(frozen=True)
class BoardRow:
    """A row of the leaderboard: what it belongs to, whether in the best group, its cells."""

    task: str
    setting: str
    best: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Board:
    """The leaderboard: headings, rows, and what is not shown."""

    headings: tuple[Heading, ...]
    rows: tuple[BoardRow, ...]
    note: str = ""


MOST_ROWS = 1200
"""Rows of the leaderboard on the page; beyond, each setting shows its best."""

ON_PAPER = ("mcc", "pr_auc", "auroc", "quadratic_kappa", "mae", "c_index", "integrated_brier")
"""Metrics whose columns are printed, besides those that rank."""

LEAST_ROWS = 5
"""Candidates that a setting shows at least."""


def shown_metrics(content: ReportContent) -> list[Metric]:
    """Return the metrics of the leaderboard, those that rank first, as far as any has a value."""
    board = content.leaderboard
    ranking = [content.metrics[name] for name in board["metric"].dropna().unique()]
    with_values = [
        metric
        for name, metric in content.metrics.items()
        if f"{name}_ci_low" in board.columns and board[name].notna().any()
    ]
    return [*ranking, *(metric for metric in with_values if metric not in ranking)]


def board(content: ReportContent, found: Sequence[Cell]) -> Board:
    """Return the leaderboard of all tasks and settings as text."""
    metrics = shown_metrics(content)
    held = f"{words.level(content.confidence)} interval"
    headline = {cell.metric.name for cell in found}
    ranking = [metric for metric in metrics if metric.name in headline]
    others = [metric for metric in metrics if metric.name not in headline]
    shared = {metric.name: _shared_chance(found, metric) for metric in metrics}

    def title(metric: Metric) -> Heading:
        below = "; ".join(filter(None, [held, shared[metric.name]]))
        return Heading(metric.title, below, metric.name, _kind(metric, ranking))

    headings = (
        Heading("Task"),
        Heading("Regime"),
        Heading("Rank", kind="number"),
        Heading("Backbone"),
        Heading("Strategy"),
        *map(title, ranking),
        Heading("Difference to the best", f"paired, {held}", "*", "number"),
        Heading("Told apart from best?", "", "*"),
        Heading("Over the best control", f"paired, {held}", "*", "number"),
        *map(title, others),
        Heading("Runs", "done", kind="number"),
        Heading("Trained parameters", kind="number"),
        Heading("Training time", "mean a run", kind="number"),
        Heading("Notes"),
    )
    every = sum(len(cell.rows) + len(cell.controls) for cell in found)
    most = None
    if every > MOST_ROWS:
        most = max(LEAST_ROWS, MOST_ROWS // max(len(found), 1) - 2)
    rows = []
    for cell in found:
        kept = cell.rows if most is None else cell.rows[:most]
        controls = cell.controls
        if most is not None:
            best = cell.ranked[0]["control"] if cell.ranked else None
            controls = tuple(row for row in controls if row["strategy"] == best)
        rows += [
            BoardRow(
                cell.task,
                cell.setting,
                cell.is_best(row),
                entries(row, cell, ranking, others, shared),
            )
            for row in (*kept, *controls)
        ]
        if len(rows) >= 2 * MOST_ROWS:
            break  # more settings than rows: the file holds the rest
    note = ""
    if len(rows) < every:
        note = (
            f"{words.count(len(rows))} of {words.count(every)} rows are shown, the best of each "
            "setting; leaderboard.csv holds all."
        )
    return Board(headings, tuple(rows), note)


def _kind(metric: Metric, ranking: Sequence[Metric]) -> str:
    """Return how a metric's column is set: on paper there is no room for all."""
    return "number" if metric in ranking or metric.name in ON_PAPER else "number further"


def _shared_chance(found: Sequence[Cell], metric: Metric) -> str:
    """Return what all values of a metric are to be read against; empty where they differ."""
    against = {
        words.chance_words(metric, row, cell.metric)
        for cell in found
        for row in (*cell.ranked, *cell.controls)
        if row.get(words.metric_columns(metric, cell.metric)[0]) is not None
    }
    return against.pop() if len(against) == 1 else ""


def entries(
    row: Mapping[str, Any],
    cell: Cell,
    ranking: Sequence[Metric],
    others: Sequence[Metric],
    shared: Mapping[str, str],
) -> tuple[Entry, ...]:
    """Return a leaderboard row as table cells, in the order of the headings.

    Args:
        row: The row.
        cell: Its cell.
        ranking: The metrics that rank, in this cell or another.
        others: The other metrics that are shown.
        shared: By metric, what its heading says already of chance.
    """
    headline = cell.metric

    def metric_entry(metric: Metric) -> Entry:
        value = row.get(words.metric_columns(metric, headline)[0])
        text = words.value_with_interval(row, metric, headline)
        against = words.chance_words(metric, row, headline) if value is not None else ""
        against = "" if shared[metric.name] else against
        return Entry(text, value, metric.name, _kind(metric, ranking), against)

    ranked = row["rank"] is not None
    leads = ranked and row["rank"] == 1
    if not ranked:
        difference, apart = words.MISSING, words.MISSING
    elif leads:
        difference, apart = "best estimate", words.MISSING
    else:
        names = ("difference_to_best", "difference_low", "difference_high")
        difference = words.difference(row, *names)
        apart = "no" if row["best_group"] else "yes"
        if row["difference_low"] is None:
            apart = "not tested"
        elif cell.is_incomplete(row):
            apart += ", by the runs it has"
    over = words.difference(row, "control_difference", "control_low", "control_high")
    note = row["reason"] or ""
    if row["state"] not in ("done", "partial"):
        state = str(row["state"]).replace("_", " ").replace("not applicable", "n/a")
        note = f"{state}: {note}" if note else state
    parameters, time = row["trainable_parameters"], row["train_seconds"]
    failed = f" ({words.count(row['n_failed'])} failed)" if row["n_failed"] else ""
    strategy = str(row["strategy"])
    shown = strategy.replace("_", " ") if row["backbone"] == CONTROL else strategy
    return (
        Entry(cell.task, cell.task),
        Entry(cell.setting, cell.setting),
        Entry(words.count(row["rank"]), row["rank"], None, "number"),
        Entry(str(row["backbone"]), str(row["backbone"])),
        Entry(shown, strategy),
        *(metric_entry(metric) for metric in ranking),
        Entry(difference, row["difference_to_best"], "*", "number"),
        Entry(apart, apart, "*", "best" if cell.is_best(row) else "text"),
        Entry(over, row["control_difference"], "*", "number"),
        *(metric_entry(metric) for metric in others),
        Entry(words.count(row["n_runs"]) + failed, row["n_runs"], None, "number"),
        Entry(words.count(parameters), parameters, None, "number"),
        Entry(words.seconds(time), time, None, "number"),
        Entry(note, note),
    )


def rank_settings(content: ReportContent) -> list[tuple[str, pd.DataFrame]]:
    """Return, for each setting with several tasks, its name and its rows of ``ranks.csv``."""
    if content.ranks.empty:
        return []
    found = []
    keys = ["regime", "shots", "level"]
    for _, own in content.ranks.groupby(keys, dropna=False, sort=False):
        first = records(own.head(1))[0]
        varied = f", {first['shots']} shots" if first["shots"] is not None else ""
        varied += f", {100 * first['level']:g} %" if first["level"] is not None else ""
        found.append((f"{first['regime'].replace('_', ' ')}{varied}", own))
    return found


def rankings(content: ReportContent) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return, for each setting with several tasks, its name, what is tested, and mean ranks."""
    found = []
    for setting, own in rank_settings(content):
        rows = records(own)
        first = rows[0]
        told = [f"{note[:1].upper()}{note[1:]}."] if (note := first["note"]) else []
        if first["p_value"] is not None:
            told.append(
                f"Friedman's test over {first['blocks']} cohorts: p = {first['p_value']:.3g}. "
                + (
                    "No candidate is told apart from another, and Nemenyi's test is not made."
                    if first["critical_difference"] is None
                    else "Candidates that share a letter cannot be told apart (Nemenyi)."
                )
            )
        found.append((setting, " ".join(told), rows))
    return found


def unfinished(content: ReportContent) -> list[dict[str, Any]]:
    """Return runs that are not done, counted by candidate, state and reason."""
    runs = content.runs
    keys = ["state", "dataset", "endpoint", "backbone", "strategy", "regime", "reason"]
    return _counted(runs[runs["state"] != "done"], keys)


def undefined(content: ReportContent) -> list[dict[str, Any]]:
    """Return the metrics without a value in runs that were evaluated, by reason.

    Metrics that share a reason in as many runs share a row. The control ``prevalence``, which gives
    every patient the same by its nature, is not among them.
    """
    results = content.results[content.results["strategy"] != "prevalence"]
    without = results[results["value"].isna() & results["n_test"].notna()]
    keys = ["dataset", "endpoint", "regime", "reason", "count"]
    found: dict[tuple[Any, ...], list[str]] = {}
    for row in _counted(without, ["metric", *keys[:-1]]):
        found.setdefault(tuple(row[key] for key in keys), []).append(row["metric"])
    return [
        {"metrics": ", ".join(names), **dict(zip(keys, values, strict=True))}
        for values, names in found.items()
    ]


def collapsed(content: ReportContent) -> list[dict[str, Any]]:
    """Return, counted by candidate, the runs that gave every patient the same score.

    The control ``prevalence`` does so by its nature and is not among them.
    """
    results = content.results[content.results["strategy"] != "prevalence"]
    constant = results[
        results["metric"].isin(["auroc", "mae", "c_index"]) & results["flag"].notna()
    ]
    return _counted(constant, ["dataset", "endpoint", "regime", "backbone", "strategy"])


def _counted(table: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    if table.empty:
        return []
    counted = table.groupby(keys, dropna=False, sort=False).size().reset_index(name="count")
    return records(counted)


def flow_rows(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a participant flow as text: what is there, and with a minus what was taken out."""
    rows = []
    for place, step in enumerate(steps):
        total = place in (0, len(steps) - 1)
        sign = "" if total else "−"
        row: dict[str, Any] = {"reason": step.get("reason") or step.get("step"), "total": total}
        for name in ("images", "patients", "events"):
            amount = step.get(name)
            text = words.MISSING if amount is None else words.count(amount)
            row[name] = f"{sign}{text}" if amount else text
        rows.append(row)
    return rows


def named_values(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return nested plain data as name and text, inner names after a dot."""
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            rows.extend((f"{key}: {inner}", text) for inner, text in named_values(value))
        elif isinstance(value, (list, tuple)):
            rows.append((key, ", ".join(map(str, value))))
        elif value not in (None, ""):
            rows.append((key, str(value)))
    return rows


def totals(content: ReportContent) -> list[tuple[str, str]]:
    """Return how many runs are in which state, and the seeds and splits they used."""
    runs = content.runs
    states = runs["state"].value_counts()
    rows = [
        (str(state).replace("_", " "), words.plural(int(amount), "run"))
        for state, amount in states.items()
    ]
    seeds = sorted({int(seed) for seed in runs["seed"].dropna()})
    rows.append(("seeds", words.listing(map(str, seeds), most=20)))
    rows.append(("splits", words.count(runs["split"].nunique())))
    return rows
