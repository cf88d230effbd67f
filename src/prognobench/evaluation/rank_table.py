"""``ranks.csv``: candidates over all tasks of a benchmark, by regime."""

from __future__ import annotations

import string

import pandas as pd

from prognobench.evaluation.controls import CONTROL
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.ranks import rank_candidates

RANK_COLUMNS = (
    *("regime", "shots", "level", "candidate", "mean_rank", "groups"),
    *("blocks", "p_value", "critical_difference", "note"),
)
"""The columns of ``ranks.csv``."""


def rank_table(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Rank the candidates over tasks, for each regime, number of shots and level.

    Args:
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.

    Returns:
        Columns :data:`RANK_COLUMNS`, sorted by mean rank within a setting. Candidates that share
        a letter in ``groups`` cannot be told apart (a compact letter display of Nemenyi's test).
        ``note`` says why no test could be made. Settings of a single task have no rows, nor do
        controls.
    """
    rows = []
    candidates = leaderboard[leaderboard["backbone"] != CONTROL]
    keys = ["regime", "shots", "level"]
    for key, cell in candidates.groupby(keys, dropna=False, sort=False):
        if len(cell[["dataset", "endpoint"]].drop_duplicates()) < 2:
            continue
        values = cell.assign(candidate=cell["backbone"] + " with " + cell["strategy"])
        # Tasks of different kinds have different metrics; ranks are taken within a task.
        signs = [1.0 if METRICS[str(name)].higher_is_better else -1.0 for name in cell["metric"]]
        found = rank_candidates(values.assign(estimate=values["estimate"] * signs))
        for name, mean_rank in found.mean_ranks.items():
            letters = [
                letter(place) for place, group in enumerate(found.groups) if str(name) in group
            ]
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "candidate": name,
                    "mean_rank": mean_rank,
                    "groups": " ".join(letters),
                    "blocks": found.blocks,
                    "p_value": found.p_value,
                    "critical_difference": found.critical_difference,
                    "note": found.note,
                }
            )
    table = pd.DataFrame(rows, columns=list(RANK_COLUMNS))
    return table.astype({"shots": "Int64", "blocks": "Int64"})


def letter(place: int) -> str:
    """Return the letter of a group: a to z, then aa, bb and so on."""
    return string.ascii_lowercase[place % 26] * (1 + place // 26)
