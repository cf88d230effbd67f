"""What the data of a task cannot support, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from prognobench.evaluation.subgroups import EVERYBODY
from prognobench.report import words
from prognobench.report.checklist_regimes import of_unknown_kind, only_internal, split_columns
from prognobench.report.content import Cell, ReportContent, of_cell, settings

ENOUGH_EVENTS = 100
"""Patients with (and without) the event that validating a prediction model asks for: Vergouwe et
al. 2005, J Clin Epidemiol 58:475; Collins et al. 2016, Stat Med 35:214."""

WIDE_INTERVAL = 0.2
"""Width of the best candidate's interval above which the report says so: a difference of 0.1 to
either side is more than most published gains."""


def limits(content: ReportContent, own: Sequence[Cell]) -> list[str]:
    """Say what the cells of one task cannot support."""
    decided = [(cell, cell.ranked[0]) for cell in own if cell.ranked]
    told = [
        *_few_events(decided),
        *_intervals(decided),
        *_controls(decided),
        *_subgroups(content, own),
    ]
    told += _elsewhere(content, {cell.regime for cell, _ in decided})
    whole = ("done", "not_applicable")
    missing = sum(row["state"] not in whole for cell in own for row in cell.rows)
    if missing:
        told.append(
            f"Runs are missing for {words.plural(missing, 'candidate')} (each setting counted): "
            "failed, not feasible or not yet done. See the list of failures."
        )
    return told


def _elsewhere(content: ReportContent, regimes: set[str]) -> list[str]:
    """Say what is not known of patients elsewhere."""
    if not regimes:
        return []
    if only_internal(regimes):
        return [
            "All test patients are of the cohort that was trained on: nothing here says how the "
            "candidates do in another hospital, at another time or on another device."
        ]
    spec = yaml.safe_load(content.spec) if content.spec else {}
    named = of_unknown_kind(regimes, split_columns(spec if isinstance(spec, Mapping) else {}))
    if not named:
        return []
    return [
        f"Who is tested is named by the column {words.listing(named)}: whether that shows how the "
        "candidates do in another hospital, at another time or on another device is for the "
        "authors to say."
    ]


def _few_events(decided: Sequence[tuple[Cell, Mapping[str, Any]]]) -> list[str]:
    sizes = [
        (int(row["n_patients"]), int(row["n_positive"]))
        for cell, _ in decided
        for row in cell.ranked
        if row["n_patients"] is not None and row["n_positive"] is not None
    ]
    if not sizes:
        return []
    patients, events = max(sizes)
    # Of times, those without the event tell little, however few or many they are.
    timed = decided[0][0].metric.kind == "time_to_event"
    rarer = events if timed else min(events, patients - events)
    if rarer >= ENOUGH_EVENTS:
        return []
    which = "with" if rarer == events else "without"
    return [
        f"Few events: {words.plural(rarer, 'patient')} {which} the event were tested, where "
        f"{ENOUGH_EVENTS} are recommended to validate a prediction model. Ranks will change with "
        "other patients."
    ]


def _intervals(decided: Sequence[tuple[Cell, Mapping[str, Any]]]) -> list[str]:
    told = []
    unsure = [cell for cell, row in decided if row["ci_low"] is None]
    if unsure:
        told.append(f"No interval for the best estimate: {_listed(unsure)}.")
    chance = [cell for cell, row in decided if holds_chance(row)]
    if chance:
        told.append(f"Even the best candidate cannot be told from chance: {_listed(chance)}.")
    below = [cell for cell, row in decided if _below_chance(cell, row)]
    if below:
        told.append(f"Even the best candidate is worse than chance: {_listed(below)}.")
    # An error in levels or days has no scale on which a width is wide for all.
    decided = [(cell, row) for cell, row in decided if cell.metric.highest <= 1.0]
    wide = [cell for cell, row in decided if _width(row) > WIDE_INTERVAL]
    if wide:
        named = [f"{_widths(own)} ({setting})" for setting, own in settings(wide)]
        told.append(f"The interval of the best candidate is wide: {words.listing(named)}.")
    return told


def _below_chance(cell: Cell, row: Mapping[str, Any]) -> bool:
    """Say whether an interval lies wholly on the worse side of chance."""
    if row["chance"] is None or row["ci_low"] is None:
        return False
    if cell.metric.higher_is_better:
        return bool(row["ci_high"] < row["chance"])
    return bool(row["ci_low"] > row["chance"])


def _listed(found: Sequence[Cell]) -> str:
    return words.listing(setting for setting, _ in settings(found))


def _width(row: Mapping[str, Any]) -> float:
    return 0.0 if row["ci_low"] is None else float(row["ci_high"] - row["ci_low"])


def _widths(own: Sequence[Cell]) -> str:
    """Return the width of the best candidates' intervals, from the narrowest to the widest."""
    ends = [words.number(end(_width(cell.ranked[0]) for cell in own)) for end in (min, max)]
    return " to ".join(dict.fromkeys(ends))


def _controls(decided: Sequence[tuple[Cell, Mapping[str, Any]]]) -> list[str]:
    unbeaten = [
        cell for cell, row in decided if row["control"] is not None and not row["beats_controls"]
    ]
    if not unbeaten:
        return []
    return [
        "Whether the best candidate reads more from the image than a simple control is not shown: "
        f"{_listed(unbeaten)}."
    ]


def _subgroups(content: ReportContent, own: Sequence[Cell]) -> list[str]:
    main = next((cell for cell in own if cell.main), None)
    table = of_cell(content.subgroups, main) if main else content.subgroups
    if main is None or table.empty:
        return []
    without = table[table["reason"].notna() & (table["attribute"] != EVERYBODY)]
    small = without[["attribute", "group"]].drop_duplicates()
    if small.empty:
        return []
    named = words.listing(f"{a} {g}" for a, g in small.itertuples(index=False))
    return [f"Too few patients with or without the event to say anything of: {named}."]


def holds_chance(row: Mapping[str, Any]) -> bool:
    """Return whether the interval of an estimate includes the chance level."""
    ends = (row["ci_low"], row["chance"], row["ci_high"])
    return None not in ends and ends[0] <= ends[1] <= ends[2]
