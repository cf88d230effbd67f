"""``ranks.csv``: candidates over all tasks of a benchmark, by regime."""

from __future__ import annotations

import string
from collections.abc import Sequence

import pandas as pd

from prognobench.evaluation.cells import SETTING, TASK
from prognobench.evaluation.choice import DONE
from prognobench.evaluation.controls import CONTROL
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.ranks import rank_candidates

RANK_COLUMNS = (
    *("regime", "shots", "level", "candidate", "mean_rank", "groups"),
    *("blocks", "p_value", "critical_difference", "note"),
)
"""The columns of ``ranks.csv``."""

MOST_NAMED = 6
"""Candidates that a note names; further ones are counted."""


def rank_table(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Rank the candidates over tasks, for each regime, number of shots and level.

    The leaderboard ranks a candidate with missing runs last, since it was tested on fewer
    patients than the others: where anybody has done all runs of a task, those who have not are
    taken to have no result there.

    Args:
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.

    Returns:
        Columns :data:`RANK_COLUMNS`, sorted by mean rank within a setting. Candidates that share
        a letter in ``groups`` cannot be told apart (a compact letter display of Nemenyi's test).
        ``note`` says who of those with a result is left out, and why no test could be made.
        Settings with results of a single task have no rows, nor do controls.
    """
    rows = []
    candidates = leaderboard[leaderboard["backbone"] != CONTROL]
    named = candidates.assign(candidate=candidates["backbone"] + " with " + candidates["strategy"])
    for key, cell in named.groupby(list(SETTING), dropna=False, sort=False):
        known = cell[cell["estimate"].notna()]
        done = known["state"] == DONE
        somebody = done.groupby([known[name] for name in TASK]).transform("any")
        values = known[done | ~somebody]
        if len(values[[*TASK]].drop_duplicates()) < 2:
            continue
        # Tasks of different kinds have different metrics; ranks are taken within a task.
        signs = [1.0 if METRICS[str(name)].higher_is_better else -1.0 for name in values["metric"]]
        found = rank_candidates(values.assign(estimate=values["estimate"] * signs))
        missing = sorted(set(known["candidate"]) - set(found.mean_ranks.index))
        note = "; ".join(filter(None, [found.note, _left_out(missing)]))
        for name, mean_rank in found.mean_ranks.items():
            letters = [
                letter(place) for place, group in enumerate(found.groups) if str(name) in group
            ]
            rows.append(
                {
                    **dict(zip(SETTING, key, strict=True)),
                    "candidate": name,
                    "mean_rank": mean_rank,
                    "groups": " ".join(letters),
                    "blocks": found.blocks,
                    "p_value": found.p_value,
                    "critical_difference": found.critical_difference,
                    "note": note,
                }
            )
    table = pd.DataFrame(rows, columns=list(RANK_COLUMNS))
    return table.astype({"shots": "Int64", "blocks": "Int64"})


def _left_out(names: Sequence[str]) -> str:
    """Say which candidates with a result are not ranked; nothing where there are none."""
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        "left out, because runs or values are missing that others have: "
        f"{', '.join(names[:MOST_NAMED])}{more}"
    )


def letter(place: int) -> str:
    """Return the letter of a group: a to z, then aa, bb and so on."""
    return string.ascii_lowercase[place % 26] * (1 + place // 26)
