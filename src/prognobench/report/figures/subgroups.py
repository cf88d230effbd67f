"""The best candidate in each subgroup."""

from __future__ import annotations

import pandas as pd

from prognobench.evaluation.subgroups import EVERYBODY, FEW_EVENTS, SMALLEST_GROUP
from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import COLOURS, GREY, MUTED, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import cut

PANELS = {"auroc": "AUROC", "observed_to_expected": "observed / expected events"}
IDEAL = {"auroc": 0.5, "observed_to_expected": 1.0}


def subgroups(cell: Cell, table: pd.DataFrame) -> Figure | None:
    """Draw the measures of :data:`PANELS` for each subgroup, and a word where there is none.

    Args:
        cell: The cell.
        table: Its rows of :func:`prognobench.evaluation.subgroups.subgroup_values`.
    """
    places = table[["attribute", "group", "n_patients", "n_events"]].drop_duplicates()
    if len(places) < 2:
        return None
    sheet = Sheet(WIDTH, 80 + 24 * len(places), 1, len(PANELS), sharey=True)
    names = []
    for down, (_, place) in enumerate(places.iterrows()):
        own = table[(table["attribute"] == place["attribute"]) & (table["group"] == place["group"])]
        whole = place["attribute"] == EVERYBODY
        title = place["group"] if whole else f"{place['attribute']}: {place['group']}"
        if pd.notna(place["n_events"]):
            events = f"{int(place['n_events'])}"
        else:
            # A group of too few without the event has no number either, and many events.
            events = f"<{SMALLEST_GROUP}" if FEW_EVENTS in set(own["reason"]) else "–"
        names.append(f"{cut(title, 30)}  ({events}/{int(place['n_patients'])})")
        for axes, metric in zip(sheet.axes, PANELS, strict=True):
            one = own[own["metric"] == metric].iloc[0]
            if pd.isna(one["value"]):
                axes.text(
                    0.02, down, "too few", color=MUTED, fontsize=9, va="center",
                    transform=axes.get_yaxis_transform(),
                )  # fmt: skip
                continue
            shade = COLOURS[1] if whole else COLOURS[0]
            axes.plot([one["ci_low"], one["ci_high"]], [down, down], color=shade, linewidth=1.6)
            (mark,) = axes.plot([one["value"]], [down], "D" if whole else "o", color=shade)
            ends = words.interval(one["ci_low"], one["ci_high"])
            sheet.tell(mark, f"{title}: {words.number(one['value'])} ({ends})")
            if whole:
                axes.axvline(one["value"], color=COLOURS[1], linewidth=0.8, alpha=0.6)
    for axes, (metric, title) in zip(sheet.axes, PANELS.items(), strict=True):
        axes.axvline(IDEAL[metric], color=GREY, linestyle="--", linewidth=1.2)
        axes.set_xlabel(title)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    sheet.axes[0].set_yticks(range(len(places)), names)
    sheet.axes[0].set_ylim(len(places) - 0.4, -0.6)
    best = words.candidate(cell.ranked[0])
    caption = (
        f"{best} in subgroups (events/patients in brackets), with "
        f"{words.level(cell.confidence)} intervals. Right: observed events over the sum of "
        "predicted "
        "risks; above 1 the risk is underestimated. Groups with fewer than "
        f"{SMALLEST_GROUP} patients with or without the event have no numbers. None of this is "
        "corrected for the number of groups: a difference is a question, not a finding."
    )
    alternative = (
        f"Forest plot of AUROC and observed over expected events of {best} in {len(places) - 1} "
        "subgroups; the same numbers are in the table."
    )
    return sheet.finish("subgroups", "Subgroups", table, caption=caption, alternative=alternative)
