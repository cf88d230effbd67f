"""Predicted scores against true ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import MaxNLocator

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, GREY, INK, PANELS, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import cut
from prognobench.report.figures.operating import candidates_curves, curve_data, legend_name

LARGEST = 260.0
"""Area of the largest circle, in square points."""


def agreement(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw a circle for each pair of true and predicted score, its area the patients."""
    found = candidates_curves(curves, "agreement")
    if not found:
        return None
    width = PANELS.get(len(found), WIDTH + 40 * (len(found) - 3))
    sheet = Sheet(width, 320, 1, len(found), sharex=True, sharey=True)
    drawn = pd.concat([table for _, table in found])
    top, most = drawn[["x", "value"]].max().max(), drawn["share"].max()
    patients = {
        (row["backbone"], row["strategy"]): row["n_patients"]
        for row in (*cell.rows, *cell.controls)
    }
    for place, (row, table) in enumerate(found):
        axes, control = sheet.axes[place], row["backbone"] == "control"
        axes.plot([0, top], [0, top], "--", color=GREY, linewidth=1.2)
        axes.scatter(
            table["x"], table["value"], s=LARGEST * table["share"] / most, alpha=0.6, linewidths=0,
            color=GREY if control else COLOURS[place % len(COLOURS)],
        )  # fmt: skip
        mean = (table["value"] * table["share"]).groupby(table["x"]).sum()
        mean /= table["share"].groupby(table["x"]).sum()
        axes.plot(mean.index, mean, color=INK, linewidth=1.4)
        axes.set_title(cut(legend_name(row), 34 if len(found) < 4 else 24), fontsize=10)
        count = words.count(patients.get((row["backbone"], row["strategy"])))
        axes.set(xlabel=f"true score ({count} patients)", xlim=(-1, top + 1), ylim=(-1, top + 1))
    sheet.axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    sheet.axes[0].set_ylabel("predicted score")
    caption = (
        "Predicted score, rounded, over the true one: the area of a circle is the share of the "
        "patients, the line the mean prediction at each true score; on the dashed line they are "
        "equal. A flat line says little of a patient, whatever the mean error. All folds are put "
        "together."
    )
    names = words.listing(legend_name(row) for row, _ in found)
    return sheet.finish(
        "agreement",
        "Predicted and true score",
        curve_data(curves, "agreement"),
        caption=caption,
        alternative=f"Predicted against true scores of {names}.",
    )
