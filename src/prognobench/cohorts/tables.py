"""Reading tables as people keep them: CSV, Excel and Parquet, every cell as text.

Ids such as ``007`` must survive, so nothing is guessed while reading: each cell is text or
missing, and the caller says which columns are numbers.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.excel import workbook_rows
from prognobench.errors import UserError, nearest

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".parquet")
"""The kinds of table that can be read."""

UTF_8 = "utf-8-sig"
"""The encoding of a CSV file that is UTF-8, with or without a byte order mark."""

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "nan", "none", "null", "<na>", "nat", "missing", "unknown", "?"}
)
"""What stands for a missing number, outcome, view, site or id, in lower case.

In other text only an empty cell does.
"""


def read_table(path: Path, sheet: str = "", encodings: Sequence[str] = (UTF_8,)) -> pd.DataFrame:
    """Read a CSV, Excel or Parquet file with every cell as text or missing.

    The delimiter of a CSV file (comma, semicolon or tab) is taken from its first line. Rows and
    nameless columns that are wholly empty are left out.

    Args:
        path: The table.
        sheet: The sheet of an Excel workbook, by default the first.
        encodings: What the text of a CSV file may be encoded in; the first that fits counts.

    Raises:
        UserError: When the file is absent, of another kind, empty, broken or ragged.
    """
    return table_of(read_rows(path, sheet, encodings), path)


def read_rows(path: Path, sheet: str = "", encodings: Sequence[str] = (UTF_8,)) -> list[list[Any]]:
    """Read the cells of a table as they stand, for files whose first row names no columns.

    Takes the arguments of :func:`read_table`.

    Raises:
        UserError: As :func:`read_table`, but for what :func:`table_of` finds.
    """
    try:
        return _rows(path, sheet, encodings)
    except OSError as error:
        raise UserError(
            f"the table {path} cannot be read ({error.strerror or error}): check the path and its "
            "permissions"
        ) from error


def _rows(path: Path, sheet: str, encodings: Sequence[str]) -> list[list[Any]]:
    if not path.is_file():
        raise UserError(f"the table {path} does not exist: check the path")
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise UserError(
            f"the table {path} is of a kind that cannot be read: "
            f"save it as one of {', '.join(TABLE_SUFFIXES)}"
        )
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix in {".xlsx", ".xls"}:
        return workbook_rows(path, sheet)
    return _delimited_rows(path, encodings)


def read_table_below(path: Path, names: Iterable[str]) -> pd.DataFrame:
    """Read a table like :func:`read_table`, though other rows may stand above the columns' names.

    Args:
        path: The table.
        names: Columns of which the row with the names has at least one. It is looked for among
            the first ten rows; without one, the first row is taken.

    Raises:
        UserError: As :func:`read_table`.
    """
    rows = read_rows(path)
    wanted = {fold(name) for name in names}
    below = (at for at, row in enumerate(rows[:10]) if wanted & {fold(cell) for cell in row})
    return table_of(rows[next(below, 0) :], path)


def find_column(table: pd.DataFrame, name: str) -> str | None:
    """Return the column whose name is ``name`` but for case and spaces, or None.

    An exact match wins; among several others the first does.
    """
    if name in table.columns:
        return name
    return next((str(column) for column in table.columns if fold(column) == fold(name)), None)


def require_columns(table: pd.DataFrame, names: Iterable[str], path: Path) -> dict[str, str]:
    """Return where each column of ``names`` is in the table, by :func:`find_column`.

    Raises:
        UserError: Naming every column that is not there.
    """
    found = {name: find_column(table, name) for name in names}
    lacking = [name for name, column in found.items() if column is None]
    if lacking:
        listed = " and ".join(f"'{name}'" for name in lacking)
        hint = nearest(lacking[0], map(str, table.columns))
        noun = "column" if len(lacking) == 1 else "columns"
        raise UserError(f"{path} lacks the {noun} {listed}: {hint}")
    return {name: column for name, column in found.items() if column is not None}


def fold(name: object) -> str:
    """Return a column's name without its case and its spaces, for comparing."""
    return "".join(str(name).split()).casefold()


def is_missing(cell: object) -> bool:
    """Say whether a text cell stands for a missing number or outcome."""
    return not isinstance(cell, str) or cell.strip().casefold() in MISSING_WORDS


def numbers(cells: pd.Series, column: str, path: Path) -> pd.Series:
    """Return text cells as floats; ``inf`` and ``-inf`` are numbers, missing words are missing.

    Args:
        cells: A column as :func:`read_table` gives it.
        column: The column's name, for the error.
        path: The table's file, for the error.

    Raises:
        UserError: Naming the cells that are no numbers.
    """
    values = [math.nan if is_missing(cell) else _number(cell) for cell in cells]
    wrong = [cell for cell, value in zip(cells, values, strict=True) if value is None]
    if wrong:
        raise UserError(
            f"the column '{column}' of {path} has {quote_some(wrong)} where a number was expected: "
            "correct the table, or leave the cell empty"
        )
    return pd.Series(values, index=cells.index, dtype="float64")


def numbers_where_all(cells: pd.Series) -> pd.Series:
    """Return a column as floats when every cell is a number or missing, else as it is."""
    present = [cell for cell in cells if not is_missing(cell)]
    if not present or any(_number(cell) is None for cell in present):
        return cells
    return pd.Series(
        [math.nan if is_missing(cell) else _number(cell) for cell in cells],
        index=cells.index,
        dtype="float64",
    )


def quote_some(words: Iterable[object], limit: int = 5) -> str:
    """Return the distinct words in quotation marks, the first few of them, for a sentence."""
    distinct = list(dict.fromkeys(str(word) for word in words))
    more = f" and {len(distinct) - limit} more" if len(distinct) > limit else ""
    return ", ".join(f"'{word}'" for word in distinct[:limit]) + more


def cell_text(cell: Any) -> str | None:
    """Return a cell of any kind as text, or None when it is missing.

    Whole floats lose their ``.0``, so that an id which Excel or a gap in the column made a float
    is the same id again; other floats keep all their digits.
    """
    if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:  # noqa: PLR0124  (NaN)
        return None
    if isinstance(cell, bool | np.bool_):
        text = "true" if cell else "false"
    elif isinstance(cell, float | np.floating):
        value = float(cell)
        text = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    elif isinstance(cell, datetime.datetime):
        whole_day = cell.time() == datetime.time()
        text = cell.date().isoformat() if whole_day else cell.isoformat()
    elif isinstance(cell, bytes):
        text = cell.decode("utf-8", "replace")
    else:
        text = str(cell)
    return text.strip() or None


def _number(cell: str) -> float | None:
    try:
        # A number with an underscore is Python's notation, in a table it is an id.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _delimited_rows(path: Path, encodings: Sequence[str]) -> list[list[Any]]:
    text = _decoded(path.read_bytes(), encodings)
    if text is None:
        raise UserError(f"the table {path} is not UTF-8 text: save it as CSV UTF-8")
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[Any]] = []
    try:
        for row in reader:
            if rows and row and len(row) != len(rows[0]):
                raise UserError(
                    f"line {reader.line_num} of {path} has {len(row)} cells where the first line "
                    f"names {len(rows[0])} columns: correct that line"
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise UserError(
            f"line {reader.line_num} of {path} is no valid CSV ({error}): correct that line"
        ) from error
    return rows


def _decoded(data: bytes, encodings: Sequence[str]) -> str | None:
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return None


def _parquet_rows(path: Path) -> list[list[Any]]:
    with path.open("rb"):  # what pyarrow says of a file without permission is of many kinds
        pass
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are both
        raise UserError(
            f"the table {path} is no readable Parquet file: write it anew, or save it as CSV"
        ) from error
    columns = [[_plain_cell(cell) for cell in table[column].tolist()] for column in table.columns]
    return [list(map(str, table.columns)), *(list(row) for row in zip(*columns, strict=True))]


def _plain_cell(cell: Any) -> Any:
    """Return a list or a record, as Parquet may have them in a cell, as text."""
    return str(cell) if isinstance(cell, np.ndarray | list | tuple | dict) else cell


def table_of(rows: Sequence[Sequence[Any]], path: Path) -> pd.DataFrame:
    """Return rows, the first of which names the columns, with every cell as text or missing.

    Raises:
        UserError: When there is no row of data, or a column's name is there twice.
    """
    cells = [[cell_text(cell) for cell in row] for row in rows]
    cells = cells[:1] + [row for row in cells[1:] if any(cell is not None for cell in row)]
    if len(cells) < 2:
        raise UserError(
            f"the table {path} has no rows: a line of column names was expected, then one row "
            "an image"
        )
    header = cells[0]
    data: dict[str, list[str | None]] = {}
    for position, name in enumerate(header):
        column = [row[position] for row in cells[1:]]
        if name is None and all(cell is None for cell in column):
            continue
        label = name or f"column {position + 1}"
        if label in data:
            raise UserError(f"the table {path} has two columns '{label}': rename one of them")
        data[label] = column
    return pd.DataFrame({name: pd.Series(column, dtype="str") for name, column in data.items()})
