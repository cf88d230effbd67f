"""Ages as tables and DICOM headers write them."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from prognobench.cohorts.tables import cell_text

_AGE = re.compile(
    r"([>≥]=?)?\s*(\d{1,3}(?:[.,]\d+)?)\s*(?:([DWMY])|(\+)|years?|yrs?|yo)?", re.IGNORECASE
)
OLDEST = 80
"""Years from which on an open end (``90+``) says in which band of ages a patient is."""

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def years_of(cell: Any) -> float | None:
    """Return an age in years, or None when a cell is none.

    Args:
        cell: A number of years, or text: a number with a decimal point or comma, an open end
            from :data:`OLDEST` on (``90+``, ``>89``), or an age string of DICOM (PS3.5, 6.2:
            ``045Y``, ``018M``).

    Returns:
        Years, two decimals where they were months, weeks or days; of an open end the number it
        has. A range of ages, or another open end, is no age.
    """
    text = cell_text(cell)
    match = _AGE.fullmatch(text) if text is not None else None
    if match is None:
        return None
    years = float(match[2].replace(",", "."))
    if (match[1] or match[4]) and years < OLDEST:
        return None
    return round(years * _YEARS[match[3].upper()], 2) if match[3] else years


def ages(column: pd.Series[Any]) -> pd.Series[float] | None:
    """Return a column of ages in years, NaN where empty; None where a cell is no age."""
    texts = column.map(cell_text)
    found = texts.map(years_of)
    if (found.isna() & texts.notna()).any():
        return None
    return found.map(lambda years: math.nan if years is None else years).astype("float64")
