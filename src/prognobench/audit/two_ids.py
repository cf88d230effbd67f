"""Patients who may be one person by what is known of them, without looking at an image.

Two patients of a cohort of whom the same is known and who agree in all of it (sex, age, site, days
of images and outcomes, clinical values) are one person, unless so much agreement is to be expected
by chance.
How much that is follows from how frequent their values are, as if columns were independent: a
pair is told where fewer than :data:`MOST_BY_CHANCE` such pairs are expected among all patients.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.cohort import Cohort, outcome_day_column

MOST_BY_CHANCE = 0.05
"""Pairs that agree as much by chance, among all patients of a cohort, up to which one is told."""

LEAST_SHARED = 4
"""Facts that must be known of both."""

NOT_OF_THE_PATIENT = ("url", "license", "dataset")
"""Columns of where an image came from, which copies need not share."""


def alike_patients(cohort: Cohort) -> list[dict[str, Any]]:
    """Return patients of a cohort who agree in everything that is known of them.

    Args:
        cohort: The cohort.

    Returns:
        One mapping a group: ``patients`` (as ``cohort/patient``), ``why`` (``facts``), ``facts``
        (the columns they share), ``expected_by_chance`` (such pairs).
    """
    known = _facts(cohort)
    counts = {name: column.value_counts().to_dict() for name, column in known.items()}
    groups: dict[tuple[Hashable, ...], list[str]] = {}
    # Who agree in everything have the same facts missing too; others are not compared, since
    # any two may agree in what little is known of both.
    for patient, row in known.iterrows():
        key = tuple(None if pd.isna(value) else value for value in row)
        groups.setdefault(key, []).append(str(patient))
    pairs = len(known) * (len(known) - 1) / 2
    found = []
    for key, patients in groups.items():
        facts = [name for name, value in zip(known.columns, key, strict=True) if value is not None]
        if len(patients) < 2 or len(facts) < LEAST_SHARED:
            continue
        chance = pairs
        for name in facts:
            # How frequent the value is among the others; one that no other has may be as rare as
            # half a patient among all.
            others = counts[name][known.loc[patients[0], name]] - len(patients)
            chance *= max(others, 0.5) / len(known)
        if chance <= MOST_BY_CHANCE:
            found.append(
                {
                    "patients": [f"{cohort.name}/{patient}" for patient in sorted(patients)],
                    "why": "facts",
                    "facts": facts,
                    "expected_by_chance": round(chance, 6),
                }
            )
    return sorted(found, key=lambda own: own["patients"])


def _facts(cohort: Cohort) -> pd.DataFrame:
    """Return one row a patient: what all their images say of each column, as one text."""
    names = ["site", "acquired"]
    for endpoint in cohort.endpoints:
        names += [endpoint, outcome_day_column(endpoint)]
    names += [name for name in clinical_columns(cohort) if name not in NOT_OF_THE_PATIENT]
    own = cohort.table.groupby("patient_id", sort=True)
    columns = {}
    for name in dict.fromkeys(names):
        said = own[name].agg(_said)
        if len(said.dropna().unique()) > 1:
            columns[name] = said
    return pd.DataFrame(columns, index=sorted(cohort.table["patient_id"].unique()), dtype="object")


def _said(values: pd.Series) -> str | None:
    known = sorted(map(str, values.dropna()))
    return "; ".join(known) or None
