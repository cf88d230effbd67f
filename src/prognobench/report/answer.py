"""The answer in words: who is best, who cannot be told apart, what the data cannot support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prognobench.evaluation.metric import Metric
from prognobench.report import words
from prognobench.report.content import Cell, ReportContent

ENOUGH_EVENTS = 100
"""Patients with (and without) the event that validating a prediction model asks for: Vergouwe et
al. 2005, J Clin Epidemiol 58:475; Collins et al. 2016, Stat Med 35:214."""

WIDE_INTERVAL = 0.2
"""Width of the best candidate's interval above which the report says so: a difference of 0.1 to
either side is more than most published gains."""

COMPANIONS = ("pr_auc", "auroc")
"""The metrics named beside the headline."""


@dataclass(frozen=True)
class Finding:
    """What one cell says.

    Attributes:
        setting: The regime in words.
        headline: The best candidate and its estimate.
        companions: Its other metrics.
        comparison: Who cannot be told apart from it.
        controls: Whether it beats the controls.
        undecided: Whether somebody cannot.
    """

    setting: str
    headline: str
    companions: str
    comparison: str
    controls: str
    undecided: bool


@dataclass(frozen=True)
class Answer:
    """What one task says.

    Attributes:
        task: The task's name.
        patients: Its patients and events, in words.
        findings: One a cell.
        limits: What the data cannot support, in sentences.
    """

    task: str
    patients: str
    findings: tuple[Finding, ...]
    limits: tuple[str, ...]


def answers(content: ReportContent, found: Sequence[Cell]) -> list[Answer]:
    """Return the answer for each task, in the leaderboard's order."""
    tasks = list(dict.fromkeys(cell.task for cell in found))
    made = []
    for task in tasks:
        own = [cell for cell in found if cell.task == task]
        made.append(
            Answer(
                task,
                _patients(content, own),
                tuple(_finding(content, cell) for cell in own),
                (*_limits(own), *filter(None, [content.search_note])),
            )
        )
    return made


def _patients(content: ReportContent, own: Sequence[Cell]) -> str:
    """Say how many patients were tested and how many of them had which event."""
    sizes = [_size(row) for cell in own for row in cell.ranked]
    if not sizes:
        return "No run of this task is done."
    patients, events = max(sizes)
    outcome = content.outcomes.get(own[0].task)
    meaning = f" ({outcome})" if outcome else ""
    return (
        f"{words.plural(patients, 'patient')} tested, {words.count(events)} with the "
        f"event{meaning}: {words.percent(events / patients)}."
    )


def _size(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["n_patients"]), int(row["n_positive"])


def _finding(content: ReportContent, cell: Cell) -> Finding:
    """Say who is best in a cell, how good that is, and who may be as good."""
    if not cell.ranked:
        return Finding(cell.setting, "No candidate has a result.", "", "", "", False)
    first = cell.ranked[0]
    leaders = [row for row in cell.ranked if row["rank"] == first["rank"]]
    names = words.listing(map(words.candidate, leaders))
    tied = " (the same estimate)" if len(leaders) > 1 else ""
    companions = "; ".join(
        _measured(first, content.metrics[name], cell)
        for name in COMPANIONS
        if name != cell.metric.name
    )
    return Finding(
        cell.setting,
        f"{names}{tied}: {_measured(first, cell.metric, cell)}.",
        f"{companions}.",
        _comparison(cell, leaders),
        _over_controls(cell, first),
        len(cell.best) > 1,
    )


def _measured(row: Mapping[str, Any], metric: Metric, cell: Cell) -> str:
    """Return a metric of a candidate with its interval and what to read it against."""
    value, low, high = (row[name] for name in words.metric_columns(metric, cell.metric))
    against = words.chance_words(metric, row, cell.metric)
    ends = words.interval(low, high)
    held = f"{words.level(cell.confidence)} interval {ends}" if low is not None else ends
    return f"{metric.title} {words.number(value)} ({held}{f'; {against}' if against else ''})"


def _comparison(cell: Cell, leaders: Sequence[Mapping[str, Any]]) -> str:
    """Say who cannot be told apart from the best, and how many are worse."""
    if len(cell.ranked) == 1:
        return "It is the only candidate with a result."
    if len(cell.best) == len(cell.ranked):
        return f"These data cannot tell any of the {len(cell.ranked)} candidates apart."
    worse = len(cell.ranked) - len(cell.best)
    told = "1 candidate is worse." if worse == 1 else f"{worse} candidates are worse."
    others = [row for row in cell.best if row not in leaders]
    if not others:
        return f"It is told apart from all others: {told}" if len(leaders) == 1 else told
    named = words.listing(map(words.candidate, others))
    return f"{words.plural(len(others), 'other')} cannot be told apart from it: {named}. {told}"


def _over_controls(cell: Cell, first: Mapping[str, Any]) -> str:
    """Say whether the best candidate, and how many of all, beat the best control."""
    if first["control"] is None:
        return ""
    control = next(row for row in cell.controls if row["strategy"] == first["control"])
    own = (
        f"The best control, {words.control(first['control'])}, reaches "
        f"{words.number(control['estimate'])}"
    )
    ends = words.interval(first["control_low"], first["control_high"])
    difference = f"difference {words.number(first['control_difference'])}, {ends}"
    beats = sum(bool(row["beats_controls"]) for row in cell.ranked)
    counted = f"{beats} of {words.plural(len(cell.ranked), 'candidate')} beat it."
    if first["beats_controls"]:
        return f"{own}; the best candidate beats it ({difference}). {counted}"
    return (
        f"{own}: the best candidate has not been shown to beat it ({difference}), so that these "
        f"data are no evidence that it reads more from the image. {counted}"
    )


def _limits(own: Sequence[Cell]) -> list[str]:
    """Say what the data of a task cannot support."""
    limits = []
    decided = [(cell, cell.ranked[0]) for cell in own if cell.ranked]
    if decided:
        patients, events = max(_size(row) for cell, _ in decided for row in cell.ranked)
        rarer = min(events, patients - events)
        if rarer < ENOUGH_EVENTS:
            which = "with" if events <= patients - events else "without"
            limits.append(
                f"Few events: {words.plural(rarer, 'patient')} {which} the event were tested, "
                f"where {ENOUGH_EVENTS} are recommended to validate a prediction model. Ranks "
                "will change with other patients."
            )
    unsure = [cell.setting for cell, row in decided if row["ci_low"] is None]
    if unsure:
        limits.append(f"No interval for the best estimate: {'; '.join(unsure)}.")
    chance = [cell.setting for cell, row in decided if _holds_chance(row)]
    if chance:
        limits.append(f"Even the best candidate cannot be told from chance: {'; '.join(chance)}.")
    wide = [
        f"{words.number(row['ci_high'] - row['ci_low'])} ({cell.setting})"
        for cell, row in decided
        if row["ci_low"] is not None and row["ci_high"] - row["ci_low"] > WIDE_INTERVAL
    ]
    if wide:
        limits.append(f"The interval of the best candidate is wide: {'; '.join(wide)}.")
    whole = ("done", "not_applicable")
    missing = sum(row["state"] not in whole for cell in own for row in cell.rows)
    if missing:
        limits.append(
            f"Runs are missing for {words.plural(missing, 'candidate')}: failed, not feasible or "
            "not yet done. See the list of failures."
        )
    return limits


def _holds_chance(row: Mapping[str, Any]) -> bool:
    """Return whether the interval of an estimate includes the chance level."""
    ends = (row["ci_low"], row["chance"], row["ci_high"])
    return None not in ends and ends[0] <= ends[1] <= ends[2]
