"""Dates of a table."""

from __future__ import annotations

import datetime
import math
import re
from pathlib import Path

import pandas as pd

from prognobench.cohorts.tables import is_missing, quote_some
from prognobench.errors import UserError

_ISO = re.compile(r"(\d{4}-\d\d-\d\d|\d{8})([T ].*)?")
_MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


def dates(
    cells: pd.Series, column: str, path: Path, month_first: bool = False
) -> list[datetime.date | None]:
    """Return text cells as dates; the time of day is left aside.

    Args:
        cells: A column as :func:`prognobench.cohorts.tables.read_table` gives it, with dates
            such as ``2020-03-14``, ``2020-03-14 08:30:00`` or ``20200314``.
        column: The column's name, for the error.
        path: The table's file, for the error.
        month_first: Whether ``03/14/2020`` is known to be a date with the month first.

    Raises:
        UserError: Naming the cells that are no dates.
    """
    found: list[datetime.date | None] = []
    wrong: list[str] = []
    for cell in cells:
        date = None if is_missing(cell) else _date(str(cell).strip(), month_first)
        if date is None and not is_missing(cell):
            wrong.append(str(cell))
        found.append(date)
    if wrong:
        raise UserError(
            f"the column '{column}' of {path} has {quote_some(wrong)} where a date such as "
            "2020-03-14 was expected: write the dates so, or leave the cell empty"
        )
    return found


def day_numbers(cells: pd.Series, column: str, path: Path) -> pd.Series:
    """Return text cells that are dates as numbers of days on one axis, missing ones as NaN.

    Takes the arguments of :func:`dates`, and raises the same.
    """
    days = [math.nan if date is None else date.toordinal() for date in dates(cells, column, path)]
    return pd.Series(days, index=cells.index, dtype="float64")


def _date(text: str, month_first: bool) -> datetime.date | None:
    iso, slashes = _ISO.fullmatch(text), _MONTH_FIRST.fullmatch(text)
    try:
        if iso:
            return datetime.date.fromisoformat(iso[1])
        if slashes and month_first:
            month, day, year = map(int, slashes.groups())
            return datetime.date(year, month, day)
    except ValueError:
        pass
    return None
