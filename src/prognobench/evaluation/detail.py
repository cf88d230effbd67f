"""A closer look at a few candidates of each task: curves over all thresholds, and subgroups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prognobench.evaluation.candidates import Key, run_groups
from prognobench.evaluation.cells import NAMES, SETTING, TASK, episodes_of
from prognobench.evaluation.choice import DONE, choose_runs
from prognobench.evaluation.controls import CONTROL
from prognobench.evaluation.evaluated import episode_draws
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.operating_curves import (
    Examined,
    calibration,
    decision,
    distribution,
    precision_recall,
    roc,
)
from prognobench.evaluation.patients import Array, PatientPredictions, Predictions
from prognobench.evaluation.scores import PatientScores, agreement
from prognobench.evaluation.subgroups import SUBGROUP_COLUMNS, patient_groups, subgroup_values
from prognobench.evaluation.task import Task, read_task
from prognobench.evaluation.time_curves import (
    ExaminedTimes,
    calibration_at,
    median_event,
    risk_groups,
)
from prognobench.evaluation.times import PatientTimes, event_risk

MOST_CANDIDATES = 3
"""Candidates of a task that are looked at, the best first; besides the best control."""

CELL = (*TASK, *SETTING)

CURVES = {
    "roc": roc,
    "precision_recall": precision_recall,
    "calibration": calibration,
    "decision": decision,
}
"""The curves by name."""


@dataclass(frozen=True)
class Details:
    """What a closer look shows.

    Attributes:
        curves: Columns of :data:`CELL` and :data:`NAMES`, ``curve`` (a key of :data:`CURVES`, or
            ``distribution``; of times ``risk_groups`` and ``calibration_at``, of scores
            ``agreement``), and the columns of that curve.
        subgroups: Columns of :data:`CELL` and :data:`NAMES`, and
            :data:`~prognobench.evaluation.subgroups.SUBGROUP_COLUMNS`; the best candidate's.
    """

    curves: pd.DataFrame
    subgroups: pd.DataFrame


def main_cells(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return of each task the rows of the setting that is looked at most closely.

    That is training on all data by cross-validation; without it another setting that varies
    neither shots nor level, else the one with the most shots or the highest level.

    Args:
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.
    """
    kept = []
    for _, own in leaderboard.groupby(["dataset", "endpoint"], sort=False):
        settings = own[list(SETTING)].drop_duplicates()
        varied = settings["shots"].notna() | settings["level"].notna()
        order = settings.assign(
            other=settings["regime"] != "full_data",
            varied=varied,
            shots_down=-settings["shots"].astype("Float64").fillna(0),
            level_down=-settings["level"].fillna(0),
        ).sort_values(["varied", "other", "shots_down", "level_down"], kind="stable")
        kept.append(own[_equal(own, order.iloc[0])])
    return pd.concat(kept) if kept else leaderboard.iloc[:0]


def details(
    runs: pd.DataFrame,
    predictions: Predictions | Runs,
    leaderboard: pd.DataFrame,
    images: Mapping[str, pd.DataFrame],
    *,
    tested: Mapping[tuple[str, str], Collection[str]],
    replicates: int,
    confidence: float,
) -> Details:
    """Look at the best candidates and the best control of each task's main setting.

    Args:
        runs: One row a run, as for the leaderboard.
        predictions: Gives the stored image predictions of a run that is done.
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.
        images: By dataset, one row an image with what is known of it
            (:func:`~prognobench.evaluation.subgroups.patient_groups`).
        tested: The patients that the leaderboard draws from, by dataset and endpoint, so that bands
            and intervals are of its draws.
        replicates: Number of bootstrap replicates.
        confidence: Share of the replicates a band or interval holds.
    """
    read = Runs.of(predictions)
    curves: list[pd.DataFrame] = []
    subgroups: list[pd.DataFrame] = []
    for _, cell in main_cells(leaderboard).groupby(["dataset", "endpoint"], sort=False):
        wanted = _looked_at(cell)
        if wanted.empty:
            continue
        first = wanted.iloc[0]
        here = (runs["dataset"] == first["dataset"]) & (runs["endpoint"] == first["endpoint"])
        own = runs[here]
        own = choose_runs(own[_equal(own, first)].reset_index(drop=True))
        own = own.join(run_groups(own))
        drawn = episode_draws(own, episodes_of(own), replicates) or {}
        named = pd.MultiIndex.from_frame(own[list(NAMES)])
        own = own[named.isin(pd.MultiIndex.from_frame(wanted[list(NAMES)]))]
        task, own = read_task(
            own, read, replicates, tested[str(first["dataset"]), str(first["endpoint"])]
        )
        made = _task_details(task, own, read, wanted, images, drawn=drawn, confidence=confidence)
        curves += made[0]
        subgroups += made[1]
    columns = [*CELL, *NAMES]
    return Details(
        pd.concat(curves, ignore_index=True)
        if curves
        else pd.DataFrame(columns=[*columns, "curve", "x", "value", "ci_low", "ci_high"]),
        pd.concat(subgroups, ignore_index=True)
        if subgroups
        else pd.DataFrame(columns=[*columns, *SUBGROUP_COLUMNS]),
    )


def _looked_at(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a cell's best candidates, and of the best control."""
    best = cell[cell["rank"].notna()].sort_values("rank", kind="stable").head(MOST_CANDIDATES)
    names = best["control"].dropna().unique()
    control = cell[(cell["backbone"] == CONTROL) & cell["strategy"].isin(names[:1])]
    return pd.concat([best, control])


def _task_details(
    task: Task,
    runs: pd.DataFrame,
    read: Runs,
    wanted: pd.DataFrame,
    images: Mapping[str, pd.DataFrame],
    *,
    drawn: Mapping[Key, Array],
    confidence: float,
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    done = runs[runs["state"] == DONE]
    curves, subgroups = [], []
    for place, (_, row) in enumerate(wanted.iterrows()):
        own = done[(done["backbone"] == row["backbone"]) & (done["strategy"] == row["strategy"])]
        if own.empty:
            continue
        about = {name: row[name] for name in (*CELL, *NAMES)}
        made, tested = _curves(task, own, read, drawn, confidence)
        curves += [
            table.assign(**about, curve=name)[[*about, "curve", *table]]
            for name, table in made.items()
            if len(table)
        ]
        known = images.get(str(row["dataset"]))
        if place == 0 and known is not None and tested:
            shown = [read.predictions(run) for run in own["run"]]
            ids = pd.concat([one.loc[one["part"] == "test", "image_id"] for one in shown])
            table = subgroup_values(
                tested,
                [task.thresholds[run] for run in own["run"]],
                patient_groups(known, ids.astype(str).unique().tolist()),
                confidence,
            )
            subgroups.append(table.assign(**about)[[*about, *table]])
    return curves, subgroups


def _curves(
    task: Task,
    runs: pd.DataFrame,
    read: Runs,
    drawn: Mapping[Any, Any],
    confidence: float,
) -> tuple[dict[str, pd.DataFrame], list[Examined]]:
    """Return a candidate's curves by name, and its test patients where their outcome is binary."""
    patients = [task.patients[run] for run in runs["run"]]
    scores = [own for own in patients if isinstance(own, PatientScores)]
    if scores:
        return {"agreement": agreement(scores)}, []
    times = [
        (run, shift, own)
        for run, shift, own in zip(runs["run"], runs["prior_logit_shift"], patients, strict=True)
        if isinstance(own, PatientTimes)
    ]
    if times:
        every = [own.target for own in task.patients.values()]
        horizon = median_event(np.concatenate(every))
        at = float("inf") if horizon is None else horizon
        tested = [
            ExaminedTimes(own, event_risk(read.predictions(run), at, float(shift)))
            for run, shift, own in times
        ]
        found = {"risk_groups": risk_groups(tested, confidence)}
        if horizon is not None:
            found["calibration_at"] = calibration_at(tested, horizon, confidence)
        return found, []
    examined = [
        Examined(group, own, task.weights_of(run), drawn.get(group))
        for run, group, own in zip(runs["run"], runs["group"], patients, strict=True)
        if isinstance(own, PatientPredictions)
    ]
    made = {name: curve(examined, confidence) for name, curve in CURVES.items()}
    return {**made, "distribution": distribution(examined)}, examined


def _equal(table: pd.DataFrame, row: pd.Series) -> pd.Series:
    """Say of each row of a table whether its setting is that of ``row``."""
    same = pd.Series(True, table.index)
    for name in SETTING:
        wanted = row[name]
        same &= table[name].isna() if pd.isna(wanted) else (table[name] == wanted).fillna(False)
    return same
