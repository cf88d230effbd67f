"""Predicted times against observed ones: curves of risk groups, and calibration at a horizon."""

from __future__ import annotations

import pandas as pd

from prognobench.evaluation.time_curves import THIRDS
from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, DASHES, GREY, PANELS, WIDTH, Figure, Sheet
from prognobench.report.figures.calibration import draw_bins
from prognobench.report.figures.marks import cut
from prognobench.report.figures.operating import candidates_curves, curve_data, legend_name

SHADES = dict(zip(THIRDS, (COLOURS[2], GREY, COLOURS[1]), strict=True))


def risk_groups(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw Kaplan and Meier's curves of the thirds of predicted risk, a panel a candidate."""
    found = candidates_curves(curves, "risk_groups")
    if not found:
        return None
    sheet = Sheet(
        PANELS.get(len(found), WIDTH + 40 * (len(found) - 3)), 360, 2, len(found),
        sharex=True, sharey="row", gridspec_kw={"height_ratios": [4, 1]},
    )  # fmt: skip
    for place, (row, table) in enumerate(found):
        axes, below = sheet.axes[place], sheet.axes[len(found) + place]
        for number, name in enumerate(THIRDS):
            own = table[table["group"] == name]
            line, left = own[own["kind"] == "curve"], own[own["kind"] == "at_risk"]
            if line.empty:
                continue
            shade = SHADES[name]
            axes.fill_between(
                line["x"], line["ci_low"], line["ci_high"], step="post", color=shade, alpha=0.14,
                linewidth=0,
            )  # fmt: skip
            axes.step(
                line["x"], line["value"], DASHES[number], where="post", color=shade, label=name
            )
            for _, one in left.iterrows():
                below.text(
                    one["x"], -number, words.count(one["n"]), color=shade, fontsize=9,
                    ha="center", va="center", clip_on=False,
                )  # fmt: skip
            axes.set_xticks(left["x"], [f"{at:g}" for at in left["x"]])
        axes.set_title(cut(legend_name(row), 34 if len(found) < 4 else 24), fontsize=10)
        axes.set_ylim(0, 1.02)
        longest = float(table["x"].max())
        axes.set_xlim(-0.06 * longest, 1.03 * longest)
        below.set_ylim(-len(THIRDS) + 0.4, 0.6)
        below.set_yticks([-number for number in range(len(THIRDS))], THIRDS)
        below.grid(visible=False)
        below.tick_params(length=0)
        for side in below.spines.values():
            side.set_visible(False)
        below.set_xlabel("days")
    sheet.axes[0].set_ylabel("share without the event")
    sheet.axes[len(found)].set_ylabel("at risk", fontsize=9.5)
    handles, labels = sheet.axes[0].get_legend_handles_labels()
    if len(labels) < len(THIRDS):
        best = max(sheet.axes[: len(found)], key=lambda axes: len(axes.get_lines()))
        handles, labels = best.get_legend_handles_labels()
    sheet.canvas.legend(
        handles, [f"{label} third of the predicted hazard" for label in labels],
        loc="outside upper left", ncols=3,
    )  # fmt: skip
    caption = (
        "Kaplan and Meier's curves of the patients in the low, middle and high third of the "
        "predicted hazard, thirds of each test part put together, with pointwise "
        f"{words.level(cell.confidence)} intervals; the numbers below say how many were still "
        "followed up. The further the curves lie apart in this order, the more a prediction "
        "tells. Where everybody has the same prediction, all are in the middle third."
    )
    names = words.listing(legend_name(row) for row, _ in found)
    return sheet.finish(
        "risk-groups",
        "Observed times by predicted risk",
        curve_data(curves, "risk_groups"),
        caption=caption,
        alternative=f"Survival curves of thirds of the predicted hazard of {names}.",
    )


def calibration_at(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw the share with the event until a horizon over its predicted probability."""
    found = [
        one
        for one in candidates_curves(curves, "calibration_at")
        if one[0]["backbone"] != "control"
    ]
    if not found:
        return None
    sheet = Sheet(PANELS.get(len(found), WIDTH), 300, 1, len(found), sharex=True, sharey=True)
    horizon = float(found[0][1]["horizon"].iloc[0])
    for place, (row, table) in enumerate(found):
        axes, shade = sheet.axes[place], COLOURS[place % len(COLOURS)]
        axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2)
        draw_bins(sheet, axes, table, shade)
        axes.set_title(cut(legend_name(row), 34), fontsize=10)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="predicted probability")
    sheet.axes[0].set_ylabel(f"share with the event\nuntil day {horizon:g}")
    caption = (
        f"Share of patients with the event until day {horizon:g}, the median of its times, over "
        "the predicted probability of that, in bins of equally many patients: one less Kaplan and "
        f"Meier's estimate in the bin, with its {words.level(cell.confidence)} interval where it "
        "is neither 0 nor 1. On the dashed line predictions are right on average. All folds are "
        "put together."
    )
    names = words.listing(legend_name(row) for row, _ in found)
    kept = curves[curves["backbone"] != "control"]
    return sheet.finish(
        "calibration",
        f"Calibration at day {horizon:g}",
        curve_data(kept, "calibration_at"),
        caption=caption,
        alternative=f"Observed over predicted probability of the event at a horizon, of {names}.",
    )
