"""The section of the report on the audit: what would flatter a model, and who is concerned.

The report is passed on, so patients and images have pseudonyms in it; under ``pseudonyms``,
``cohort/audit.json`` of the output folder says who is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prognobench.audit.concerned import Concerned, under_pseudonyms
from prognobench.report import words

MOST_COLUMNS = 15
"""Columns with missing values that are shown, those that lack most first."""

MOST_GROUPS = 40
"""Sites and other groups of one kind that are shown."""

MOST_CONCERNED = 200
"""Images or patients of one finding that are listed."""


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        name: Its file name without suffix.
        title: Its caption.
        headings: The columns; all but the first hold numbers.
        rows: Its cells.
        note: What is left out, or how it is to be read.
    """

    name: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class TaskAudit:
    """What the audit says of one task: facts, and tables of shortcuts and of balance."""

    task: str
    facts: tuple[tuple[str, str], ...]
    shortcuts: Grid
    balance: Grid


@dataclass(frozen=True)
class AuditSection:
    """What the audit says.

    Attributes:
        warnings: Sentences that concern all cohorts.
        copies: Facts on radiographs that are there more than once, and on two ids.
        tasks: One a task.
        concerned: Which images and patients each finding concerns, by pseudonym.
        missing: Tables of missing values, by cohort.
    """

    warnings: tuple[str, ...]
    copies: tuple[tuple[str, str], ...]
    tasks: tuple[TaskAudit, ...]
    concerned: tuple[Concerned, ...]
    missing: tuple[Grid, ...]

    @property
    def grids(self) -> list[Grid]:
        """Its tables that have rows, in the order of the page."""
        own = [grid for task in self.tasks for grid in (task.shortcuts, task.balance)]
        return [grid for grid in (*own, *self.missing) if grid.rows]


def audit_section(audit: Mapping[str, Any], tasks: Sequence[str]) -> AuditSection | None:
    """Return what the report shows of an audit, None where there is none.

    Args:
        audit: ``cohort/audit.json`` of an output folder, see
            :func:`prognobench.audit.cohorts.audit_cohorts`.
        tasks: The names of the tasks.
    """
    if not audit:
        return None
    stems = words.stems(tasks)
    cohorts = audit.get("cohorts", {})
    own = [
        (*named, audit[named[0]]) for named in zip(tasks, stems, strict=True) if named[0] in audit
    ]
    return AuditSection(
        warnings=tuple(audit.get("warnings", ())),
        copies=tuple(_copies(audit)),
        tasks=tuple(
            TaskAudit(task, tuple(_facts(about)), _shortcuts(stem, about), _balance(stem, about))
            for task, stem, found in own
            for about in found["endpoints"].values()
        ),
        concerned=tuple(_concerned(audit)),
        missing=tuple(
            grid
            for (name, about), stem in zip(cohorts.items(), words.stems(cohorts), strict=True)
            for grid in _missing(name, stem, about)
        ),
    )


def _copies(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    groups = audit.get("duplicates", ())
    if "duplicates" not in audit:
        return []
    between = [group for group in groups if group["across_cohorts"]]
    patients = [g for g in groups if g["across_patients"] and not g["across_cohorts"]]
    within = len(groups) - len(between) - len(patients)
    changed = sum(
        any(pair["compared"] == "registration" for pair in group["pairs"]) for group in groups
    )
    facts = [
        ("Radiographs in several cohorts", words.count(len(between))),
        ("Radiographs under several patients of a cohort", words.count(len(patients))),
        ("Radiographs twice under one patient", words.count(within)),
        (
            "Of all these, cropped, scaled or windowed otherwise",
            words.count(changed) if audit.get("near_duplicates_searched", True) else "not searched",
        ),
    ]
    by_images = [own for own in audit.get("two_ids", ()) if own["why"] == "images"]
    by_facts = [own for own in audit.get("two_ids", ()) if own["why"] == "facts"]
    facts.append(("Persons under several ids, by their images", words.count(len(by_images))))
    facts.append(("Persons under several ids, by what is known", words.count(len(by_facts))))
    return facts


def _concerned(audit: Mapping[str, Any]) -> list[Concerned]:
    lists, meant = under_pseudonyms(audit)
    # Of an audit of an earlier version nobody could look up who is meant.
    if meant != audit.get("pseudonyms"):
        return []
    shown = []
    for own in lists:
        left = len(own.lines) - MOST_CONCERNED
        more = (f"and {words.count(left)} lines more, in audit.json",) if left > 0 else ()
        title = f"{own.title} ({words.count(own.count)})"
        shown.append(Concerned(title, own.count, (*own.lines[:MOST_CONCERNED], *more)))
    return shown


def _facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = []
    if about["events"] is not None:
        told.append(("With the event", words.count(about["events"])))
    if "levels" in about:
        levels = sorted(map(int, about["levels"]))
        told.append(("Scores", f"{levels[0]} to {levels[-1]}, {len(levels)} different ones"))
    if "median_days" in about:
        days = words.number(about["median_days"], 1)
        told.append(("Median days to the event or the end of the follow-up", days))
    return [
        ("Patients", words.count(about["patients"])),
        *told,
        ("Left out for contradictory labels", words.count(about["contradictory_patients"])),
        (
            "Images after the outcome, left out",
            words.count(about["images_after_outcome_left_out"]),
        ),
        ("Images after the outcome, used", words.count(about["images_after_outcome"])),
    ]


def _shortcuts(stem: str, about: Mapping[str, Any]) -> Grid:
    rows = []
    for found in about["shortcuts"]:
        value, verdict = words.MISSING, found["reason"]
        if found["auroc"] is not None:
            held = words.interval(found["ci_low"], found["ci_high"])
            value = f"{words.number(found['auroc'])} ({held})"
            verdict = "beats chance" if found["warning"] else "not told apart from chance"
        rows.append((found["column"], value, verdict))
    return Grid(
        f"audit-{stem}-shortcuts",
        "What tells the outcome without looking at the lungs",
        ("By itself", "AUROC (95 % interval)", "Verdict"),
        tuple(rows),
        "A logistic regression on this alone, cross-validated over patients. A model that cannot "
        "beat it may have learned nothing else. With few events values below 0.5 are an artefact "
        "of cross-validation.",
    )


def _balance(stem: str, about: Mapping[str, Any]) -> Grid:
    rows, left = [], 0
    for name, groups in about["by"].items():
        shown = list(groups.items())[:MOST_GROUPS]
        left += len(groups) - len(shown)
        for word, group in shown:
            patients, events = group["patients"], group["events"]
            share = words.percent(events / patients) if patients else words.MISSING
            row = (f"{name}: {word}", words.count(patients), words.count(events), share)
            rows.append(row)
    note = f"{words.count(left)} more groups are in audit.json." if left else ""
    headings = ("Group", "Patients", "With the event", "Share")
    title = "Patients and events by group"
    return Grid(f"audit-{stem}-groups", title, headings, tuple(rows), note)


def most_missing(name: str, about: Mapping[str, Any]) -> Grid:
    """Return which columns lack values, and in which group they lack most.

    Args:
        name: The cohort's name.
        about: What the audit says of it.
    """
    total = about["images"]
    lacking = {column: count for column, count in about["missing"].items() if count}
    rows = []
    for column in sorted(lacking, key=lambda column: -lacking[column])[:MOST_COLUMNS]:
        shares = [
            (group["missing"].get(column, 0) / group["images"], f"{kind}: {word}")
            for kind, values in about.get("missing_by", {}).items()
            for word, group in values.items()
        ]
        share, where = max(shares, default=(0.0, ""))
        most = f"{where} ({words.percent(share)})" if share > lacking[column] / total else ""
        rows.append((column, words.percent(lacking[column] / total), most))
    left = len(lacking) - len(rows)
    note = f"Not shown are {words.count(left)} columns that lack fewer." if left else ""
    title = f"Images without a value: {name}"
    file = f"audit-{words.slug(name)}-most-missing"
    return Grid(file, title, ("Column", "Missing", "Most among"), tuple(rows), note)


def _missing(name: str, stem: str, about: Mapping[str, Any]) -> list[Grid]:
    total = about["images"]
    lacking = {column: count for column, count in about["missing"].items() if count}
    if not lacking or not total:
        return []
    columns = sorted(lacking, key=lambda column: -lacking[column])[:MOST_COLUMNS]
    groups = [
        (f"{kind}: {word}", group)
        for kind, values in about.get("missing_by", {}).items()
        for word, group in list(values.items())[:MOST_GROUPS]
    ]
    rows = [("all images", *(words.percent(lacking[column] / total) for column in columns))]
    for label, group in groups:
        shares = (group["missing"].get(column, 0) / group["images"] for column in columns)
        rows.append((label, *map(words.percent, shares)))
    left = len(lacking) - len(columns)
    note = f"{words.count(left)} more columns are in audit.json." if left > 0 else ""
    title = f"Images without a value: {name}"
    file = f"audit-{stem}-missing"
    return [Grid(file, title, ("Group", *columns), tuple(rows), note)]
