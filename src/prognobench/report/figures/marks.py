"""What the figures share: names, intervals, the text that a pointer brings up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import GREY, SYMBOLS, Sheet, colour

Row = Mapping[str, Any]

LONGEST_NAME = 44
"""Letters of a candidate's name at an axis; the rest is cut."""


def short_name(row: Row) -> str:
    """Return a candidate's name for an axis."""
    if row["backbone"] == "control":
        return cut(f"control: {str(row['strategy']).replace('_', ' ')}")
    return cut(f"{row['backbone']} · {row['strategy']}")


def cut(text: object, most: int = LONGEST_NAME) -> str:
    """Return a text that is no longer than ``most``."""
    whole = " ".join(str(text).split())
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def missing_words(rows: Iterable[Row], cell: Cell, mark: str) -> str:
    """Say in a caption what is marked where runs are missing; nothing where none are.

    Args:
        rows: What is drawn.
        cell: Whose rows they are.
        mark: How they are marked, such as ``Hollow points``.
    """
    if not any(map(cell.is_incomplete, rows)):
        return ""
    return (
        f" {mark}: runs are missing that the best has, so that the estimate is of other runs and "
        "not to be compared."
    )


def told(row: Row, cell: Cell) -> str:
    """Return the text shown over a point."""
    lines = [
        words.candidate(row),
        f"{cell.metric.title} {words.value_with_interval(row, cell.metric, cell.metric)}",
        words.chance_words(cell.metric, row, cell.metric),
        f"{words.count(row['trainable_parameters'])} trained parameters",
        f"{words.seconds(row['train_seconds'])} a run",
        "runs missing, not to be compared" if cell.is_incomplete(row) else "",
    ]
    return "\n".join(line for line in lines if line)


def interval_bar(axes: Axes, row: Row, place: float, shade: str, *, across: bool) -> None:
    """Draw the interval of an estimate as a line, where there is one."""
    if row["ci_low"] is None or row["ci_high"] is None:
        return
    ends, other = [row["ci_low"], row["ci_high"]], [place, place]
    axes.plot(*((ends, other) if across else (other, ends)), color=shade, linewidth=1.6, zorder=2)


def point(
    sheet: Sheet, axes: Axes, at: tuple[float, float], text: str, how: Mapping[str, Any]
) -> None:
    """Draw a point that says ``text`` when the pointer rests on it."""
    (mark,) = axes.plot([at[0]], [at[1]], linestyle="none", zorder=3, **how)
    sheet.tell(mark, text)


def chance_line(axes: Axes, chance: float | None, *, upright: bool) -> None:
    """Draw a dashed line at the chance level."""
    if chance is not None:
        draw = axes.axvline if upright else axes.axhline
        draw(chance, color=GREY, linestyle="--", linewidth=1.2, zorder=1)


def styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a symbol for each name, in their order."""
    return {
        name: (colour(place), SYMBOLS[place % len(SYMBOLS)])
        for place, name in enumerate(dict.fromkeys(names))
    }


def frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of leaderboard rows."""
    return pd.DataFrame({name: [row[name] for row in rows] for name in columns})


def kept_words(kept: int, of: int, what: str) -> str:
    """Say that only the best are drawn, where it is so."""
    return "" if kept == of else f" The best {kept} of {of} {what} are drawn; the data hold all."
