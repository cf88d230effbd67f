"""What an estimate costs: trained parameters, and time of training, with the Pareto front."""

from __future__ import annotations

import numpy as np

from prognobench.evaluation.pareto import pareto_front
from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import GREY, INK, PAPER, WIDTH, Figure, Sheet, log_ticks
from prognobench.report.figures.marks import (
    cut,
    frame,
    interval_bar,
    kept_words,
    missing_words,
    point,
    styles,
    told,
)

COSTS = {
    "trainable_parameters": "trained parameters",
    "train_seconds": "training time of a run, seconds",
}
MOST_NAMES = 12
MOST_POINTS = 200
"""Candidates that are drawn, the best; besides those on a front."""


def cost(cell: Cell) -> Figure | None:
    """Draw estimates over both costs, on logarithmic scales."""
    rows = [row for row in cell.ranked if row["trainable_parameters"] and row["train_seconds"]]
    if not rows:
        return None
    strategies = styles(sorted({row["strategy"] for row in rows}))
    backbones = styles(sorted({row["backbone"] for row in rows}))
    data = frame(rows, ("backbone", "strategy", "metric", "estimate", "ci_low", "ci_high", *COSTS))
    names = len(strategies) + len(backbones)
    sheet = Sheet(WIDTH, 350 + 18 * ((min(names, 2 * MOST_NAMES) + 4) // 4), 1, 2, sharey=True)
    for axes, (column, title) in zip(sheet.axes, COSTS.items(), strict=True):
        compared = [row for row in rows if not cell.is_incomplete(row)]
        better = iter(
            pareto_front(
                [row[column] for row in compared],
                [row["estimate"] for row in compared],
                higher_is_better=cell.metric.higher_is_better,
            )
        )
        front = [not cell.is_incomplete(row) and next(better) for row in rows]
        data[f"pareto_{column}"] = front
        for place, (row, best) in enumerate(zip(rows, front, strict=True)):
            if place >= MOST_POINTS and not best:
                continue
            shade, symbol = strategies[row["strategy"]][0], backbones[row["backbone"]][1]
            interval_bar(axes, row, row[column], f"{shade}66", across=False)
            how = {
                "marker": symbol,
                "color": shade,
                "markersize": 9,
                "markeredgecolor": INK if best else PAPER,
                "markeredgewidth": 1.6 if best else 0.6,
            }
            if cell.is_incomplete(row):
                how |= {"markerfacecolor": PAPER, "markeredgecolor": shade}
            text = told(row, cell) + ("\non the Pareto front" if best else "")
            point(sheet, axes, (row[column], row["estimate"]), text, how)
        _front(axes, [row for row, best in zip(rows, front, strict=True) if best], column)
        axes.set_xscale("log")
        log_ticks(axes.xaxis, [row[column] for row in rows])
        axes.set_xlabel(title)
    sheet.axes[0].set_ylabel(cell.metric.title)
    first = sheet.axes[0]
    for name, (shade, _) in list(strategies.items())[:MOST_NAMES]:
        first.plot([], [], "o", color=shade, label=cut(name, 24))
    for name, (_, symbol) in list(backbones.items())[:MOST_NAMES]:
        first.plot([], [], symbol, color=GREY, label=cut(name, 24))
    first.plot([], [], color=INK, linewidth=1.1, label="Pareto front")
    sheet.canvas.legend(loc="outside lower left", ncols=4, handletextpad=0.4)
    caption = (
        f"What {cell.metric.title} costs: trained parameters (left) and mean time of a run "
        "(right). "
        "Colours are strategies, shapes are backbones. Dark outlines and the line mark the Pareto "
        "front: no other candidate is better without costing more. The front is of the estimates; "
        f"bars are their {words.level(cell.confidence)} intervals."
        + kept_words(min(len(rows), MOST_POINTS), len(rows), "candidates")
        + missing_words(rows, cell, "Hollow points")
    )
    on_front = words.listing(
        words.candidate(row)
        for row, best in zip(rows, data["pareto_train_seconds"], strict=True)
        if best
    )
    alternative = (
        f"Scatter plots of {cell.metric.title} against trained parameters and training time for "
        f"{len(rows)} candidates. On the Pareto front of time: {on_front}."
    )
    return sheet.finish("cost", "What it costs", data, caption=caption, alternative=alternative)


def _front(axes: object, rows: list, column: str) -> None:  # type: ignore[type-arg]
    ordered = sorted(rows, key=lambda row: row[column])
    x = np.array([row[column] for row in ordered])
    y = np.array([row["estimate"] for row in ordered])
    axes.step(x, y, where="post", color=INK, linewidth=1.1, zorder=1)  # type: ignore[attr-defined]
