"""The report's tables: the same text on the page, in Markdown and in LaTeX; numbers as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from prognobench.evaluation.subgroups import EVERYBODY, FEW_EVENTS, SMALLEST_GROUP
from prognobench.report import view, words
from prognobench.report.answer import Answer
from prognobench.report.audit_section import Grid
from prognobench.report.checklist import as_table, checklists
from prognobench.report.content import Cell, ReportContent, records

MOST_ROWS = 500
"""Rows of a plain table on the page; its file holds all."""

SUBGROUP_TITLES = {
    "mcc": "MCC",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "observed_to_expected": "Observed / expected",
}


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Its file name without suffix.
        title: Its heading.
        shown: Texts, one column a heading.
        data: The numbers behind it, for CSV.
        numbers: Columns that are set as numbers.
    """

    name: str
    title: str
    shown: pd.DataFrame
    data: pd.DataFrame
    numbers: frozenset[str] = field(default_factory=frozenset)

    @property
    def rows(self) -> list[list[str]]:
        """The rows that the page shows."""
        return [[str(text) for text in row] for row in self.shown.head(MOST_ROWS).to_numpy()]

    @property
    def left_out(self) -> int:
        """How many rows the page does not show."""
        return max(0, len(self.shown) - MOST_ROWS)


def leaderboard(content: ReportContent, found: Sequence[Cell]) -> Table:
    """Return the leaderboard for a paper: fewer columns, all rows."""
    metrics = view.shown_metrics(content)
    headline = [metric for metric in metrics if any(cell.metric == metric for cell in found)]
    others = [
        m
        for m in metrics
        if m not in headline and m.name in {"pr_auc", "auroc", "brier", "mae", "integrated_brier"}
    ]
    rows = []
    for cell in found:
        for row in (*cell.rows, *cell.controls):
            leads = row["rank"] == 1
            rows.append(
                {
                    "Task": cell.task,
                    "Regime": cell.setting,
                    "Rank": words.count(row["rank"]),
                    "Backbone": row["backbone"],
                    "Strategy": row["strategy"],
                    **{
                        metric.title: words.value_with_interval(row, metric, cell.metric)
                        for metric in [*headline, *others]
                    },
                    "Difference to the best": "best"
                    if leads
                    else words.difference(
                        row, "difference_to_best", "difference_low", "difference_high"
                    ),
                    "Over the best control": words.difference(
                        row, "control_difference", "control_low", "control_high"
                    ),
                    "Trained parameters": words.count(row["trainable_parameters"]),
                    "Training time": words.seconds(row["train_seconds"]),
                }
            )
    return Table("leaderboard", "Leaderboard", pd.DataFrame(rows), content.leaderboard)


def settings(answer: Answer, name: str) -> Table:
    """Return the best of each setting of a task, its main setting first.

    Args:
        answer: What the task says.
        name: The table's file name.
    """
    columns = [
        *("Regime", "Best estimate", answer.metric),
        *("Cannot be told apart", "Over the best control"),
    ]
    rows = [(one.setting, *one.row) for one in (answer.main, *answer.others)]
    table = pd.DataFrame(rows, columns=columns)
    return Table(name, f"Best of each setting: {answer.task}", table, table, frozenset(columns[2:]))


def flow(task: str, steps: Sequence[Mapping[str, Any]], name: str) -> Table:
    """Return a participant flow: what was there, what each rule took out, what is left.

    Args:
        task: The task's name.
        steps: Its steps, as in ``content.flows``.
        name: The table's file name.
    """
    titles = {"images": "Images", "patients": "Patients", "events": "With the event"}
    rows = [
        {"Step": row["reason"], **{title: row[key] for key, title in titles.items()}}
        for row in view.flow_rows(steps)
    ]
    data = pd.DataFrame(steps).reindex(columns=["step", "reason", *titles])
    numbers = frozenset(titles.values())
    return Table(name, f"Participant flow: {task}", pd.DataFrame(rows), data, numbers)


def grid(own: Grid) -> Table:
    """Return a table of the audit."""
    table = pd.DataFrame(own.rows, columns=list(own.headings))
    return Table(own.name, own.title, table, table, frozenset(own.headings[1:]))


def subgroups(cell: Cell, table: pd.DataFrame, name: str) -> Table:
    """Return what the best candidate reaches in each subgroup.

    Args:
        cell: The cell.
        table: Its rows of ``content.subgroups``.
        name: The table's file name.
    """
    rows = []
    keys = ["attribute", "group", "n_patients", "n_events"]
    for _, own in table.groupby(keys, sort=False, dropna=False):
        values = {row["metric"]: row for row in records(own)}
        first = next(iter(values.values()))
        attribute, group = str(first["attribute"]), str(first["group"])
        events = first["n_events"]
        small = first["reason"] is not None
        rows.append(
            {
                "Group": group if attribute == EVERYBODY else f"{attribute}: {group}",
                "Patients": words.count(first["n_patients"]),
                "Events": f"fewer than {SMALLEST_GROUP}"
                if events is None and first["reason"] == FEW_EVENTS
                else words.MISSING
                if events is None
                else words.count(events),
                **{
                    title: "not shown"
                    if small
                    else words.difference(values[metric], "value", "ci_low", "ci_high")
                    for metric, title in SUBGROUP_TITLES.items()
                },
            }
        )
    title = f"{words.candidate(cell.ranked[0])} in subgroups ({cell.task}, {cell.setting})"
    numbers = frozenset({"Patients", "Events", *SUBGROUP_TITLES.values()})
    return Table(name, title, pd.DataFrame(rows), table, numbers)


def failures(content: ReportContent) -> list[Table]:
    """Return what is not done, what has no value and what collapsed, with reasons."""
    asked = (
        ("not-done", "Runs that are not done, or cannot be (n/a)", view.unfinished(content)),
        ("undefined", "Metrics without a value in finished runs", view.undefined(content)),
        ("collapsed", "Runs that gave every patient the same score", view.collapsed(content)),
    )
    return [plain(name, title, pd.DataFrame(rows)) for name, title, rows in asked if rows]


def plain(name: str, title: str, data: pd.DataFrame) -> Table:
    """Return a table whose texts are its values; columns are named as a reader wants them."""
    texts = data.astype(object).where(data.notna(), words.MISSING).astype(str)
    texts = texts.replace({"not_applicable": "n/a", "not_feasible": "not feasible"})
    texts.columns = [str(column).replace("_", " ") for column in data.columns]
    numbers = [c for c in data.columns if pd.api.types.is_numeric_dtype(data[c])]
    return Table(
        name, title, texts, data, frozenset(str(column).replace("_", " ") for column in numbers)
    )


def metrics(content: ReportContent) -> Table:
    """Return what each metric says."""
    rows = []
    named = content.leaderboard["metric"].dropna().unique()
    kinds = {content.metrics[name].kind for name in named} or {"binary"}
    for metric in content.metrics.values():
        if metric.kind not in kinds:
            continue
        better = "higher" if metric.higher_is_better else "lower"
        rows.append(
            {
                "Metric": metric.title,
                "In files": metric.name,
                "What it says": metric.description,
                "Range": f"{_end(metric.lowest)} to {_end(metric.highest)}",
                "Better": f"near {metric.ideal:g}" if metric.ideal is not None else better,
                "Source": metric.source,
            }
        )
    table = pd.DataFrame(rows)
    return Table("metrics", "Metrics", table, table)


def _end(value: float) -> str:
    if abs(value) > 1000:
        return "−∞" if value < 0 else "∞"
    return f"{value:g}".replace("-", "−")


def guidelines(content: ReportContent, found: Sequence[Cell]) -> list[Table]:
    """Return the filled-in reporting guidelines."""
    made = []
    for checklist in checklists(content, found):
        table = as_table(checklist)
        name = f"checklist-{checklist.name.lower().replace('+', '-')}"
        items = len(checklist.rows)
        left = items - checklist.filled
        partly = sum(open_ for *_, open_ in checklist.rows) - left
        title = (
            f"{checklist.name} ({checklist.source}): {checklist.filled} of {items} items have an "
            f"answer from the tool, {partly} of these only in part; {left} are left to the authors"
        )
        made.append(Table(name, title, table, table))
    return made
