"""The report's tables as rows of text, ready for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prognobench.evaluation.metric import Metric
from prognobench.evaluation.metrics import MAIN_METRICS
from prognobench.report import words
from prognobench.report.content import Cell, ReportContent, records

LONGEST_FACT = 200
MOST_FACTS = 12


@dataclass(frozen=True)
class Entry:
    """One table cell.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; None sorts last.
        metric: The metric it belongs to, for the filter; None if to none.
        kind: How it is set: ``text``, ``number`` or ``best``.
    """

    text: str
    sort: str | float | None
    metric: str | None = None
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    """One column heading: its text, a small second line, and the metric it belongs to."""

    text: str
    below: str = ""
    metric: str | None = None
    kind: str = "text"


@dataclass(frozen=True)
class Board:
    """The leaderboard of one cell: headings, and rows marked when in the best group."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[bool, tuple[Entry, ...]], ...]


def shown_metrics(content: ReportContent, headline: Metric) -> list[Metric]:
    """Return the metrics of the leaderboard, the headline first."""
    others = [content.metrics[name] for name in MAIN_METRICS if name != headline.name]
    return [headline, *others]


def board(content: ReportContent, cell: Cell) -> Board:
    """Return a cell's leaderboard as text."""
    headline = cell.metric
    metrics = shown_metrics(content, headline)
    held = f"{words.level(cell.confidence)} interval"

    def title(metric: Metric) -> Heading:
        below = words.chance_words(metric, cell.ranked[0], headline) if cell.ranked else ""
        return Heading(f"{metric.title} ({held})", below, metric.name, "number")

    headings = (
        Heading("Rank", kind="number"),
        Heading("Backbone"),
        Heading("Strategy"),
        title(headline),
        Heading(f"Difference to the best ({held})", "paired", headline.name, "number"),
        Heading("Told apart from best?", "", headline.name),
        Heading(f"Over the best control ({held})", "paired", headline.name, "number"),
        *(title(metric) for metric in metrics[1:]),
        Heading("Runs", "done", kind="number"),
        Heading("Trained parameters", kind="number"),
        Heading("Training time", "mean a run", kind="number"),
        Heading("Notes"),
    )
    rows = tuple(
        (bool(row["best_group"]), _board_row(row, metrics, headline))
        for row in (*cell.rows, *cell.controls)
    )
    return Board(headings, rows)


def _board_row(
    row: Mapping[str, Any], metrics: Sequence[Metric], headline: Metric
) -> tuple[Entry, ...]:
    def metric_entry(metric: Metric) -> Entry:
        value = row[words.metric_columns(metric, headline)[0]]
        text = words.value_with_interval(row, metric, headline)
        return Entry(text, value, metric.name, "number")

    ranked = row["rank"] is not None
    leads = ranked and row["rank"] == 1
    if not ranked:
        difference, apart = words.MISSING, words.MISSING
    elif leads:
        difference, apart = "best estimate", words.MISSING
    else:
        ends = words.interval(row["difference_low"], row["difference_high"])
        difference = f"{words.number(row['difference_to_best'])} ({ends})"
        apart = "no" if row["best_group"] else "yes"
    note = row["reason"] or ""
    if row["state"] not in ("done", "partial"):
        state = str(row["state"]).replace("_", " ").replace("not applicable", "n/a")
        note = f"{state}: {note}" if note else state
    parameters, time = row["trainable_parameters"], row["train_seconds"]
    failed = f" ({words.count(row['n_failed'])} failed)" if row["n_failed"] else ""
    return (
        Entry(words.count(row["rank"]), row["rank"], None, "number"),
        Entry(str(row["backbone"]), str(row["backbone"])),
        Entry(str(row["strategy"]), str(row["strategy"])),
        metric_entry(headline),
        Entry(difference, row["difference_to_best"], headline.name, "number"),
        Entry(apart, apart, headline.name, "best" if row["best_group"] else "text"),
        Entry(_over_control(row), row["control_difference"], headline.name, "number"),
        *(metric_entry(metric) for metric in metrics[1:]),
        Entry(words.count(row["n_runs"]) + failed, row["n_runs"], None, "number"),
        Entry(words.count(parameters), parameters, None, "number"),
        Entry(words.seconds(time), time, None, "number"),
        Entry(note, note),
    )


def _over_control(row: Mapping[str, Any]) -> str:
    if row["control_difference"] is None:
        return words.MISSING
    ends = words.interval(row["control_low"], row["control_high"])
    return f"{words.number(row['control_difference'])} ({ends})"


def rankings(content: ReportContent) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return, for each setting with several tasks, its name, what is tested, and mean ranks."""
    if content.ranks.empty:
        return []
    found = []
    keys = ["regime", "shots", "level"]
    for _, own in content.ranks.groupby(keys, dropna=False, sort=False):
        rows = records(own)
        first = rows[0]
        varied = f", {first['shots']} shots" if first["shots"] is not None else ""
        varied += f", {100 * first['level']:g} %" if first["level"] is not None else ""
        told = first["note"] or (
            f"Friedman's test over {first['blocks']} cohorts: p = {first['p_value']:.3g}. "
            "Candidates that share a letter cannot be told apart (Nemenyi)."
        )
        found.append((f"{first['regime'].replace('_', ' ')}{varied}", told, rows))
    return found


def unfinished(content: ReportContent) -> list[dict[str, Any]]:
    """Return runs that are not done, counted by candidate, state and reason."""
    runs = content.runs
    keys = ["state", "dataset", "endpoint", "backbone", "strategy", "regime", "reason"]
    return _counted(runs[runs["state"] != "done"], keys)


def undefined(content: ReportContent) -> list[dict[str, Any]]:
    """Return the metrics without a value in runs that were evaluated, counted by reason."""
    results = content.results
    without = results[results["value"].isna() & results["n_test"].notna()]
    return _counted(without, ["metric", "dataset", "endpoint", "regime", "reason"])


def collapsed(content: ReportContent) -> list[dict[str, Any]]:
    """Return, counted by candidate, the runs that gave every patient the same score."""
    results = content.results
    constant = results[(results["metric"] == "auroc") & results["flag"].notna()]
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


def facts(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the plain facts of an audit, its warnings left out.

    Lists are counted and not shown, and ids are left out: a report is passed on, and who is in
    the cohort is not for everybody.
    """
    shown = []
    for key, value in audit.items():
        if key == "warnings" or key.endswith(("_id", "_ids")):
            continue
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            plain = [
                f"{inner.replace('_', ' ')}: {_fact(content)}"
                for inner, content in value.items()
                if not inner.endswith(("_id", "_ids"))
            ]
            text = "; ".join(plain) if len(plain) <= MOST_FACTS else f"{len(plain)} entries"
        else:
            text = _fact(value)
        shown.append((name, text))
    return shown


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple, set, Mapping)):
        return words.plural(len(value), "entry").replace("entrys", "entries")
    text = words.MISSING if value is None else str(value)
    return text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}…"


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
