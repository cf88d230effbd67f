"""The audit of a cohort or task by its table: who is in it, what is missing, what would flatter.

Everything is plain data. To add a check, write a function of the rows (a module of its own where
it is one idea) and give it a key in :func:`audit` or :func:`_about_endpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from prognobench.audit.balance import balance, missing_by_group, missing_values
from prognobench.audit.duplicates import duplicate_groups
from prognobench.audit.shortcuts import shortcut
from prognobench.cohorts.checks import after_outcome, contradictory_patients, patient_labels
from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.participant_flow import participant_flow
from prognobench.cohorts.tables import find_column
from prognobench.cohorts.task import Task

SHORTCUTS: Mapping[str, tuple[str, ...]] = {
    "view": ("view",),
    "site": ("site",),
    "sex": ("sex",),
    "acquisition day": ("acquired",),
    "image size": ("width", "height"),
    "file format": ("file_format",),
    "burnt-in text": ("characters",),
}
"""What is known of an image without looking at the lungs, each with its columns."""

AFTER_OUTCOME = "after_outcome_image_ids"
"""Where :func:`labels_of` lists the images of after the outcome."""


def audit(
    subject: Cohort | Task,
    digests: Mapping[str, str] | None = None,
    pixels: Mapping[str, str] | None = None,
    facts: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Describe a cohort or a task and warn of what would flatter a model.

    A task is described by its images, and its endpoint by its patients. A cohort is described
    with all its endpoints, each patient by the first image.

    Args:
        subject: What to look at.
        digests: SHA-256 of the image files by image id, to find equal files.
        pixels: SHA-256 of the decoded pixels by image id, to find equal pictures.
        facts: What is known of the image files, see
            :func:`prognobench.audit.image_facts.image_facts`.

    Returns:
        Data that JSON can say: ``name``, ``images``, ``patients``, ``provenance``, ``flow``,
        ``missing``, ``missing_by``, ``duplicates``, ``endpoints`` and ``warnings`` (sentences).
    """
    cohort = subject.cohort if isinstance(subject, Task) else subject
    if isinstance(subject, Task):
        flow = subject.flow()
        endpoints = {subject.endpoint: _task_endpoint(subject, facts)}
        warnings = [*subject.warnings, *_late_warning(subject)]
    else:
        flow = participant_flow(cohort)
        endpoints = {name: _cohort_endpoint(cohort, name, facts) for name in cohort.endpoints}
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
        "missing": missing_values(cohort),
        "missing_by": missing_by_group(cohort),
        "duplicates": duplicates,
        "endpoints": endpoints,
        "warnings": warnings,
    }


def _task_endpoint(task: Task, facts: pd.DataFrame | None) -> dict[str, Any]:
    if task.kind == "binary":
        about = _about_endpoint(_first_images(task.table, facts), task.endpoint, task.positive)
        late = int(after_outcome(task.cohort.table, task.endpoint).sum())
    else:
        about, late = _about_score(task), 0
    drops = {drop.rule: drop for drop in task.cohort.drops}
    contradictory, dropped = drops.get("contradictory_labels"), drops.get("after_outcome")
    return {
        **about,
        "contradictory_patients": contradictory.patients if contradictory else 0,
        "images_after_outcome": late,
        "images_after_outcome_left_out": dropped.images if dropped else 0,
    }


def _about_score(task: Task) -> dict[str, Any]:
    """Describe an endpoint that is not binary: groups and shortcuts are told for events alone."""
    target = task.patients["target"]
    told: dict[str, Any]
    if task.kind == "ordinal":
        counts = target.value_counts().sort_index()
        told = {"levels": {str(level): int(count) for level, count in counts.items()}}
    else:
        told = {"median_days": float(target.abs().median())}
    return {
        "positive": task.positive,
        "patients": len(task.patients),
        "events": None if task.kind == "ordinal" else int((target > 0).sum()),
        **told,
        "by": {},
        "shortcuts": [],
    }


def _cohort_endpoint(cohort: Cohort, endpoint: str, facts: pd.DataFrame | None) -> dict[str, Any]:
    labels = labels_of(cohort, endpoint)
    targets = cohort.table["patient_id"].map(patient_labels(cohort.table, endpoint))
    rows = cohort.table.assign(target=targets)
    patients = _first_images(rows[rows["target"].notna()], facts)
    return {
        **_about_endpoint(patients, endpoint, cohort.endpoints[endpoint]),
        "contradictory_patients": len(labels["contradictory_patient_ids"]),
        "images_after_outcome": len(labels[AFTER_OUTCOME]),
        "images_after_outcome_left_out": 0,
    }


def labels_of(cohort: Cohort, endpoint: str) -> dict[str, list[str]]:
    """Return which patients have contradictory labels, and which images are after the outcome."""
    table = cohort.table
    late = after_outcome(table, endpoint)
    return {
        "contradictory_patient_ids": sorted(contradictory_patients(table, endpoint)),
        AFTER_OUTCOME: sorted(table.loc[late, "image_id"]),
    }


def _about_endpoint(patients: pd.DataFrame, endpoint: str, positive: str) -> dict[str, Any]:
    shortcuts = []
    for name, wanted in SHORTCUTS.items():
        columns = [column for each in wanted if (column := find_column(patients, each))]
        if columns:
            shortcuts.append(shortcut(patients, name, endpoint, columns).as_dict())
    return {
        "positive": positive,
        "patients": len(patients),
        "events": int(patients["target"].sum()),
        "by": balance(patients),
        "shortcuts": shortcuts,
    }


def _first_images(rows: pd.DataFrame, facts: pd.DataFrame | None) -> pd.DataFrame:
    """Return each patient's first image, with what is known of its file."""
    ordered = rows.sort_values(["acquired", "image_id"], na_position="last")
    firsts = ordered.drop_duplicates("patient_id").sort_values("patient_id").reset_index(drop=True)
    if facts is None:
        return firsts
    own = facts.reindex(firsts["image_id"]).reset_index(drop=True)
    return firsts.drop(columns=[name for name in own if name in firsts]).join(own)


def _late_warning(task: Task) -> list[str]:
    if task.kind != "binary":
        return []
    late = int(after_outcome(task.cohort.table, task.endpoint).sum())
    if not late:
        return []
    return [
        f"{late} of {len(task.table)} images were taken after the outcome '{task.endpoint}' and "
        f"are used, because the policy is '{task.policy}': a picture of the outcome is no "
        "prediction"
    ]


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
