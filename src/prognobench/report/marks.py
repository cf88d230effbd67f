"""What the figures share: escaped text, colours, intervals, the chance line.

The colours of the data suit light and dark and are told apart by the colour-blind (Okabe and Ito
2008, Color Universal Design), helped by shapes.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prognobench.report import words
from prognobench.report.content import Cell

COLOURS = ("#1F83C9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
MIDDLE_GREY = "#8C8C8C"


@dataclass(frozen=True)
class Figure:
    """A figure with its words.

    Attributes:
        data: Plotly's ``data`` and ``layout``.
        caption: What it shows and how to read it.
        alternative: The short text for those who do not see it.
        height: Its height in pixels.
    """

    data: Mapping[str, Any]
    caption: str
    alternative: str
    height: int


def label(text: object) -> str:
    """Return text as Plotly shows it literally: its labels understand some HTML."""
    return html.escape(str(text), quote=False)


def short_name(row: Mapping[str, Any]) -> str:
    """Return a candidate's name for an axis."""
    return label(f"{row['backbone']} · {row['strategy']}")


def hover(row: Mapping[str, Any], cell: Cell) -> str:
    """Return the text shown over a point, names escaped."""
    metric = cell.metric
    lines = [
        f"<b>{label(words.candidate(row))}</b>",
        f"{label(cell.task)}, {label(cell.setting)}",
        f"{label(metric.title)} {words.value_with_interval(row, metric, metric)}",
    ]
    if row["estimate"] is not None:
        lines.append(words.chance_words(metric, row, metric))
        lines.append(
            f"{words.count(row['trainable_parameters'])} parameters, "
            f"{words.seconds(row['train_seconds'])} a run"
        )
    return "<br>".join(line for line in lines if line)


def error_bars(rows: Sequence[Mapping[str, Any]], colour: str) -> dict[str, Any]:
    """Return the interval ends as distances from the estimate."""
    # Signed: a percentile interval need not hold the estimate, and is drawn where it is.
    above, below = (
        [0.0 if row[end] is None else sign * (row[end] - row["estimate"]) for row in rows]
        for end, sign in (("ci_high", 1.0), ("ci_low", -1.0))
    )
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "color": colour,
        "thickness": 1.5,
        "width": 3,
    }


def chance_line(chance: float | None, axis: str) -> dict[str, Any]:
    """Return a dashed line across the figure at the chance level."""
    if chance is None:
        return {}
    other = "y" if axis == "x" else "x"
    return {
        "shapes": [
            {
                "type": "line",
                f"{axis}0": chance,
                f"{axis}1": chance,
                f"{other}0": 0,
                f"{other}1": 1,
                f"{other}ref": "paper",
                "line": {"dash": "dash", "width": 1.5, "color": MIDDLE_GREY},
            }
        ]
    }
