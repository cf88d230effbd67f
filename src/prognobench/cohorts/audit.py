"""The audit: who is in a cohort, what is missing, and what would flatter a model.

Everything is plain data. To add a check, write a function of the rows (a module of its own where
it is one idea) and give it a key in :func:`audit` or :func:`_about_endpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.checks import after_outcome, contradictory_patients, patient_labels
from prognobench.cohorts.cohort import STANDARD_COLUMNS, Cohort
from prognobench.cohorts.duplicates import duplicate_groups
from prognobench.cohorts.shortcuts import MISSING, shortcut
from prognobench.cohorts.tables import find_column
from prognobench.cohorts.task import Task, participant_flow

SHORTCUT_COLUMNS = ("view", "site", "sex")
"""What is known of an image without looking at the lungs."""

AGE_BANDS = ((0, 40), (40, 60), (60, 80), (80, math.inf))
"""Ages from the first number of years to below the second."""


def audit(
    subject: Cohort | Task,
    digests: Mapping[str, str] | None = None,
    pixels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe a cohort or a task and warn of what would flatter a model.

    A task is described by its images, and its endpoint by its patients. A cohort is described
    with all its endpoints, each patient by the first image.

    Args:
        subject: What to look at.
        digests: SHA-256 of the image files by image id, to find equal files.
        pixels: SHA-256 of the decoded pixels by image id, to find equal pictures.

    Returns:
        Data that JSON can say: ``name``, ``images``, ``patients``, ``provenance``, ``flow``,
        ``missing``, ``duplicates``, ``endpoints`` and ``warnings`` (sentences).
    """
    cohort = subject.cohort if isinstance(subject, Task) else subject
    if isinstance(subject, Task):
        flow = subject.flow()
        endpoints = {subject.endpoint: _task_endpoint(subject)}
        warnings = list(subject.warnings)
    else:
        flow = participant_flow(cohort)
        endpoints = {name: _cohort_endpoint(cohort, name) for name in cohort.endpoints}
        warnings = []
    table = cohort.table
    duplicates = duplicate_groups(table, digests or {}, "file")
    same_file = {tuple(group["images"]) for group in duplicates}
    duplicates += [
        group
        for group in duplicate_groups(table, pixels or {}, "pixels")
        if tuple(group["images"]) not in same_file
    ]
    warnings += _duplicate_warning(duplicates)
    for about in endpoints.values():
        warnings += [found["warning"] for found in about["shortcuts"] if found["warning"]]
    return {
        "name": subject.name,
        "images": len(table),
        "patients": int(table["patient_id"].nunique()),
        "provenance": asdict(cohort.provenance),
        "flow": [asdict(step) for step in flow],
        "missing": _missing(cohort),
        "duplicates": duplicates,
        "endpoints": endpoints,
        "warnings": warnings,
    }


def _task_endpoint(task: Task) -> dict[str, Any]:
    drops = {drop.rule: drop for drop in task.cohort.drops}
    patients = _first_images(task.table)
    about = _about_endpoint(patients, task.endpoint, task.positive)
    contradictory = drops.get("contradictory_labels")
    late = after_outcome(task.cohort.table, task.endpoint)
    dropped = drops.get("after_outcome")
    return {
        **about,
        "contradictory_patients": contradictory.patients if contradictory else 0,
        "images_after_outcome": int(late.sum()),
        "images_after_outcome_left_out": dropped.images if dropped else 0,
    }


def _cohort_endpoint(cohort: Cohort, endpoint: str) -> dict[str, Any]:
    table = cohort.table
    labels = patient_labels(table, endpoint)
    rows = table.assign(target=table["patient_id"].map(labels))
    patients = _first_images(rows[rows["target"].notna()])
    return {
        **_about_endpoint(patients, endpoint, cohort.endpoints[endpoint]),
        "contradictory_patients": len(contradictory_patients(table, endpoint)),
        "images_after_outcome": int(after_outcome(table, endpoint).sum()),
        "images_after_outcome_left_out": 0,
    }


def _about_endpoint(patients: pd.DataFrame, endpoint: str, positive: str) -> dict[str, Any]:
    columns = [column for name in SHORTCUT_COLUMNS if (column := find_column(patients, name))]
    groups = {column: patients[column] for column in columns}
    if age := find_column(patients, "age"):
        groups["age"] = pd.Series([_age_band(years) for years in patients[age]], patients.index)
    return {
        "positive": positive,
        "patients": len(patients),
        "events": int(patients["target"].sum()),
        "by": {name: _balance(patients["target"], cells) for name, cells in groups.items()},
        "shortcuts": [shortcut(patients, column, endpoint).as_dict() for column in columns],
    }


def _first_images(rows: pd.DataFrame) -> pd.DataFrame:
    ordered = rows.sort_values(["acquired", "image_id"], na_position="last")
    return ordered.drop_duplicates("patient_id").sort_values("patient_id").reset_index(drop=True)


def _balance(target: pd.Series, cells: pd.Series) -> dict[str, dict[str, int]]:
    words = cells.astype(object).where(cells.notna(), MISSING).map(str)
    return {
        str(word): {"patients": len(own), "events": int(own.sum())}
        for word, own in target.groupby(words, sort=True)
    }


def _age_band(years: object) -> str:
    try:
        age = float(str(years))
    except ValueError:
        return MISSING
    for low, high in AGE_BANDS:
        if low <= age < high:
            return f"{low}-{high - 1}" if high != math.inf else f"{low} and over"
    return MISSING


def _missing(cohort: Cohort) -> dict[str, int]:
    columns = [*STANDARD_COLUMNS, *cohort.endpoints, *clinical_columns(cohort)]
    return {column: int(cohort.table[column].isna().sum()) for column in columns}


def _duplicate_warning(duplicates: list[dict[str, Any]]) -> list[str]:
    # Without names: warnings are shown in the report, which is passed on; ``duplicates`` has them.
    across = sum(group["across_patients"] for group in duplicates)
    if not across:
        return []
    return [
        f"{across} {'groups' if across > 1 else 'group'} of equal images filed under different "
        "patients: one patient under two ids, or one image filed twice, would be in training and "
        "test at once (the audit's duplicates name them)"
    ]
