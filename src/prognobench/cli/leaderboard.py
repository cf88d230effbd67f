"""The leaderboard on the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console

from prognobench.cli.tables import print_table
from prognobench.evaluation.evaluated import is_incomplete
from prognobench.evaluation.metrics import METRICS
from prognobench.report.words import CLASSES, listing

SECOND = {"binary": "auroc", "ordinal": "mae", "time_to_event": "integrated_brier"}
"""The metric beside the headline, by the kind of outcome."""

_BLOCK = ["dataset", "endpoint", "regime", "shots", "level"]


def print_leaderboard(leaderboard: pd.DataFrame, console: Console) -> None:
    """Print a leaderboard, one table a task and regime, each number with its interval.

    Args:
        leaderboard: The table of ``leaderboard.csv``.
        console: Where to print.
    """
    if leaderboard.empty:
        console.print("no run is done yet")
        return
    for _, own in leaderboard.groupby(_BLOCK, dropna=False, sort=False):
        first = own.iloc[0]
        headline = str(first["metric"])
        shown = {headline: "estimate"}
        second = SECOND[METRICS[headline].kind]
        if second != headline:
            shown[second] = second
        classes = CLASSES[METRICS[headline].kind]
        drawn = "" if pd.isna(first["shots"]) else f", {first['shots']} patients {classes}"
        if not pd.isna(first["level"]):
            drawn = f", {100 * first['level']:g} %"
        title = f"{first['dataset']}, {first['endpoint']}, {first['regime']}{drawn}"
        records = own.astype(object).to_dict("records")
        rows = [
            {
                "": "=" if row["best_group"] and not is_incomplete(row, records[0]) else "",
                "backbone": row["backbone"],
                "strategy": row["strategy"],
                **{metric: _with_interval(row, column) for metric, column in shown.items()},
                "note": row["reason"] if isinstance(row["reason"], str) else "",
            }
            for row in records
        ]
        print_table(console, rows, title, whole=tuple(shown))
        if told := _unbeaten(own):
            console.print(told, highlight=False, markup=False, soft_wrap=True)
        console.print()
    console.print("= cannot be told apart from the best of its table")


def _unbeaten(own: pd.DataFrame) -> str:
    """Name the candidates of a table that are not shown to beat its best control."""
    compared = own[own["beats_controls"].notna()]
    unbeaten = compared[~compared["beats_controls"].astype(bool)]
    if unbeaten.empty:
        return ""
    control = f"the best control ({unbeaten['control'].iloc[0]})"
    if len(unbeaten) == len(compared):
        return f"no candidate is shown to beat {control}"
    names = listing(unbeaten["backbone"] + " " + unbeaten["strategy"])
    return f"not shown to beat {control}: {names}"


def _with_interval(row: Mapping[Hashable, Any], column: str) -> str:
    if pd.isna(row[column]):
        return ""
    own = "" if column == "estimate" else f"{column}_"
    low, high = row[f"{own}ci_low"], row[f"{own}ci_high"]
    ends = "no interval" if pd.isna(low) else f"{low:.3f}, {high:.3f}"
    return f"{row[column]:.3f} ({ends})"
