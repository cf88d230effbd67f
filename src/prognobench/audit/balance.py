"""Who is in a cohort: patients and events, and missing values, by site, sex, age and view."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from prognobench.audit.shortcuts import MISSING
from prognobench.cohorts.ages import years_of
from prognobench.cohorts.assemble import UNKNOWN_SITE, clinical_columns
from prognobench.cohorts.cohort import STANDARD_COLUMNS, Cohort
from prognobench.cohorts.tables import cell_text, find_column

GROUPS = ("view", "site", "sex")
"""Columns by whose values patients and events are counted, beside the age band."""

AGE_BANDS = ((0, 40), (40, 60), (60, 80), (80, math.inf))
"""Ages from the first number of years to below the second."""


def groups_of(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the view, site, sex and age band of each row as words, by the column's name."""
    columns = [column for name in GROUPS if (column := find_column(rows, name))]
    groups = {
        column: rows[column].astype(object).map(lambda cell: cell_text(cell) or MISSING)
        for column in columns
    }
    if "site" in groups:
        groups["site"] = groups["site"].replace(UNKNOWN_SITE, MISSING)
    if age := find_column(rows, "age"):
        groups["age"] = pd.Series([_age_band(years) for years in rows[age]], rows.index)
    return groups


def balance(patients: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Return patients and events by view, site, sex and age band.

    Args:
        patients: One row a patient, with ``target``.
    """
    return {
        name: {
            str(word): {"patients": len(own), "events": int(own.sum())}
            for word, own in patients["target"].groupby(words, sort=True)
        }
        for name, words in groups_of(patients).items()
    }


def missing_values(cohort: Cohort) -> dict[str, int]:
    """Return how many images have no value, by column."""
    return {str(column): int(count) for column, count in _lacking(cohort).sum().items()}


def missing_by_group(cohort: Cohort) -> dict[str, dict[str, dict[str, Any]]]:
    """Return how many images have no value, by view, site, sex and age band.

    Returns:
        By group and its value: ``images``, and ``missing`` by column; columns of which no image
        lacks a value are left out.
    """
    lacking = _lacking(cohort)
    lacking = lacking.loc[:, lacking.any()]
    return {
        name: {
            str(word): {
                "images": len(own),
                "missing": {str(column): int(count) for column, count in own.sum().items()},
            }
            for word, own in lacking.groupby(words, sort=True)
        }
        for name, words in groups_of(cohort.table).items()
    }


def _columns(cohort: Cohort) -> list[str]:
    return [*STANDARD_COLUMNS, *cohort.endpoints, *clinical_columns(cohort)]


def _lacking(cohort: Cohort) -> pd.DataFrame:
    """Say of each image and column whether there is no value."""
    lacking = cohort.table[_columns(cohort)].isna()
    return lacking.assign(site=cohort.table["site"].isin([UNKNOWN_SITE]) | lacking["site"])


def _age_band(cell: Any) -> str:
    age = years_of(cell)
    if age is None:
        return MISSING
    for low, high in AGE_BANDS:
        if low <= age < high:
            return f"{low}-{high - 1}" if high != math.inf else f"{low} and over"
    return MISSING
