"""Fold by fold: what each candidate reached on each test fold, seed or episode."""

from __future__ import annotations

import pandas as pd

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, GREY, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import chance_line, kept_words, short_name

MOST_ROWS = 12
MOST_TOLD = 400
"""Points that say what they are; beyond, a drawing would be mostly words."""


def folds(cell: Cell, results: pd.DataFrame) -> Figure | None:
    """Draw a point for each finished run of a cell, its candidates down.

    Args:
        cell: The cell.
        results: Its rows of ``results.csv`` with the headline metric.
    """
    rows = cell.ranked[:MOST_ROWS]
    controls = [row for row in cell.controls if rows and row["strategy"] == rows[0]["control"]]
    drawn = [*rows, *controls]
    known = results[results["value"].notna()]
    if known["split"].nunique() < 2 or not drawn:
        return None
    sheet = Sheet(WIDTH, 80 + 30 * len(drawn))
    axes = sheet.axes[0]
    splits = {name: place for place, name in enumerate(sorted(known["split"].unique()))}
    few = len(known) <= MOST_TOLD
    for down, row in enumerate(drawn):
        own = known[(known["backbone"] == row["backbone"]) & (known["strategy"] == row["strategy"])]
        shade = GREY if row["backbone"] == "control" else COLOURS[0]
        # The place within the row is the fold's: the eye can follow a fold down the candidates.
        spread = max(len(splits) - 1, 1)
        at = [down + 0.5 * (splits[name] / spread - 0.5) for name in own["split"]]
        if few:
            for x, y, name in zip(own["value"], at, own["split"], strict=True):
                (mark,) = axes.plot([x], [y], "o", color=shade, markersize=5, alpha=0.8)
                sheet.tell(mark, f"{name}: {words.number(x)}")
        else:
            axes.plot(own["value"], at, "o", color=shade, markersize=3, alpha=0.35)
        if len(own):
            mean = float(own["value"].mean())
            axes.plot([mean] * 2, [down - 0.36, down + 0.36], color=COLOURS[1], linewidth=2)
    chance_line(axes, cell.ranked[0]["chance"], upright=True)
    axes.set_yticks(range(len(drawn)), [short_name(row) for row in drawn])
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(cell.metric.title)
    few_what = "patients" if cell.metric.kind == "ordinal" else "events"
    caption = (
        f"{cell.metric.title} of every run on its own test part: a point a fold (and seed or "
        "episode), in the same order within each row; the upright mark is their mean. Values of "
        f"folds move with the few {few_what} in them, and the estimate of the leaderboard need not "
        "be their mean." + kept_words(len(rows), len(cell.ranked), "candidates")
    )
    alternative = (
        f"Strips of {cell.metric.title} for {len(drawn)} candidates over {len(splits)} test parts; "
        "the same numbers are in results.csv."
    )
    columns = ["backbone", "strategy", "split", "seed", "metric", "value", "chance"]
    columns += ["n_test", "n_positive"]
    return sheet.finish(
        "folds", "Fold by fold", results[columns], caption=caption, alternative=alternative
    )
