"""The report's figures and tables as files: SVG and CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from prognobench.files import write_text
from prognobench.report.gallery import Placed
from prognobench.report.latex import latex
from prognobench.report.tables import Table

_MARKDOWN = str.maketrans(
    {
        "\\": r"\\",
        "|": r"\|",
        "[": r"\[",
        "`": r"\`",
        "\n": " ",
        "\r": " ",
        "<": "&lt;",
        ">": "&gt;",
    }
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that a spreadsheet would compute."""


def write_figures(folder: Path, figures: Iterable[Placed]) -> None:
    """Write each figure as ``<stem>.svg`` and its data as ``<stem>.csv``; older ones go."""
    written = set()
    for placed in figures:
        write_text(folder / f"{placed.stem}.svg", placed.figure.file)
        write_text(folder / f"{placed.stem}.csv", as_csv(placed.figure.data))
        written |= {f"{placed.stem}.svg", f"{placed.stem}.csv"}
    _clear(folder, written, (".svg", ".csv"))


def write_tables(folder: Path, tables: Iterable[Table]) -> None:
    """Write each table as ``.csv`` (its numbers), ``.md`` and ``.tex``; older ones go."""
    written = set()
    for table in tables:
        made = {
            ".csv": as_csv(table.data),
            ".md": markdown(table),
            ".tex": latex(table),
        }
        for suffix, text in made.items():
            write_text(folder / f"{table.name}{suffix}", text)
            written.add(f"{table.name}{suffix}")
    _clear(folder, written, (".csv", ".md", ".tex"))


def as_csv(data: pd.DataFrame) -> str:
    """Return a table as CSV in which a spreadsheet finds no formula.

    A text that begins as a formula does, and is no number, gets an apostrophe before it (OWASP, CSV
    Injection). The files of results beside the report keep every name as it is: programs read
    them, by these names.
    """
    told = data.copy()
    for place, kind in enumerate(data.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            told.isetitem(place, data.iloc[:, place].map(_as_text).array)
    return told.rename(columns=_as_text).to_csv(index=False)


def _as_text(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def markdown(table: Table) -> str:
    """Return a table as Markdown, its title above."""
    columns = [str(name) for name in table.shown.columns]
    marks = ["---:" if name in table.numbers else "---" for name in columns]
    rows = [columns, marks, *(list(row) for row in table.shown.astype(str).to_numpy())]
    lines = [
        f"| {' | '.join(text if row is marks else text.translate(_MARKDOWN) for text in row)} |"
        for row in rows
    ]
    return "\n".join([f"**{str(table.title).translate(_MARKDOWN)}**", "", *lines, ""])


def _clear(folder: Path, kept: set[str], suffixes: tuple[str, ...]) -> None:
    """Remove what an earlier report left here."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix in suffixes and path.name not in kept:
            path.unlink()


def as_frame(pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Return names and texts as a table."""
    return pd.DataFrame(list(pairs), columns=["Name", "Value"])
