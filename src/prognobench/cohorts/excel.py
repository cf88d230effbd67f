"""Reading Excel workbooks of both kinds: .xlsx, and the binary .xls of before 2007."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prognobench.errors import UserError, nearest


def workbook_rows(path: Path, sheet: str = "") -> list[list[Any]]:
    """Return the cells of one sheet, row by row, empty ones as None or an empty text.

    The kind is told by the content: workbooks of the newer kind are handed round as .xls, too.

    Args:
        path: The workbook.
        sheet: Name of the sheet, by default the first.

    Raises:
        UserError: When the file is no readable workbook, or has no such sheet.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    return _zipped_rows(path, sheet) if zipped else _binary_rows(path, sheet)


def _zipped_rows(path: Path, sheet: str) -> list[list[Any]]:
    import openpyxl  # slow to import, and most tables are CSV

    try:
        with path.open("rb") as file:  # given the path, openpyxl would go by its suffix
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            # Sheets that are a chart have no cells.
            name = _sheet(path, sheet, [own.title for own in workbook.worksheets])
            worksheet = workbook[name]
            # The size that the file tells is what some program once took it for.
            worksheet.reset_dimensions()
            return _filled_up(worksheet.iter_rows(values_only=True))
    except (UserError, PermissionError):
        raise
    except Exception as error:  # a damaged file makes openpyxl raise errors of many kinds
        raise _unreadable(path) from error


def _filled_up(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return rows of one length: as they are read each ends with its last cell."""
    found = []
    for row in rows:
        filled = [at for at, cell in enumerate(row, start=1) if cell is not None]
        found.append(list(row[: filled[-1]]) if filled else [])
    longest = max(map(len, found), default=0)
    # One for all of them, since a stray cell may stand a million rows below.
    empty = [None] * longest
    return [[*row, *empty[len(row) :]] if row else empty for row in found]


def _binary_rows(path: Path, sheet: str) -> list[list[Any]]:
    import xlrd

    try:
        with xlrd.open_workbook(path, on_demand=True, logfile=io.StringIO()) as workbook:
            name = _sheet(path, sheet, workbook.sheet_names())
            rows = workbook.sheet_by_name(name).get_rows()
            return [[_value(cell, workbook.datemode) for cell in row] for row in rows]
    except UserError:
        raise
    except Exception as error:  # a damaged file makes xlrd raise errors of many kinds
        raise _unreadable(path) from error


def _value(cell: Any, datemode: int) -> Any:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate_as_datetime(cell.value, datemode)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    return None if cell.ctype == xlrd.XL_CELL_ERROR else cell.value


def _sheet(path: Path, wanted: str, names: list[str]) -> str:
    if not names:
        raise _unreadable(path)
    if wanted and wanted not in names:
        raise UserError(f"the workbook {path} has no sheet '{wanted}': {nearest(wanted, names)}")
    return wanted or names[0]


def _unreadable(path: Path) -> UserError:
    return UserError(
        f"the table {path} is no readable Excel workbook: save it anew as .xlsx or .csv"
    )
