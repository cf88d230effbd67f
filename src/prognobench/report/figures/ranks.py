"""The critical-difference diagram: mean ranks over cohorts, and who cannot be told apart."""

from __future__ import annotations

import math

import pandas as pd

from prognobench.report.drawing import GREY, INK, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import cut

MOST_CANDIDATES = 30


def ranks(table: pd.DataFrame, setting: str) -> Figure | None:
    """Draw the diagram of one setting (Demsar 2006, section 3.2.4).

    Args:
        table: Its rows of ``ranks.csv``; without a test (p-value) there is no diagram.
        setting: The setting in words.
    """
    if table.empty or table["p_value"].isna().all():
        return None
    drawn = table.head(MOST_CANDIDATES)
    count = len(drawn)
    half = math.ceil(count / 2)
    sheet = Sheet(WIDTH, 110 + 22 * (half + 1))
    axes = sheet.axes[0]
    lowest, highest = 1, max(math.ceil(float(drawn["mean_rank"].max())), 2)
    span = highest - lowest
    axes.axis("off")
    axes.set_xlim(lowest - 0.62 * span, highest + 0.62 * span)
    bars = _bars(drawn)
    axes.set_ylim(half + 2.2 + 0.35 * len(bars), -2.6)
    axes.plot([lowest, highest], [0, 0], color=INK, linewidth=1.4)
    for tick in range(lowest, highest + 1):
        axes.plot([tick, tick], [0, -0.25], color=INK, linewidth=1.2)
        axes.text(tick, -0.45, str(tick), ha="center", va="bottom", fontsize=10)
    critical = float(drawn["critical_difference"].iloc[0])
    if critical <= span:
        axes.plot([lowest, lowest + critical], [-1.7, -1.7], color=INK, linewidth=2)
    if not math.isnan(critical):
        axes.text(lowest, -1.85, f"critical difference {critical:.2f}", va="bottom", fontsize=10)
    for place, (_, row) in enumerate(drawn.iterrows()):
        left = place < half
        line = (place if left else count - 1 - place) + 1.2 + 0.35 * len(bars)
        end = lowest - 0.06 * span if left else highest + 0.06 * span
        (mark,) = axes.plot(
            [row["mean_rank"]] * 2 + [end], [0, line, line], color=GREY, linewidth=1.1
        )
        sheet.tell(mark, f"{row['candidate']}: mean rank {row['mean_rank']:.2f}")
        axes.text(
            end, line, f"{cut(row['candidate'], 34)}  {row['mean_rank']:.2f}" if left
            else f"{row['mean_rank']:.2f}  {cut(row['candidate'], 34)}",
            ha="right" if left else "left", va="center", fontsize=9.5,
        )  # fmt: skip
    for number, (first, last) in enumerate(bars):
        axes.plot([first - 0.03, last + 0.03], [0.4 + 0.35 * number] * 2, color=INK, linewidth=3.4)
    p_value = float(drawn["p_value"].iloc[0])
    by_test = (
        "Friedman's test does not tell any of them apart at 5 % ("
        if math.isnan(critical)
        else "Candidates under one bar cannot be told apart by Nemenyi's test at 5 % (Friedman's "
        "test of all: "
    )
    caption = (
        f"Mean ranks over {int(drawn['blocks'].iloc[0])} cohorts, {setting}: 1 is the best. "
        f"{by_test}p = {p_value:.3g}). Endpoints of a cohort share their patients and count as one."
    )
    best = drawn.iloc[0]
    alternative = (
        f"Critical-difference diagram of {count} candidates; best mean rank "
        f"{best['mean_rank']:.2f}, {best['candidate']}. The same numbers are in the table."
    )
    columns = ["candidate", "mean_rank", "groups", "blocks", "p_value", "critical_difference"]
    return sheet.finish(
        "ranks", "Critical differences", table[columns], caption=caption, alternative=alternative
    )


def _bars(table: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the ends of each group of two or more, from its letters."""
    ends: dict[str, list[float]] = {}
    for _, row in table.iterrows():
        for letter in str(row["groups"]).split():
            ends.setdefault(letter, []).append(float(row["mean_rank"]))
    return [(min(own), max(own)) for own in ends.values() if len(own) > 1]
