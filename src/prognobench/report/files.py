"""The report's figures and tables as files: SVG and CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from prognobench.files import write_text
from prognobench.report.gallery import Placed
from prognobench.report.tables import Table

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "−": "$-$", "–": "--", "∞": r"$\infty$", "≥": r"$\geq$", "≤": r"$\leq$",
        "\u00a0": "~", "\u202f": r"\,", "<": r"\textless{}", ">": r"\textgreater{}", "\n": " ",
    }
)  # fmt: skip

ONE_LINE = 40
"""Letters of a text that is not broken into lines in LaTeX."""

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


def latex(table: Table) -> str:
    """Return a table as LaTeX, for the packages array, booktabs and longtable.

    Columns of sentences are as wide as the page leaves them; the others as their longest text.
    """
    columns = list(table.shown.columns)
    wide = [
        name
        for name in columns
        if name not in table.numbers and table.shown[name].astype(str).str.len().max() > ONE_LINE
    ]
    share = 0.8 / max(len(wide), 2)

    def kind(name: str) -> str:
        if name in wide:
            return f">{{\\raggedright\\arraybackslash}}p{{{share:.2f}\\linewidth}}"
        return "r" if name in table.numbers else "l"

    kinds = "".join(map(kind, columns))

    def row(texts: Iterable[object]) -> str:
        return " & ".join(str(text).translate(_LATEX) for text in texts) + r" \\"

    body = [row(own) for own in table.shown.to_numpy()]
    lines = [
        "% needs \\usepackage{array,booktabs,longtable}",
        f"\\begin{{longtable}}{{{kinds}}}",
        f"\\caption{{{table.title.translate(_LATEX)}}} \\\\",
        r"\toprule",
        row(columns),
        r"\midrule",
        r"\endhead",
        *body,
        r"\bottomrule",
        r"\end{longtable}",
        "",
    ]
    return "\n".join(lines)


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
