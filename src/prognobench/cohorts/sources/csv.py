"""Any cohort of one's own: a table (CSV, Excel or Parquet) with one row an image.

.. code-block:: yaml

    cohort:
      source: csv
      table: my.xlsx
      root: images/
      columns: {patient_id: Patient, path: File, icu: ICU, acquired_date: Taken, icu_date: ICU from}
      positive: {icu: transferred}
      negative: {icu: ward}

Endpoints are the columns named or mapped ``icu``, ``mortality`` and ``severity``, and those listed
under ``endpoints``; those under ``scores`` are ordinal. When images and outcomes were is told in
one of two ways: ``acquired`` and ``<endpoint>_day`` are numbers of days on one axis whose day 0 is
the admission; or ``acquired_date`` and ``<endpoint>_date`` are dates, counted from the date in
``admission``, and without it, or for a patient without it, from the patient's first image. Every
other column is kept as a clinical one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean, no_admission
from prognobench.cohorts.coding import USUAL_ENDPOINTS
from prognobench.cohorts.cohort import (
    LUNG_BOX,
    LUNG_MASK,
    STANDARD_COLUMNS,
    Cohort,
    Provenance,
    outcome_day_column,
)
from prognobench.cohorts.lungs import SEPARATOR, masks_of
from prognobench.cohorts.outcome_kinds import OtherOutcome
from prognobench.cohorts.outcome_options import OutcomeOptions
from prognobench.cohorts.paths import is_absolute
from prognobench.cohorts.source import Source
from prognobench.cohorts.table_dates import day_numbers
from prognobench.cohorts.tables import (
    find_column,
    numbers,
    numbers_where_all,
    read_table,
    require_columns,
)
from prognobench.errors import UserError, nearest
from prognobench.files import file_digest

CLINICAL_COLUMNS = ("age", "sex")
"""Clinical columns that the audit looks for, and that may therefore be mapped."""


class CsvOptions(OutcomeOptions):
    """Options of the source ``csv``.

    Attributes:
        root: The folder that image paths are relative to; by default the table's own.
        sheet: The sheet of an Excel workbook, by default the first.
        allow_outside_root: Whether a path may be absolute or lead out of the root.
        scores: Ordinal columns to predict, each with its highest level, as ``{brixia: 18}``.
        times: Events whose time is to be predicted: of ``death``, the column ``death`` says
            whether it was seen, and ``death_day`` or ``death_date`` when it was, or when its
            patient was last seen without it.
    """

    root: Path | None = None
    sheet: str = ""
    allow_outside_root: bool = False
    scores: dict[str, Annotated[int, Field(ge=2)]] = Field(default={})
    times: tuple[str, ...] = ()

    def others(self) -> dict[str, OtherOutcome]:
        """Return the endpoints that are not binary."""
        scores = {
            name: OtherOutcome("ordinal", f"{self.column(name)}, 0 to {highest}", highest)
            for name, highest in self.scores.items()
        }
        times = {
            name: OtherOutcome("time_to_event", f"days to: {self.in_words(name)}")
            for name in self.times
        }
        return scores | times


PROVENANCE = Provenance(
    source="csv", title="a table of one's own", access="the user's own, without registration"
)


def read(options: CsvOptions) -> Cohort:
    """Read a table of one's own.

    Raises:
        UserError: When the table or a column is missing or a cell cannot be read.
    """
    file = options.table
    table = read_table(file, options.sheet)
    others = options.others()
    _require_one_kind(options)
    names = [*options.endpoint_names(table, others), *options.times]
    taken = _taken_columns(table, options, names)
    rows = pd.DataFrame({name: table[taken[name]] for name in ("patient_id", "path")})
    for name in (LUNG_BOX, LUNG_MASK):
        if name in taken:
            rows[name] = table[taken[name]]
    root, rows = _rooted(rows, options)
    for name in ("image_id", "site", "view"):
        if name in taken:
            rows[name] = table[taken[name]]
    for name in ("acquired", *map(outcome_day_column, names)):
        if name in taken:
            rows[name] = numbers(table[taken[name]], taken[name], file)
    for name in names:
        rows[name] = options.coded(table[taken[name]], name)
    for name in options.scores:
        rows[name] = numbers(table[taken[name]], taken[name], file)
    rows, undated = _with_days_of_dates(rows, table, taken, names, file)
    _add_clinical(rows, table, taken, names)
    provenance = Provenance(
        source="csv",
        title=file.name,
        version=f"SHA-256 {file_digest(file)[:16]}",
        access=PROVENANCE.access,
    )
    _require_days(rows, options)
    endpoints = {name: options.in_words(name) for name in names if name not in others}
    cohort = assemble(options.name or file.stem, rows, root, endpoints, provenance, others=others)
    if undated:
        cohort = cohort.without(set(), *no_admission(undated))
    return clean(cohort)


def _add_clinical(
    rows: pd.DataFrame, table: pd.DataFrame, taken: dict[str, str], names: list[str]
) -> None:
    read_as = {column: name for name, column in taken.items()}
    for column in map(str, table.columns):
        name = read_as.get(column, column)
        if name in taken and name in _date_columns(names):
            continue  # read as days; the dates themselves are no business of a manifest
        if name not in rows:
            rows[name] = numbers_where_all(table[column])
        elif column not in read_as:
            # A column that another one was mapped over is still the user's data.
            rows[f"{column} (as in the table)"] = numbers_where_all(table[column])


def _require_one_kind(options: CsvOptions) -> None:
    named = {"endpoints": options.endpoints, "scores": options.scores, "times": options.times}
    for name in sorted({*options.endpoints, *options.scores, *options.times}):
        keys = [f"'{key}'" for key, own in named.items() if name in own]
        if len(keys) > 1:
            raise UserError(
                f"'{name}' is named under {' and '.join(keys)}, and is of one kind only: leave it "
                "out of all but one, or map another name to its column under 'columns'"
            )


def _require_days(rows: pd.DataFrame, options: CsvOptions) -> None:
    for name in options.times:
        if outcome_day_column(name) not in rows:
            raise UserError(
                f"{options.table} does not say when '{name}' was: give {outcome_day_column(name)} "
                f"(days) or {name}_date, of the event or of when its patient was last seen"
            )


def _date_columns(endpoints: list[str]) -> dict[str, str]:
    """Return the columns of dates, each with the column of days that it stands for."""
    days = {f"{name}_date": outcome_day_column(name) for name in endpoints}
    return {"acquired_date": "acquired", **days, "admission": ""}


def _taken_columns(
    table: pd.DataFrame, options: CsvOptions, endpoints: list[str]
) -> dict[str, str]:
    *dated, admission = _date_columns(endpoints)
    days = [outcome_day_column(name) for name in endpoints]
    lungs = (LUNG_BOX, LUNG_MASK)
    others = list(options.scores)
    known = [*STANDARD_COLUMNS, *lungs, *endpoints, *days, *others, *CLINICAL_COLUMNS]
    known += [*dated, admission]
    for name in options.columns:
        if name not in known:
            raise UserError(f"'columns' maps no '{name}': {nearest(name, known)}")
    needed = {"patient_id", "path", *endpoints, *others, *options.columns}
    asked = {name: options.column(name) for name in known if name in needed}
    found = require_columns(table, asked.values(), options.table)
    taken = {name: found[column] for name, column in asked.items()}
    for name in known:
        if name == admission and not any(date in taken for date in dated):
            continue  # where nothing is dated it is a column like others
        column = find_column(table, name)
        if name not in taken and column is not None and column not in taken.values():
            taken[name] = column
    return taken


def _with_days_of_dates(
    rows: pd.DataFrame,
    table: pd.DataFrame,
    taken: dict[str, str],
    endpoints: list[str],
    file: Path,
) -> tuple[pd.DataFrame, int]:
    """Return the rows with days for dates, and for how many patients these count from an image."""
    stands_for = _date_columns(endpoints)
    day = {
        name: day_numbers(table[taken[name]], taken[name], file)
        for name in stands_for
        if name in taken
    }
    start = day.pop("admission", None)
    if not day:
        return rows, 0
    if start is None and "acquired_date" not in day:
        raise UserError(
            f"{file} has the dates {', '.join(taken[name] for name in day)} and none that they "
            "count from: map 'admission' or 'acquired_date' under 'columns'"
        )
    told = [name for name in endpoints if outcome_day_column(name) in rows]
    if start is None and told:
        raise UserError(
            f"{file} has the day of the outcome '{told[0]}' and no date of admission that it "
            f"counts from: map 'admission', or give dates as '{told[0]}_date'"
        )
    patients = table[taken["patient_id"]]
    zero = (day["acquired_date"] if start is None else start).groupby(patients).transform("min")
    undated = 0
    if start is not None and "acquired_date" in day and not told:
        lacking = zero.isna() & patients.notna()
        undated = patients[lacking].nunique()
        zero = zero.fillna(day["acquired_date"].groupby(patients).transform("min"))
    for name, own in day.items():
        if stands_for[name] in rows:
            raise UserError(
                f"{file} has both '{taken[name]}' and '{taken[stands_for[name]]}', dates and days: "
                "leave one of them out"
            )
        rows[stands_for[name]] = own - zero
    return rows, undated


def _rooted(rows: pd.DataFrame, options: CsvOptions) -> tuple[Path, pd.DataFrame]:
    root = options.root if options.root is not None else options.table.parent
    if not options.allow_outside_root:
        return root, rows
    # The one folder that holds all of them becomes the root, so that every path of the cohort
    # is inside its root here as everywhere.
    masks = [masks_of(cell) if isinstance(cell, str) else [] for cell in rows.get(LUNG_MASK, ())]
    named = [*rows["path"].dropna(), *(path for own in masks for path in own)]
    if not named:
        return root, rows
    full = {
        path: Path(os.path.normpath(path if is_absolute(path) else root.absolute() / path))
        for path in named
    }
    common = Path(os.path.commonpath([path.parent for path in full.values()]))
    inside = {path: where.relative_to(common).as_posix() for path, where in full.items()}
    rows = rows.assign(path=rows["path"].map(inside))
    if LUNG_MASK in rows:
        rows[LUNG_MASK] = [SEPARATOR.join(inside[path] for path in own) or None for own in masks]
    return common, rows


SOURCE = Source(
    name="csv",
    provenance=PROVENANCE,
    endpoints=USUAL_ENDPOINTS,
    options=CsvOptions,
    read=read,
)
