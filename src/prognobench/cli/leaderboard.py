"""The leaderboard on the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console

from prognobench.cli.tables import print_table

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
        drawn = "" if pd.isna(first["shots"]) else f", {first['shots']} patients a class"
        if not pd.isna(first["level"]):
            drawn = f", {100 * first['level']:g} %"
        title = f"{first['dataset']}, {first['endpoint']}, {first['regime']}{drawn}"
        rows = [
            {
                "": "=" if row["best_group"] else "",
                "backbone": row["backbone"],
                "strategy": row["strategy"],
                **{
                    metric: _with_interval(row, estimate, low, high)
                    for metric, estimate, low, high in (
                        (row["metric"], "estimate", "ci_low", "ci_high"),
                        ("auroc", "auroc", "auroc_ci_low", "auroc_ci_high"),
                    )
                },
                "note": row["reason"] if isinstance(row["reason"], str) else "",
            }
            for row in own.astype(object).to_dict("records")
        ]
        print_table(console, rows, title)
        console.print()
    console.print("= cannot be told apart from the best of its table")


def _with_interval(row: Mapping[Hashable, Any], estimate: str, low: str, high: str) -> str:
    if pd.isna(row[estimate]):
        return ""
    return f"{row[estimate]:.3f} ({row[low]:.3f} to {row[high]:.3f})"
