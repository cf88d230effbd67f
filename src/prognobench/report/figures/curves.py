"""The estimate over the shots, or over the level, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import DASHES, PAPER, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import (
    Row,
    chance_line,
    cut,
    kept_words,
    missing_words,
    point,
    styles,
    told,
)

PANELS_A_ROW = 3
MOST_BACKBONES = 9
MOST_STRATEGIES = 12

ABSCISSA = {
    "few_shot": "training patients a class",
    "few_shot_one_site": "training patients a class, all of one site",
    "train_size": "share of the training patients",
    "imbalance_patients": "share of events, at a fixed number of training patients",
    "imbalance_events": "share of events, at a fixed number of training events",
}
"""What each regime that varies the training part varies."""

TITLES = {
    "few_shot": "Few patients a class",
    "few_shot_one_site": "Few patients a class, of one site",
    "train_size": "Learning curves",
    "imbalance_patients": "Under imbalance, patients fixed",
    "imbalance_events": "Under imbalance, events fixed",
}


def curves(cells: Sequence[Cell]) -> Figure | None:
    """Draw estimates over what a regime varies: a panel a backbone, a line a strategy.

    Args:
        cells: The cells of one task and one regime that varies the training part.
    """
    points = [(cell, row) for cell in cells for row in cell.ranked]
    if not points:
        return None
    first, metric = cells[0], cells[0].metric
    sign = -1 if metric.higher_is_better else 1
    every, every_strategy = (_best_first(points, name, sign) for name in ("backbone", "strategy"))
    backbones = sorted(every[:MOST_BACKBONES])
    strategies = sorted(every_strategy[:MOST_STRATEGIES])
    lines_of: dict[tuple[str, str], list[tuple[Cell, Row]]] = {}
    for cell, row in points:
        lines_of.setdefault((row["backbone"], row["strategy"]), []).append((cell, row))
    columns = min(PANELS_A_ROW, len(backbones))
    lines = math.ceil(len(backbones) / columns)
    sheet = Sheet(
        max(HALF_OF[columns], 0), 80 + 230 * lines, lines, columns, sharex=True, sharey=True
    )
    shades = styles(strategies)
    places = sorted({cell.varied for cell in cells if cell.varied is not None})
    ticks = [str(at) if first.shots is not None else f"{100 * at:g} %" for at in places]
    for panel, axes in enumerate(sheet.axes):
        if panel >= len(backbones):
            axes.set_visible(False)
            continue
        backbone = backbones[panel]
        for number, strategy in enumerate(strategies):
            own = lines_of.get((backbone, strategy), ())
            _line(sheet, panel, own, (*shades[strategy], DASHES[number % len(DASHES)]))
        chance = [(c.varied, c.ranked[0]["chance"]) for c in cells if c.ranked]
        if chance and chance[0][1] is not None and len({level for _, level in chance}) == 1:
            chance_line(axes, chance[0][1], upright=False)
        axes.set_title(cut(backbone, 34))
        if min(places) > 0:
            axes.set_xscale("log")
        axes.set_xticks(places, ticks)
        axes.minorticks_off()
        if panel % columns == 0:
            axes.set_ylabel(metric.title)
    axis = ABSCISSA.get(first.regime, first.regime.replace("_", " ")).replace(
        "a class", words.CLASSES[metric.kind]
    )
    sheet.canvas.supxlabel(axis, fontsize=11)
    for number, strategy in enumerate(strategies):
        shade, symbol = shades[strategy]
        sheet.axes[0].plot(
            [],
            [],
            DASHES[number % len(DASHES)],
            color=shade,
            marker=symbol,
            label=cut(strategy, 24),
        )
    sheet.canvas.legend(loc="outside upper left", ncols=min(6, len(strategies)))
    caption = (
        f"{metric.title} over {axis}, a panel a backbone; bands are "
        f"{words.level(first.confidence)} intervals, the dashed grey line is chance where it is "
        "the same throughout."
        + kept_words(len(backbones), len(every), "backbones")
        + kept_words(len(strategies), len(every_strategy), "strategies")
    )
    missing = (missing_words([row], cell, "Hollow points") for cell, row in points)
    caption += next(filter(None, missing), "")
    alternative = (
        f"Curves of {metric.title} for {len(backbones)} backbones and {len(strategies)} strategies "
        f"over {axis}, at {words.listing(ticks)}; the same numbers are in the leaderboard."
    )
    data = pd.DataFrame(
        [
            {
                "regime": cell.regime,
                "at": cell.varied,
                **{
                    name: row[name]
                    for name in ("backbone", "strategy", "estimate", "ci_low", "ci_high", "chance")
                },
            }
            for cell, row in points
        ]
    )
    return sheet.finish(
        first.regime.replace("_", "-"),
        TITLES.get(first.regime, first.regime.replace("_", " ")),
        data,
        caption=caption,
        alternative=alternative,
    )


def _best_first(points: Sequence[tuple[Cell, Row]], name: str, sign: int) -> list[str]:
    """Return the backbones, or strategies, by their best estimate."""
    best: dict[str, float] = {}
    for _, row in points:
        best[row[name]] = min(best.get(row[name], math.inf), sign * float(row["estimate"]))
    return sorted(best, key=lambda own: (best[own], own))


HALF_OF = {1: 460, 2: 700, 3: WIDTH + 60}
"""Width of a figure by the number of its panels in a row."""


def _line(
    sheet: Sheet, panel: int, points: Sequence[tuple[Cell, Row]], how: tuple[str, str, str]
) -> None:
    if not points:
        return
    axes, (shade, symbol, dash) = sheet.axes[panel], how
    ordered = sorted(points, key=lambda one: one[0].varied or 0)
    banded = [one for one in ordered if one[1]["ci_low"] is not None]
    axes.fill_between(
        [float(cell.varied or 0) for cell, _ in banded],
        [row["ci_low"] for _, row in banded],
        [row["ci_high"] for _, row in banded],
        color=shade,
        alpha=0.07,
        linewidth=0,
    )
    x, y = [float(cell.varied or 0) for cell, _ in ordered], [row["estimate"] for _, row in ordered]
    axes.plot(x, y, dash, color=shade, zorder=2)
    for cell, row in ordered:
        point(
            sheet,
            axes,
            (float(cell.varied or 0), row["estimate"]),
            f"{cell.setting}\n{told(row, cell)}",
            {
                "marker": symbol,
                "color": shade,
                "markersize": 6,
                "markerfacecolor": PAPER if cell.is_incomplete(row) else shade,
            },
        )
