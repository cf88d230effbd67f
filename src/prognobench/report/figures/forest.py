"""Each candidate's estimate with its interval, and the chance line."""

from __future__ import annotations

from typing import Any

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, GREY, PAPER, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import (
    chance_line,
    frame,
    interval_bar,
    kept_words,
    point,
    short_name,
    told,
)

MOST_ROWS = 30
COLUMNS = (
    *("rank", "backbone", "strategy", "metric", "estimate", "ci_low", "ci_high", "best_group"),
    *("difference_to_best", "difference_low", "difference_high", "chance"),
)


def forest(cell: Cell) -> Figure | None:
    """Draw the candidates of a cell, the best first, and the control they are to beat."""
    rows = cell.ranked[:MOST_ROWS]
    if not rows:
        return None
    controls = [row for row in cell.controls if row["strategy"] == rows[0]["control"]]
    drawn = [*rows, *controls]
    metric = cell.metric
    sheet = Sheet(WIDTH, 90 + 24 * len(drawn))
    axes = sheet.axes[0]
    for place, row in enumerate(drawn):
        control = place >= len(rows)
        best = not control and cell.is_best(row)
        missing = not control and cell.is_incomplete(row)
        shade = GREY if control or missing else COLOURS[0] if best else COLOURS[1]
        interval_bar(axes, row, place, shade, across=True)
        how: dict[str, Any] = {
            "marker": "D" if control else "^" if missing else "o" if best else "s",
            "color": shade,
            "markersize": 7,
        }
        if not best:
            how |= {"markerfacecolor": PAPER, "markeredgewidth": 1.8}
        point(sheet, axes, (row["estimate"], place), told(row, cell), how)
    chance_line(axes, rows[0]["chance"], upright=True)
    axes.set_yticks(range(len(drawn)), [short_name(row) for row in drawn])
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(metric.title)
    shown: list[tuple[str, str, str, bool]] = [
        ("cannot be told apart from the best", COLOURS[0], "o", True),
        ("worse than the best", COLOURS[1], "s", False),
        ("best control", GREY, "D", False),
    ]
    if any(map(cell.is_incomplete, rows)):
        shown.append(("runs missing, ranked last", GREY, "^", False))
    for name, shade, marker, filled in shown:
        face = shade if filled else PAPER
        axes.plot([], [], marker, color=shade, markerfacecolor=face, label=name)
    sheet.canvas.legend(loc="outside upper left", ncols=len(shown), handletextpad=0.2)
    caption = (
        f"{metric.title} of each candidate with its {words.level(cell.confidence)} interval, the "
        f"best first{'' if rows[0]['chance'] is None else '; the dashed line is chance'}. Whether "
        "two candidates differ is told by the "
        "paired difference in the leaderboard, not by whether their intervals overlap."
        + kept_words(len(rows), len(cell.ranked), "candidates")
    )
    alternative = (
        f"Forest plot of {len(rows)} candidates. Best estimate: {words.candidate(rows[0])}, "
        f"{metric.title} {words.value_with_interval(rows[0], metric, metric)}."
    )
    return sheet.finish(
        "forest",
        "Every candidate with its interval",
        frame([*cell.ranked, *cell.controls], COLUMNS),
        caption=caption,
        alternative=alternative,
    )
