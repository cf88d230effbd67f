"""ROC, precision and recall, and decision curves of the best candidates and the best control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, DASHES, GREY, HALF, Figure, Sheet
from prognobench.report.figures.marks import Row, cut

HEIGHT = 400


def roc(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw sensitivity over the false positive rate."""
    found = candidates_curves(curves, "roc")
    if not found:
        return None
    sheet = Sheet(HALF, HEIGHT)
    axes = sheet.axes[0]
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2, label="chance")
    _lines(sheet, found, cell, "auroc")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    return _finish(
        sheet,
        ("roc", "ROC curves"),
        found,
        "Sensitivity over the false positive rate, averaged over test folds at equal rates; "
        "the band "
        f"is the pointwise {words.level(cell.confidence)} interval of the best candidate. "
        "AUROC with "
        "its interval in the legend.",
    )


def precision_recall(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw the positive predictive value over sensitivity, and the prevalence."""
    found = candidates_curves(curves, "precision_recall")
    if not found:
        return None
    sheet = Sheet(HALF, HEIGHT)
    axes = sheet.axes[0]
    prevalence = cell.ranked[0]["prevalence"]
    if prevalence is not None:
        label = f"prevalence {words.percent(prevalence)}"
        axes.axhline(prevalence, linestyle="--", color=GREY, linewidth=1.2, label=label)
    _lines(sheet, found, cell, "pr_auc")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(0, 1), ylim=(0, 1.01))
    return _finish(
        sheet,
        ("precision-recall", "Precision and recall"),
        found,
        "Precision at each recall, averaged over test folds; the dashed line is the share of "
        "events, "
        "which calling everybody gives. The band is the pointwise "
        f"{words.level(cell.confidence)} interval of the best candidate.",
    )


def decision(cell: Cell, curves: pd.DataFrame) -> Figure | None:
    """Draw the net benefit over the risk at which one would act."""
    found = candidates_curves(curves, "decision")
    if not found:
        return None
    sheet = Sheet(HALF, HEIGHT)
    axes = sheet.axes[0]
    prevalence = float(cell.ranked[0]["prevalence"] or 0.5)
    upper = min(0.8, max(0.3, 2.5 * prevalence))
    everybody = found[0][1]
    axes.plot(
        everybody["x"], everybody["treat_all"], ":", color=GREY, linewidth=1.6, label="act on all"
    )
    axes.axhline(0, color=GREY, linewidth=1.2, label="act on nobody")
    _lines(sheet, found, cell, None)
    axes.set(xlabel="risk at which one acts", ylabel="net benefit, a patient", xlim=(0, upper))
    axes.set_ylim(-0.25 * prevalence, 1.12 * prevalence)
    return _finish(
        sheet,
        ("decision", "Decision curves"),
        found,
        "Net benefit: true positives less false positives, weighed by the risk at which one would "
        "act. A model helps at a risk where its curve lies above both acting on all and acting on "
        f"nobody. The band is the pointwise {words.level(cell.confidence)} interval of the best "
        "candidate; the probabilities are those after the training's prior was taken back.",
    )


def candidates_curves(curves: pd.DataFrame, name: str) -> list[tuple[Row, pd.DataFrame]]:
    """Return each candidate with its curve of a kind, in the order of the table."""
    own = curves[curves["curve"] == name] if len(curves) else curves
    return [
        ({"backbone": backbone, "strategy": strategy}, table)
        for (backbone, strategy), table in own.groupby(["backbone", "strategy"], sort=False)
    ]


def curve_data(curves: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the rows of some kinds of curves, with the columns that they use."""
    return curves[curves["curve"].isin(names)].dropna(axis="columns", how="all")


def _lines(
    sheet: Sheet, found: Sequence[tuple[Row, pd.DataFrame]], cell: Cell, metric: str | None
) -> None:
    axes = sheet.axes[0]
    known = {(row["backbone"], row["strategy"]): row for row in (*cell.rows, *cell.controls)}
    for place, (row, table) in enumerate(found):
        shade = COLOURS[place % len(COLOURS)]
        if place == 0:
            low, high = table["ci_low"], table["ci_high"]
            axes.fill_between(table["x"], low, high, color=shade, alpha=0.14, linewidth=0)
        label = cut(legend_name(row), 34)
        whole = known.get((row["backbone"], row["strategy"]))
        if metric is not None and whole is not None:
            label += f"\n  {_value(whole, metric, cell)}"
        axes.plot(table["x"], table["value"], DASHES[place % len(DASHES)], color=shade, label=label)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), fontsize=9.5, borderaxespad=0)


def _value(row: Row, metric: str, cell: Cell) -> str:
    value, low, high = (
        ("estimate", "ci_low", "ci_high")
        if metric == cell.metric.name
        else (metric, f"{metric}_ci_low", f"{metric}_ci_high")
    )
    if row.get(value) is None:
        return words.MISSING
    return f"{words.number(row[value])} ({words.interval(row[low], row[high])})"


def legend_name(row: Row) -> str:
    """Return a candidate's or control's name for a legend."""
    if row["backbone"] == "control":
        return f"control: {str(row['strategy']).replace('_', ' ')}"
    return words.candidate(row)


def _finish(
    sheet: Sheet, named: tuple[str, str], found: Sequence[tuple[Row, Any]], caption: str
) -> Figure:
    sheet.canvas.set_size_inches(HALF / 72, (HEIGHT + 34 * len(found)) / 72)
    data = pd.concat([table for _, table in found], ignore_index=True).dropna(
        axis="columns", how="all"
    )
    names = words.listing(legend_name(row) for row, _ in found)
    return sheet.finish(
        *named, data, caption=caption, alternative=f"{named[1]} of {names}; the data are beside it."
    )
