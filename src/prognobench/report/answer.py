"""The answer in words: who is best, who cannot be told apart, what the data cannot support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prognobench.evaluation.metric import Metric
from prognobench.report import words
from prognobench.report.content import Cell, ReportContent
from prognobench.report.limits import limits

COMPANIONS = ("mcc", "pr_auc", "auroc", "quadratic_kappa", "mae", "c_index", "integrated_brier")
"""The metrics named beside the headline, where a task has them."""


@dataclass(frozen=True)
class Finding:
    """What one cell says.

    Attributes:
        setting: The regime in words.
        headline: The best candidate and its estimate.
        companions: Its other metrics.
        comparison: Who cannot be told apart from it.
        controls: Whether it beats the controls, and by how much.
        calibration: Whether its probabilities can be read as risks.
        cost: What it costs, and who of those as good costs least.
        verdict: ``decided``, ``undecided`` where somebody cannot be told apart from the best, or
            ``runs missing`` of a candidate that may be as good; empty where nobody is compared.
        row: For the table of settings: the best, its estimate, those who cannot be told apart,
            the difference to the best control.
    """

    setting: str
    headline: str
    companions: str
    comparison: str
    controls: str
    calibration: str
    cost: str
    verdict: str
    row: tuple[str, str, str, str]


@dataclass(frozen=True)
class Answer:
    """What one task says.

    Attributes:
        task: The task's name.
        patients: Its patients and events, in words.
        main: The finding of its main setting.
        others: Those of its other settings.
        metric: The title of the metric that ranks.
        limits: What the data cannot support, in sentences.
    """

    task: str
    patients: str
    main: Finding
    others: tuple[Finding, ...]
    metric: str
    limits: tuple[str, ...]


def answers(content: ReportContent, found: Sequence[Cell]) -> list[Answer]:
    """Return the answer for each task, in the leaderboard's order."""
    tasks = list(dict.fromkeys(cell.task for cell in found))
    made = []
    for task in tasks:
        own = [cell for cell in found if cell.task == task]
        findings = [_finding(content, cell) for cell in own]
        main = next((place for place, cell in enumerate(own) if cell.main), 0)
        made.append(
            Answer(
                task,
                _patients(content, own),
                findings[main],
                tuple(one for place, one in enumerate(findings) if place != main),
                own[main].metric.title,
                (*limits(content, own), *filter(None, [content.search_note])),
            )
        )
    return made


def _patients(content: ReportContent, own: Sequence[Cell]) -> str:
    """Say how many patients were tested and how many of them had which event."""
    sizes = [
        (int(row["n_patients"]), row["n_positive"])
        for cell in own
        for row in cell.ranked
        if row["n_patients"] is not None
    ]
    if not sizes:
        return "No run of this task is done."
    patients, events = max(sizes, key=lambda size: (size[0], size[1] or 0))
    outcome = content.outcomes.get(own[0].task)
    meaning = f" ({outcome})" if outcome else ""
    if events is None:
        return f"{words.plural(patients, 'patient')} tested{meaning}."
    if own[0].metric.kind == "time_to_event":
        # Their share would say how long patients were followed up, and no risk.
        return (
            f"{words.plural(patients, 'patient')} tested, the event of {words.count(events)} was "
            f"seen{meaning}."
        )
    return (
        f"{words.plural(patients, 'patient')} tested, {words.count(events)} with the "
        f"event{meaning}: {words.percent(events / patients)}."
    )


def _finding(content: ReportContent, cell: Cell) -> Finding:
    """Say who is best in a cell, how good that is, and who may be as good."""
    if not cell.ranked:
        nobody = "No candidate has a result."
        missing = (nobody, words.MISSING, words.MISSING, words.MISSING)
        return Finding(cell.setting, nobody, "", "", "", "", "", "", missing)
    first = cell.ranked[0]
    leaders = [row for row in cell.ranked if row["rank"] == first["rank"]]
    names = words.listing(map(words.candidate, leaders))
    tied = " (the same estimate)" if len(leaders) > 1 else ""
    companions = "; ".join(
        _measured(first, content.metrics[name], cell)
        for name in COMPANIONS
        if name != cell.metric.name and first.get(name) is not None
    )
    return Finding(
        cell.setting,
        f"{names}{tied}: {_measured(first, cell.metric, cell)}.",
        f"{companions}." if companions else "",
        _comparison(cell, leaders),
        _over_controls(cell, first),
        _calibration(content, cell, first),
        _cost(cell, first),
        _verdict(cell),
        (
            names,
            words.value_with_interval(first, cell.metric, cell.metric),
            f"{len(cell.best)} of {len(cell.ranked)}",
            words.difference(first, "control_difference", "control_low", "control_high"),
        ),
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
    without = cell.without_result
    have = "have" if len(without) > 1 else "has"
    lacking = f" {words.plural(len(without), 'candidate')} {have} no result." if without else ""
    if cell.all_partial and len(cell.ranked) > 1:
        # The best itself has runs missing, and then everybody has.
        lacking = (
            " All of them have runs missing: each was compared with it on what both have done, and "
            f"another may turn out the best.{lacking}"
        )
    if len(cell.ranked) == 1:
        return f"It is the only candidate with a result.{lacking}"
    others = [row for row in cell.best if row not in leaders]
    if len(cell.best) == len(cell.ranked):
        if len(others) < 2:
            alike = "The other candidate cannot" if others else "No other candidate can"
            return f"{alike} be told apart from it.{lacking}"
        return f"None of the other {len(others)} candidates can be told apart from it.{lacking}"
    missing = cell.incomplete
    worse = len(cell.ranked) - len(cell.best) - len(missing)
    told = ["1 candidate is worse." if worse == 1 else f"{worse} candidates are worse."]
    if missing:
        named = words.listing(map(words.candidate, missing))
        told.append(f"Not compared, because runs are missing: {named}.")
    if others:
        named = words.listing(map(words.candidate, others))
        amount = words.plural(len(others), "other")
        told.insert(0, f"{amount} cannot be told apart from it: {named}.")
    elif len(leaders) == 1 and worse:
        told.insert(0, f"It is told apart from {'the others' if missing else 'all others'}:")
    return " ".join(told) + lacking


def _verdict(cell: Cell) -> str:
    """Say whether the best candidate is told apart from all others."""
    if len(cell.best) > 1:
        return "undecided"
    if cell.incomplete or cell.without_result or cell.all_partial:
        return "runs missing"
    return "decided" if len(cell.ranked) > 1 else ""


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


def _calibration(content: ReportContent, cell: Cell, first: Mapping[str, Any]) -> str:
    """Say whether predicted probabilities can be read as risks."""
    known = {}
    for name in ("calibration_slope", "calibration_intercept", "ece"):
        if name in content.metrics and first.get(name) is not None:
            columns = words.metric_columns(content.metrics[name], cell.metric)
            known[name] = tuple(first[column] for column in columns)
    if "calibration_slope" not in known:
        return ""

    def told(name: str) -> str:
        value, low, high = known[name]
        return f"{words.number(value)} ({words.interval(low, high)})"

    slope, low, high = known["calibration_slope"]
    parts = [f"Calibration slope {told('calibration_slope')}: "]
    if low is None or high is None:
        parts.append("these data cannot say whether its probabilities can be read as risks.")
    elif low <= 1.0 <= high:
        parts.append("its probabilities are not shown to be too extreme or too timid.")
    elif slope < 1.0:
        parts.append("its probabilities are too extreme and must not be read as risks as they are.")
    else:
        parts.append("its probabilities are too timid and must not be read as risks as they are.")
    if "calibration_intercept" in known:
        value, low, high = known["calibration_intercept"]
        average = "not shown to be off on average"
        if low is not None and not low <= 0.0 <= high:
            average = f"too {'high' if value < 0 else 'low'} on average"
        parts.append(f" In the large {told('calibration_intercept')}: {average}.")
    if "ece" in known:
        parts.append(f" ECE {told('ece')}.")
    return "".join(parts)


def _cost(cell: Cell, first: Mapping[str, Any]) -> str:
    """Say what the best costs, and which of those as good costs least."""
    if first["trainable_parameters"] is None or first["train_seconds"] is None:
        return ""

    def price(row: Mapping[str, Any]) -> str:
        return (
            f"{words.plural(int(row['trainable_parameters']), 'trained parameter')}, "
            f"{words.seconds(row['train_seconds'])} a run"
        )

    told = f"It costs {price(first)}."
    rivals = [row for row in cell.best if row["train_seconds"] is not None]
    cheapest = min(rivals, key=lambda row: row["train_seconds"], default=first)
    if cheapest is first or len(rivals) < 2:
        return told
    return (
        f"{told} Of those that cannot be told apart from it, {words.candidate(cheapest)} is the "
        f"quickest to train: {price(cheapest)}."
    )
