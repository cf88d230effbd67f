"""The two result tables: ``results.csv``, one row a run and metric, and ``leaderboard.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from prognobench.errors import UserError
from prognobench.evaluation import bootstrap
from prognobench.evaluation.cells import DONE, Rule, Task, cell_rows
from prognobench.evaluation.choice import UNFINISHED, choose_runs
from prognobench.evaluation.metrics import HEADLINE, MAIN_METRICS, METRICS, get_headline
from prognobench.evaluation.operating_points import choose_thresholds
from prognobench.evaluation.patients import (
    PatientPredictions,
    Predictions,
    Unit,
    UnusablePredictionsError,
    patient_predictions,
)
from prognobench.evaluation.sample import Sample

RUN_COLUMNS = (
    "run",
    "state",
    "reason",
    "dataset",
    "endpoint",
    "backbone",
    "strategy",
    "regime",
    "shots",
    "level",
    "split",
    "fold",
    "episode",
    "seed",
    "lr",
    "validation_score",
    "prior_logit_shift",
    "trainable_parameters",
    "train_seconds",
    "threshold",
)
"""What the table of runs must hold; further columns are left alone."""

RESULT_COLUMNS = (
    "run",
    "dataset",
    "endpoint",
    "backbone",
    "strategy",
    "regime",
    "shots",
    "level",
    "split",
    "seed",
    "lr",
    "metric",
    "value",
    "reason",
    "n_test",
    "n_positive",
    "flag",
)
"""The columns of ``results.csv``."""

CONSTANT_PREDICTION = "constant_prediction"


def leaderboard_columns(metric: str = HEADLINE) -> list[str]:
    """Return the columns of ``leaderboard.csv`` when ``metric`` is the headline."""
    others = [name for name in MAIN_METRICS if name != metric]
    return [
        *("rank", "dataset", "endpoint", "regime", "shots", "level"),
        *("backbone", "strategy", "metric"),
        *("estimate", "ci_low", "ci_high", "fold_mean", "fold_sd", "best_group"),
        *("difference_to_best", "difference_low", "difference_high"),
        *("p_value", "p_holm", "p_corrected_t", "p_delong"),
        *("control", "control_difference", "control_low", "control_high", "beats_controls"),
        *(name + end for name in others for end in ("", "_ci_low", "_ci_high", "_chance")),
        *("chance", "prevalence", "n_patients", "n_positive", "n_runs", "n_failed"),
        *("n_replicates", "trainable_parameters", "train_seconds", "state", "reason"),
    ]


def run_metrics(
    runs: pd.DataFrame, predictions: Predictions, unit: Unit = "patient"
) -> pd.DataFrame:
    """Compute every metric of every run: ``results.csv``, at the patient level.

    Args:
        runs: One row a run, with at least :data:`RUN_COLUMNS`.
        predictions: Gives the stored image predictions of a run that is done.
        unit: What counts once: a ``patient`` (images averaged) or an ``image``, as many papers
            have it; ``n_test`` and ``n_positive`` count the same.

    Returns:
        Columns :data:`RESULT_COLUMNS`, one row a run and metric in the order of ``runs`` and
        :data:`~prognobench.evaluation.metrics.METRICS`. ``value`` is empty where the metric is
        undefined or the run is not done, and ``reason`` says why. ``flag`` is
        ``constant_prediction`` where what the metric reads is the same for every patient.
        Pending and running runs have no result yet and no row. Of runs that differ in their
        learning rate only, the one that validated best has rows, and nobody else's test part is
        read (:func:`~prognobench.evaluation.choice.choose_runs`).

    Raises:
        UserError: When ``runs`` lacks a column.
    """
    _check_runs(runs)
    chosen = choose_runs(runs)
    rows = [
        {name: run[name] for name in RESULT_COLUMNS[:11]} | result
        for run in chosen[~chosen["state"].isin(UNFINISHED)].to_dict("records")
        for result in _run_results(run, predictions, unit)
    ]
    table = pd.DataFrame(rows, columns=list(RESULT_COLUMNS))
    counts = dict.fromkeys(("shots", "n_test", "n_positive"), "Int64")
    return table.astype({"value": "float64", **counts})


def run_thresholds(
    run: Mapping[Any, Any], stored: pd.DataFrame, unit: Unit = "patient"
) -> dict[str, float | None]:
    """Return the thresholds of a run by operating point, chosen on its validation part.

    Args:
        run: The run's columns.
        stored: Its stored predictions.
        unit: What is called positive: a patient or an image.
    """
    validation = None
    if (stored["part"] == "val").any():
        validation = patient_predictions(stored, run["prior_logit_shift"], "val", unit)
    return choose_thresholds(float(run["threshold"]), validation)


def _run_results(
    run: dict[Any, Any], predictions: Predictions, unit: Unit
) -> Iterator[dict[str, Any]]:
    """Yield the columns from ``metric`` on for each metric of one run."""
    patients, trouble = None, run["reason"]
    thresholds: Mapping[str, float | None] = {}
    if run["state"] == DONE:
        try:
            stored = predictions(run["run"])
            patients = patient_predictions(stored, run["prior_logit_shift"], unit=unit)
            thresholds = run_thresholds(run, stored, unit)
        except UnusablePredictionsError as error:
            trouble = str(error)
    if patients is None:
        words = str(run["state"]).replace("_", " ")
        reason = f"the run is {words}" if pd.isna(trouble) else str(trouble)
        empty = dict.fromkeys(("n_test", "n_positive", "flag"))
        yield from ({"metric": n, "value": np.nan, "reason": reason, **empty} for n in METRICS)
        return
    sample = Sample.of(patients, thresholds)
    for name, metric in METRICS.items():
        yield {
            "metric": name,
            "value": float(metric(sample)[0]),
            "reason": metric.undefined_reason(sample),
            "n_test": len(patients.target),
            "n_positive": patients.positives,
            "flag": CONSTANT_PREDICTION if metric.constant_prediction(sample) else None,
        }


def leaderboard(
    runs: pd.DataFrame,
    predictions: Predictions,
    metric: str = HEADLINE,
    replicates: int = 1000,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Estimate, rank and compare all candidates: ``leaderboard.csv``.

    How runs become an estimate. Full data: the folds of one seed and repeat partition the
    patients. Metrics of the confusion matrix (and mean losses) are computed once from the
    counts summed over the folds, because averages of ratios over small folds are biased
    (Forman and Scholz 2010); AUROC and average precision are averaged over the folds, because
    scores of different models share no scale. Seeds and repeats are then averaged. Few-shot:
    each episode is valued on its own test fold, and episodes are averaged.

    How sure that is. Patients are resampled, stratified by outcome, with all their images, once
    a task, so that every candidate meets the same draws and differences are paired; in the
    few-shot regime episodes are resampled as well. Intervals are percentiles. Replicates
    without a value are left out, and ``n_replicates`` says how many were used. Trainings are
    not repeated, and the comparison with the best is not corrected for choosing the best among
    many: the intervals are, if anything, too narrow.

    Args:
        runs: One row a run, with at least :data:`RUN_COLUMNS`.
        predictions: Gives the stored image predictions of a run that is done.
        metric: Name of the metric to rank by.
        replicates: Number of bootstrap replicates, at least 1.
        confidence: Share of the replicates an interval holds, between 0 and 1.

    Returns:
        Columns :func:`leaderboard_columns`, one row a dataset, endpoint, regime, number of
        shots or level, backbone and strategy, sorted by rank within each cell. ``best_group`` is
        true where the interval of the paired difference to the best of the cell includes 0.
        Controls have no rank; ``control`` names the best of them, and the columns beside it hold
        the paired difference to it (:func:`~prognobench.evaluation.controls.against_controls`).
        Candidates with missing runs rank after the complete ones. ``train_seconds`` is the mean
        a run. Candidates without a finished run have empty numbers, their ``state`` and reason.

    Raises:
        UserError: When the metric is unknown, ``runs`` lacks a column, a patient has different
            targets in different runs, or ``replicates`` or ``confidence`` is out of range.
    """
    get_headline(metric)
    _check_runs(runs)
    if replicates < 1 or not 0.0 < confidence < 1.0:
        raise UserError(
            f"replicates must be at least 1 and confidence between 0 and 1, "
            f"not {replicates} and {confidence}"
        )
    others = tuple(name for name in MAIN_METRICS if name != metric)
    rule = Rule(metric, others, replicates, confidence)
    rows: list[dict[str, Any]] = []
    chosen = choose_runs(runs.reset_index(drop=True))
    for _, members in chosen.groupby(["dataset", "endpoint"], sort=True):
        plain = members.astype({"reason": object})  # a column of missing reasons has no words yet
        task, task_runs = _task(plain, predictions, replicates)
        for _, cell in task_runs.groupby(["regime", "shots", "level"], sort=True, dropna=False):
            rows.extend(cell_rows(task, cell, rule))
    columns = leaderboard_columns(metric)
    counts = ("n_patients", "n_positive", "n_runs", "n_failed", "n_replicates")
    integers = ("rank", "shots", *counts, "trainable_parameters")
    words = {"dataset", "endpoint", "regime", "backbone", "strategy", "metric", "control", "state"}
    words |= {"reason", "beats_controls"}
    numbers = [name for name in columns if name not in {*integers, *words, "best_group"}]
    table = pd.DataFrame(rows, columns=columns).astype(
        {
            **dict.fromkeys(integers, "Int64"),
            **dict.fromkeys(numbers, "float64"),
            "best_group": "bool",
            "beats_controls": "boolean",
        }
    )
    order = ["dataset", "endpoint", "regime", "shots", "level", "rank", "backbone", "strategy"]
    return table.sort_values(order, na_position="last", ignore_index=True)


def _task(
    runs: pd.DataFrame, predictions: Predictions, replicates: int
) -> tuple[Task, pd.DataFrame]:
    """Read the test patients of a task's runs, and draw the patients once for all of them.

    Runs whose stored predictions cannot be evaluated are returned as failed, with the reason.
    """
    dataset, endpoint = str(runs["dataset"].iloc[0]), str(runs["endpoint"].iloc[0])
    patients: dict[str, PatientPredictions] = {}
    thresholds: dict[str, Mapping[str, float | None]] = {}
    trained: dict[str, int] = {}
    outcome: dict[str, int] = {}
    for place, run in runs[runs["state"] == DONE].to_dict("index").items():
        try:
            stored = predictions(run["run"])
            read = patient_predictions(stored, run["prior_logit_shift"])
            thresholds[run["run"]] = run_thresholds(run, stored)
            outside = stored.loc[stored["part"] != "test", "patient_id"]
            trained[run["run"]] = max(outside.nunique(), 1)
        except UnusablePredictionsError as error:
            runs.loc[place, ["state", "reason"]] = ["failed", str(error)]
            continue
        for patient, target in zip(read.patient_id, read.target.tolist(), strict=True):
            if outcome.setdefault(patient, target) != target:
                raise UserError(
                    f"the runs of {dataset}, {endpoint} disagree on a patient's outcome: their "
                    "predictions come from different cohorts, and must not share an output folder"
                )
        patients[run["run"]] = read
    index = pd.Index(sorted(outcome), dtype=object)
    target = np.array([outcome[patient] for patient in index], dtype=np.int64)
    weights = bootstrap.patient_multiplicities(target, replicates, dataset, endpoint)
    return Task(dataset, endpoint, patients, thresholds, trained, index, weights), runs


def _check_runs(runs: pd.DataFrame) -> None:
    """Raise a :class:`UserError` when the table of runs lacks a column or repeats a run."""
    missing = [name for name in RUN_COLUMNS if name not in runs.columns]
    if missing:
        raise UserError(f"the table of runs lacks the column {', '.join(missing)}")
    if runs["run"].duplicated().any():
        raise UserError("the table of runs names a run twice")
