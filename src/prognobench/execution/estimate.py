"""What a plan holds, what of it is done, and what the rest will cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.evaluation.choice import IMPOSSIBLE
from prognobench.execution.groups import is_trained
from prognobench.execution.operations import operations
from prognobench.execution.prepare import Prepared
from prognobench.plan import search_note
from prognobench.results.records import RunState
from prognobench.results.store import ResultsStore

CELL = ["dataset", "endpoint", "backbone", "strategy", "regime", "shots", "level"]
_KIND = ["backbone", "strategy", "regime", "shots", "level"]


def summarise_plan(prepared: Prepared, output: Path) -> dict[str, Any]:
    """Return the plan's cells and counts, as plain data; the output folder is only read.

    Args:
        prepared: The benchmark.
        output: Its output folder, which need not exist.

    Returns:
        ``runs`` (all), ``done``, ``pending``, ``not_possible`` (not applicable or not feasible),
        ``estimated_seconds`` for the pending ones on this machine (None while some kind of run has
        never been done), ``operations`` (floating-point operations of the pending ones, at most:
        :func:`~prognobench.execution.operations.operations`), ``search_note`` (a sentence where
        the strategies have different search budgets, else None), and ``cells``: one mapping a
        cell with its number of runs, those done, its state and its reason.
    """
    table = pd.DataFrame([run.record() for run in prepared.runs])
    table["state"] = table["state"].astype(str)
    table["train_seconds"] = float("nan")
    if (output / "results.db").is_file():
        store = ResultsStore(output)
        finished = store.finished()
        store.close()
        kept = finished.index[finished["whole"]]
        table.loc[table["run"].isin(kept), "state"] = str(RunState.DONE)
        table["train_seconds"] = table["run"].map(finished["train_seconds"])
    pending = table[table["state"] == RunState.PENDING]
    means = table.groupby(_KIND, dropna=False)["train_seconds"].transform("mean")
    expected = means[pending.index]
    drawn = {run.split.name: run.split for run in prepared.runs}
    cells = []
    for key, own in table.groupby(CELL, dropna=False, sort=False):
        state = own["state"].iloc[0]
        possible = not own["state"].isin(IMPOSSIBLE).all()
        cells.append(
            {
                **dict(zip(CELL, key, strict=True)),
                # As they were planned: a column of a table turns missing integers to floats.
                "shots": drawn[own["split"].iloc[0]].shots,
                "level": drawn[own["split"].iloc[0]].level,
                "runs": len(own),
                "done": int((own["state"] == RunState.DONE).sum()),
                "state": "possible" if possible else state,
                "reason": None if possible else own["reason"].iloc[0],
            }
        )
    return {
        "runs": len(table),
        "done": int((table["state"] == RunState.DONE).sum()),
        "pending": len(pending),
        "not_possible": int(table["state"].isin(IMPOSSIBLE).sum()),
        "estimated_seconds": _wall_seconds(prepared, pending["run"], expected),
        "operations": operations(prepared, set(pending["run"])).total,
        "search_note": search_note(prepared.spec),
        "cells": cells,
    }


def _wall_seconds(prepared: Prepared, pending: pd.Series, expected: pd.Series) -> float | None:
    """Return how long runs will take: what is solved in turn, what is trained side by side."""
    if expected.isna().any():
        return None
    seconds: dict[str, float] = dict(zip(pending, expected.astype(float), strict=True))
    trained = tuple(run for run in prepared.runs if run.id in seconds and is_trained(run))
    alone = float(expected.sum())
    if not trained:
        return alone
    # They load torch, which a plan without anything done does not need.
    from prognobench.execution.environment import choose_device
    from prognobench.execution.processes import processes_for

    together = sum(seconds[run.id] for run in trained)
    return alone - together + together / processes_for(choose_device("auto"), [trained])
