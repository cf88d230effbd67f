"""A table as LaTeX that fits the page of a paper."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from prognobench.report.tables import Table

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "−": "$-$", "–": "--", "∞": r"$\infty$", "≥": r"$\geq$", "≤": r"$\leq$", "±": r"$\pm$",
        "×": r"$\times$", "→": r"$\to$", "…": r"\dots{}", "'": r"\textquotesingle{}",
        "\u200b": r"\hspace{0pt}", "\u00a0": "~", "\u202f": r"\,",
        "<": r"\textless{}", ">": r"\textgreater{}", "\n": " ",
    }
)  # fmt: skip

_BREAK = "\u200b"
"""Where a word may be broken."""

_LONG_WORD = re.compile(r"\S{20,}")
_PIECE = re.compile(r".{1,9}[_/,;]|.{10}")

ONE_LINE = 40
"""Letters of a text that is not broken into lines."""

LEAST_FOR_SENTENCES = 0.3
"""Share of the width that columns of sentences get at least."""


@dataclass(frozen=True)
class _Layout:
    """A way to set a table.

    Attributes:
        font: The command for the size of its letters.
        letter: Width of a letter in points, on average.
        gap: Half the space between columns in points.
        landscape: Whether the page is turned.
    """

    font: str
    letter: float
    gap: int
    landscape: bool = False

    @property
    def room(self) -> float:
        """Width of the page's text in points, in the standard class on A4 paper."""
        return 598.0 if self.landscape else 345.0

    def needed(self, letters: int, columns: int) -> float:
        """Return the width in points of columns with so many letters in all."""
        return letters * self.letter + 2 * self.gap * columns


_LAYOUTS = (
    _Layout(r"\normalsize", 5.0, 6),
    _Layout(r"\footnotesize", 4.25, 4),
    _Layout(r"\scriptsize", 3.8, 3),
    _Layout(r"\scriptsize", 3.8, 3, landscape=True),
    _Layout(r"\tiny", 3.1, 2, landscape=True),
)
"""From the one that is read best to the one that holds most."""


def latex(table: Table) -> str:
    """Return a table as LaTeX, for the packages array, booktabs, longtable, pdflscape, textcomp.

    A column with one value in all rows goes to the title. Letters are as large, and the page stands
    upright, as the width allows. Columns of sentences share what the others leave them.
    """
    shown, told = _without_constants(table.shown.astype(str))
    columns = [str(name) for name in shown.columns]
    values = {name: max(map(len, shown[name]), default=0) for name in columns}
    heads = {name: _head(name, values[name]) for name in columns}
    longest = {name: max(values[name], *map(len, heads[name])) for name in columns}
    wide = [name for name in columns if name not in table.numbers and longest[name] > ONE_LINE]
    narrow = sum(own for name, own in longest.items() if name not in wide)
    layout, share = _chosen(narrow, len(columns), len(wide))

    def kind(name: str) -> str:
        if name in wide:
            return f">{{\\raggedright\\arraybackslash}}p{{{share:.2f}\\linewidth}}"
        return "r" if name in table.numbers else "l"

    lines = [
        "% needs \\usepackage{array,booktabs,longtable,pdflscape,textcomp}",
        *([r"\begin{landscape}"] if layout.landscape else []),
        f"\\begingroup{layout.font}\\setlength{{\\tabcolsep}}{{{layout.gap}pt}}",
        f"\\begin{{longtable}}{{{''.join(map(kind, columns))}}}",
        f"\\caption{{{' '.join([table.title, *told]).translate(_LATEX)}}} \\\\",
        r"\toprule",
        " & ".join(_stacked(own, kind(name)[-1]) for name, own in heads.items()) + r" \\",
        r"\midrule",
        r"\endhead",
        *(_row(own) for own in shown.map(_breakable).to_numpy()),
        r"\bottomrule",
        r"\end{longtable}",
        r"\endgroup",
        *([r"\end{landscape}"] if layout.landscape else []),
        "",
    ]
    return "\n".join(lines)


def _row(texts: Iterable[object]) -> str:
    return " & ".join(str(text).translate(_LATEX) for text in texts) + r" \\"


def _head(name: str, values: int) -> tuple[str, ...]:
    """Return the name of a column, in two lines where it is longer than all that is below."""
    if len(name) <= values or " " not in name:
        return (name,)
    spaces = [at for at, letter in enumerate(name) if letter == " "]
    middle = min(spaces, key=lambda at: max(at, len(name) - at - 1))
    return name[:middle], name[middle + 1 :]


def _stacked(lines: tuple[str, ...], side: str) -> str:
    text = r"\\".join(line.translate(_LATEX) for line in lines)
    if len(lines) == 1:
        return text
    return rf"\shortstack[{'r' if side == 'r' else 'l'}]{{{text}}}"


def _breakable(text: str) -> str:
    """Return a text whose long words, such as digests and lists of names, may be broken."""
    if len(text) <= ONE_LINE:
        return text
    return _LONG_WORD.sub(lambda word: _PIECE.sub(f"\\g<0>{_BREAK}", word[0]), text)


def _without_constants(shown: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns that tell rows apart, and in words what the others say of all."""
    if len(shown) < 2:
        return shown, []
    constant = [
        name
        for name in shown.columns
        if (shown[name] == shown[name].iloc[0]).all() and len(shown[name].iloc[0]) <= ONE_LINE
    ]
    if len(constant) == len(shown.columns):
        return shown, []
    facts = [f"{name}: {shown[name].iloc[0]}" for name in constant]
    return shown.drop(columns=constant), [f"({'; '.join(facts)})"] if facts else []


def _chosen(narrow: int, columns: int, wide: int) -> tuple[_Layout, float]:
    """Return the first layout that holds a table, and each wide column's share of the width."""
    kept = LEAST_FOR_SENTENCES if wide else 0.0
    for layout in _LAYOUTS:
        left = 1.0 - layout.needed(narrow, columns) / layout.room
        if left >= kept:
            break
    return layout, max(left, LEAST_FOR_SENTENCES) / max(wide, 1)
