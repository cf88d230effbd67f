"""Any cohort of one's own: a table (CSV, Excel or Parquet) with one row an image.

.. code-block:: yaml

    cohort:
      source: csv
      table: my.csv
      root: images/
      columns: {patient_id: Patient, path: File, icu: ICU}
      positive: {icu: transferred}
      negative: {icu: ward}

Endpoints are the columns named or mapped ``icu``, ``mortality`` and ``severity``, and those listed
under ``endpoints``. ``acquired`` and ``<endpoint>_day`` are numbers of days on one axis, such as
days since admission. Every other column is kept as a clinical one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from pydantic import Field, field_validator

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.coding import USUAL_ENDPOINTS, Word, code_endpoint
from prognobench.cohorts.cohort import (
    STANDARD_COLUMNS,
    Cohort,
    Provenance,
    outcome_day_column,
)
from prognobench.cohorts.paths import is_absolute
from prognobench.cohorts.source import Source, SourceOptions
from prognobench.cohorts.tables import (
    find_column,
    fold,
    numbers,
    numbers_where_all,
    read_table,
    require_columns,
)
from prognobench.errors import UserError, nearest
from prognobench.files import file_digest

CLINICAL_COLUMNS = ("age", "sex")
"""Clinical columns that the audit looks for, and that may therefore be mapped."""


class CsvOptions(SourceOptions):
    """Options of the source ``csv``.

    Attributes:
        table: The table: .csv, .tsv, .xlsx or .parquet.
        root: The folder that image paths are relative to; by default the table's own.
        name: Name of the cohort in results; by default the table's.
        columns: The table's columns by the names used here, where they differ.
        endpoints: Further binary columns to predict.
        positive: For an endpoint, the value or values that are the event.
        negative: For an endpoint, the value or values that are not.
        allow_outside_root: Whether a path may be absolute or lead out of the root.
    """

    table: Path
    root: Path | None = None
    name: str = ""
    columns: dict[str, str] = Field(default={})
    endpoints: tuple[str, ...] = ()
    positive: dict[str, tuple[Word, ...]] = Field(default={})
    negative: dict[str, tuple[Word, ...]] = Field(default={})
    allow_outside_root: bool = False

    @field_validator("positive", "negative", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: one if isinstance(one, list | tuple) else (one,) for key, one in value.items()}


PROVENANCE = Provenance(source="csv", title="a table of one's own", access="the user's own")


def read(options: CsvOptions) -> Cohort:
    """Read a table of one's own.

    Raises:
        UserError: When the table or a column is missing or a cell cannot be read.
    """
    file = options.table
    table = read_table(file)
    names = _endpoint_names(table, options)
    taken = _taken_columns(table, options, names)
    rows = pd.DataFrame({name: table[taken[name]] for name in ("patient_id", "path")})
    root, rows["path"] = _rooted(rows["path"], options)
    for name in ("image_id", "site", "view"):
        if name in taken:
            rows[name] = table[taken[name]]
    for name in ("acquired", *map(outcome_day_column, names)):
        if name in taken:
            rows[name] = numbers(table[taken[name]], taken[name], file)
    for name in names:
        positive, negative = options.positive.get(name, ()), options.negative.get(name, ())
        rows[name] = code_endpoint(table[taken[name]], taken[name], file, positive, negative)
    wanted = {column: name for name, column in taken.items()}
    for column in map(str, table.columns):
        name = wanted.get(column, column)
        if name not in rows:
            rows[name] = numbers_where_all(table[column])
        elif column not in wanted:
            # A column that another one was mapped over is still the user's data.
            rows[f"{column} (as in the table)"] = numbers_where_all(table[column])
    provenance = Provenance(
        source="csv",
        title=file.name,
        version=f"SHA-256 {file_digest(file)[:16]}",
        access=PROVENANCE.access,
    )
    endpoints = {name: _in_words(name, options) for name in names}
    return clean(assemble(options.name or file.stem, rows, root, endpoints, provenance))


def _endpoint_names(table: pd.DataFrame, options: CsvOptions) -> list[str]:
    listed = {fold(name) for name in options.endpoints}
    usual = [
        name
        for name in USUAL_ENDPOINTS
        if name not in listed and (name in options.columns or find_column(table, name))
    ]
    names = list(dict.fromkeys([*usual, *options.endpoints]))
    if not names:
        raise UserError(
            f"{options.table} has no endpoint: a column {', '.join(USUAL_ENDPOINTS)} was "
            "expected, map one under 'columns' or list one under 'endpoints'"
        )
    for key, mapping in (("positive", options.positive), ("negative", options.negative)):
        for name in mapping:
            if name not in names:
                raise UserError(f"'{key}' names no endpoint '{name}': {nearest(name, names)}")
    return names


def _taken_columns(
    table: pd.DataFrame, options: CsvOptions, endpoints: list[str]
) -> dict[str, str]:
    days = [outcome_day_column(name) for name in endpoints]
    known = [*STANDARD_COLUMNS, *endpoints, *days, *CLINICAL_COLUMNS]
    for name in options.columns:
        if name not in known:
            raise UserError(f"'columns' maps no '{name}': {nearest(name, known)}")
    needed = {"patient_id", "path", *endpoints, *options.columns}
    asked = {name: options.columns.get(name, name) for name in known if name in needed}
    found = require_columns(table, asked.values(), options.table)
    taken = {name: found[column] for name, column in asked.items()}
    for name in known:
        column = find_column(table, name)
        if name not in taken and column is not None and column not in taken.values():
            taken[name] = column
    return taken


def _rooted(paths: pd.Series, options: CsvOptions) -> tuple[Path, pd.Series]:
    root = options.root if options.root is not None else options.table.parent
    if not options.allow_outside_root:
        return root, paths
    # The one folder that holds all of them becomes the root, so that every path of the cohort
    # is inside its root here as everywhere.
    full = [
        os.path.normpath(path if is_absolute(path) else root.absolute() / path)
        for path in paths.dropna()
    ]
    common = Path(os.path.commonpath([Path(path).parent for path in full]))
    inside = [Path(path).relative_to(common).as_posix() for path in full]
    return common, pd.Series(inside, index=paths.dropna().index).reindex(paths.index)


def _in_words(endpoint: str, options: CsvOptions) -> str:
    if named := options.positive.get(endpoint):
        column = options.columns.get(endpoint, endpoint)
        return f"{column} is {' or '.join(map(str, named))}"
    return USUAL_ENDPOINTS.get(endpoint, f"{endpoint} is yes")


SOURCE = Source(
    name="csv",
    provenance=PROVENANCE,
    endpoints=USUAL_ENDPOINTS,
    options=CsvOptions,
    read=read,
)
