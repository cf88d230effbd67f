"""Calibration of the best candidates, and how their probabilities are spread by outcome."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, GREY, PANELS, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import cut
from prognobench.report.figures.operating import candidates_curves, curve_data, legend_name


def calibration(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw the share of events over predicted probability, the histograms below."""
    found = [
        one for one in candidates_curves(curves, "calibration") if one[0]["backbone"] != "control"
    ]
    if not found:
        return None
    spread = {
        (row["backbone"], row["strategy"]): table
        for row, table in candidates_curves(curves, "distribution")
    }
    width = PANELS.get(len(found), WIDTH)
    sheet = Sheet(
        width, 380, 2, len(found), sharex=True, sharey="row",
        gridspec_kw={"height_ratios": [2.6, 1]},
    )  # fmt: skip
    for place, (row, table) in enumerate(found):
        axes, below = sheet.axes[place], sheet.axes[len(found) + place]
        shade = COLOURS[place % len(COLOURS)]
        axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2)
        smooth, bins = table[table["kind"] == "smooth"], table[table["kind"] == "bin"]
        axes.plot(smooth["x"], smooth["value"], color=shade, linewidth=1.2, alpha=0.7)
        draw_bins(sheet, axes, bins, shade)
        axes.set_title(cut(legend_name(row), 34), fontsize=10)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        histogram = spread.get((row["backbone"], row["strategy"]))
        if histogram is not None:
            at, wide = histogram["low"], histogram["high"] - histogram["low"]
            below.bar(at, histogram["events"], wide, align="edge", color=COLOURS[1], alpha=0.85)
            below.bar(at, -histogram["others"], wide, align="edge", color=GREY, alpha=0.7)
        below.axhline(0, color=GREY, linewidth=0.8)
        below.set_yticks([])
        below.grid(visible=False)
        below.set_xlabel("predicted probability")
    sheet.axes[0].set_ylabel("share of events")
    sheet.axes[len(found)].set_ylabel("event ↑\nno event ↓", fontsize=9.5)
    caption = (
        "Above: share of events over predicted probability, in bins of equally many patients with "
        f"Wilson's {words.level(cell.confidence)} interval, and smoothed (LOWESS) where there are "
        "patients enough; on the dashed line predictions are right on average. Below: how the "
        "probabilities are spread among patients with the event (up) and without (down). All folds "
        "are put together; the probabilities are those after the training's prior was taken back."
    )
    names = words.listing(legend_name(row) for row, _ in found)
    kept = curves[curves["backbone"] != "control"]
    return sheet.finish(
        "calibration",
        "Calibration",
        curve_data(kept, "calibration", "distribution"),
        caption=caption,
        alternative=f"Calibration curves of {names}; slope and intercept are in the leaderboard.",
    )


def draw_bins(sheet: Sheet, axes: Axes, bins: pd.DataFrame, shade: str) -> None:
    """Draw a point a bin, observed over predicted, with its interval where there is one.

    Args:
        sheet: The sheet.
        axes: Where on it.
        bins: Columns ``x, value, ci_low, ci_high`` and ``n``.
        shade: The colour.
    """
    for _, one in bins.iterrows():
        if pd.notna(one["ci_low"]):
            ends = [one["ci_low"], one["ci_high"]]
            axes.plot([one["x"]] * 2, ends, color=shade, linewidth=1.4)
        (mark,) = axes.plot([one["x"]], [one["value"]], "o", color=shade, markersize=6)
        low, high = (None if pd.isna(one[end]) else one[end] for end in ("ci_low", "ci_high"))
        text = (
            f"predicted {words.percent(one['x'])}, observed {words.percent(one['value'])} "
            f"({words.interval(low, high)}), {int(one['n'])} patients"
        )
        sheet.tell(mark, text)
