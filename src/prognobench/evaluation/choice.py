"""Which run of a learning-rate grid stands for its candidate: the one that validated best."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

DONE = "done"
UNFINISHED = ("pending", "running")
IMPOSSIBLE = ("not_feasible", "not_applicable")

SAME = ["dataset", "endpoint", "backbone", "strategy", "regime", "split", "seed"]
"""What the runs of one grid have in common; their learning rates tell them apart."""


def choose_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep of each candidate, split and seed the run with the best validation score.

    Nothing of a test part is read: the choice is the same whatever its labels are. Equal scores
    give the smaller learning rate. A grid of which a run is still to be done gives that run, so
    that no choice is shown that may yet change; one without any finished run gives its first,
    with the number of those that failed. Failed ones beside finished ones are left out.

    Args:
        runs: One row a run, with at least ``state``, ``reason``, ``lr`` and
            ``validation_score`` (higher is better) besides :data:`SAME`.

    Returns:
        The kept rows, in the order and on the index of ``runs``, with the further column
        ``n_learning_rates``: how many were to choose from.
    """
    alike = runs.groupby(SAME, sort=False, dropna=False)["state"]
    counted = runs.assign(n_learning_rates=alike.transform("size"))
    alone = counted["n_learning_rates"] == 1
    chosen = [_choice(grid) for _, grid in counted[~alone].groupby(SAME, sort=False, dropna=False)]
    kept = counted.loc[[*counted.index[alone], *(place for place, _ in chosen)]].sort_index()
    kept["reason"] = kept["reason"].astype(object)
    for place, reason in chosen:
        kept.loc[place, "reason"] = reason
    return kept


def _choice(grid: pd.DataFrame) -> tuple[Hashable, Any]:
    """Return the index of the run that stands for a grid, and its reason."""
    waiting = grid[grid["state"].isin(UNFINISHED)]
    if len(waiting):
        return waiting.index[0], waiting["reason"].iloc[0]
    done = grid[grid["state"] == DONE]
    if done.empty:
        first = grid.iloc[0]
        return grid.index[0], f"all {len(grid)} learning rates failed, {first['reason']}"
    # A score that is no number says that nothing was validated: it cannot win.
    scores = done["validation_score"].astype(float).fillna(-np.inf)
    best = done[scores == scores.max()]
    return best["lr"].astype(float).idxmin(), best["reason"].iloc[0]


def chosen_rates(runs: pd.DataFrame) -> str | None:
    """Say which learning rates a candidate's runs were chosen from a grid, and how often.

    Args:
        runs: A candidate's finished runs, from :func:`choose_runs`.

    Returns:
        Such as ``learning rate chosen by validation: 0.0001 (2 runs), 0.001 (3 runs)``; None
        where there was nothing to choose.
    """
    counts = runs.loc[runs["n_learning_rates"] > 1, "lr"].value_counts().sort_index()
    if counts.empty:
        return None
    listed = ", ".join(
        f"{rate:g} ({count} run{'s' if count > 1 else ''})" for rate, count in counts.items()
    )
    return f"learning rate chosen by validation: {listed}"
