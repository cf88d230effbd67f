"""The two result tables: ``results.csv``, one row a run and metric, and ``leaderboard.csv``."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError
from prognobench.evaluation import bootstrap
from prognobench.evaluation.cells import DONE, Rule, Task, cell_rows
from prognobench.evaluation.choice import UNFINISHED, choose_runs
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.kinds import Patients, kind_of
from prognobench.evaluation.metrics import (
    HEADLINE,
    METRICS,
    SHOWN,
    SPREAD,
    get_headline,
    headline_of,
    metrics_of,
)
from prognobench.evaluation.patients import (
    Predictions,
    Unit,
    UnusablePredictionsError,
)

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
    "chance",
    "reason",
    "n_test",
    "n_positive",
    "flag",
)
"""The columns of ``results.csv``."""

CONSTANT_PREDICTION = "constant_prediction"


def leaderboard_columns(metric: str = HEADLINE, kinds: Collection[Kind] = ()) -> list[str]:
    """Return the columns of ``leaderboard.csv``.

    Args:
        metric: The headline.
        kinds: The kinds of outcome that there are besides the binary one, whose metrics come last.
    """
    others = [
        name
        for kind, shown in SHOWN.items()
        if kind == "binary" or kind in kinds
        for name in shown
        if name != headline_of(kind, metric)
    ]
    return [
        *("rank", "dataset", "endpoint", "regime", "shots", "level"),
        *("backbone", "strategy", "metric"),
        *("estimate", "ci_low", "ci_high", "fold_mean", "fold_sd", "best_group"),
        *("difference_to_best", "difference_low", "difference_high"),
        *("p_value", "p_holm", "p_corrected_t", "p_delong"),
        *("control", "control_difference", "control_low", "control_high", "beats_controls"),
        *(name + end for name in others for end in _ends(name)),
        *("chance", "prevalence", "n_patients", "n_positive", "n_runs", "n_failed"),
        *("n_replicates", "trainable_parameters", "train_seconds", "state", "reason"),
    ]


def _ends(name: str) -> tuple[str, ...]:
    """Return the ends of the columns of a metric that is shown besides the headline."""
    ends = ("", "_ci_low", "_ci_high", "_chance")
    return (*ends, "_fold_mean", "_fold_sd") if name in SPREAD else ends


def run_metrics(
    runs: pd.DataFrame, predictions: Predictions | Runs, unit: Unit = "patient"
) -> pd.DataFrame:
    """Compute every metric of every run: ``results.csv``, at the patient level.

    Args:
        runs: One row a run, with at least :data:`RUN_COLUMNS`.
        predictions: Gives the stored image predictions of a run that is done.
        unit: What counts once: a ``patient`` (images averaged) or an ``image``, as many papers
            have it; ``n_test`` and ``n_positive`` count the same.

    Returns:
        Columns :data:`RESULT_COLUMNS`, one row a run and metric of its kind of outcome, in the
        order of ``runs`` and :data:`~prognobench.evaluation.metrics.METRICS`. ``value`` is empty
        where the metric is undefined or the run is not done, and ``reason`` says why. ``chance`` is
        what scores without any information are expected to reach among so many patients and
        events, empty where the metric has no such level. ``flag`` is ``constant_prediction``
        where what the metric reads is the same for every patient.
        Pending and running runs have no result yet and no row. Of runs that differ in their
        learning rate only, the one that validated best has rows, and nobody else's test part is
        read (:func:`~prognobench.evaluation.choice.choose_runs`).

    Raises:
        UserError: When ``runs`` lacks a column.
    """
    _check_runs(runs)
    chosen = choose_runs(runs)
    chosen = chosen[~chosen["state"].isin(UNFINISHED)].reset_index(drop=True)
    read = Runs.of(predictions)
    read.read(chosen[chosen["state"] == DONE])
    kinds = [kind_of(run) for run in chosen.to_dict("records")]
    tables = [
        _measured(chosen[np.array([own == kind for own in kinds], dtype=bool)], kind, read, unit)
        for kind in SHOWN
        if kind in kinds or kind == "binary"
    ]
    table = pd.concat(tables) if len(tables) > 1 else tables[0]
    table = table.sort_index(kind="stable").reset_index(drop=True)
    return table.astype({"shots": "Int64"})


def _measured(chosen: pd.DataFrame, kind: Kind, read: Runs, unit: Unit) -> pd.DataFrame:
    """Return the rows of runs of one kind of outcome, each on the index of its run."""
    names = list(metrics_of(kind))
    metrics, count = len(names), len(chosen)
    values = np.full((count, metrics), np.nan)
    reasons = np.full((count, metrics), None, dtype=object)
    flags = np.full((count, metrics), None, dtype=object)
    sizes = np.full((count, 2), -1, dtype=np.int64)
    for place, run in enumerate(chosen.to_dict("records")):
        trouble = run["reason"]
        if run["state"] == DONE:
            try:
                tested = read.finished(run).by(unit)
                values[place], reasons[place], constant = tested.measured
                flags[place, constant] = CONSTANT_PREDICTION
                events = tested.patients.positives
                sizes[place] = len(tested.patients.target), -1 if events is None else events
                continue
            except UnusablePredictionsError as error:
                trouble = str(error)
        words = str(run["state"]).replace("_", " ")
        reasons[place] = f"the run is {words}" if pd.isna(trouble) else str(trouble)
    levels = [[_chance(name, *own) for name in names] for own in sizes.tolist()]
    known = np.repeat(np.arange(count), metrics)
    table = chosen[list(RESULT_COLUMNS[:11])].take(known)
    table["metric"] = np.tile(np.array(names, dtype=object), count)
    table["value"] = values.ravel()
    table["chance"] = np.array(levels, dtype=np.float64).ravel()
    table["reason"] = reasons.ravel()
    for column, name in enumerate(("n_test", "n_positive")):
        number = np.repeat(sizes[:, column], metrics)
        table[name] = pd.array(number, dtype="Int64")
        table[name] = table[name].mask(number < 0)
    table["flag"] = flags.ravel()
    return table


@functools.lru_cache(maxsize=65536)
def _chance(name: str, patients: int, events: int) -> float:
    """Return the chance level of a metric at the size of a fold; NaN where there is none."""
    metric = METRICS[name]
    compared = metric.kind != "binary" or 0 < events < patients
    if metric.chance is None or patients < 1 or not compared:
        return float("nan")
    return metric.chance(patients, events)


def leaderboard(
    runs: pd.DataFrame,
    predictions: Predictions | Runs,
    metric: str = HEADLINE,
    replicates: int = 1000,
    confidence: float = 0.95,
    *,
    further: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Estimate, rank and compare all candidates: ``leaderboard.csv``.

    How runs become an estimate. Full data: the folds of one seed and repeat partition the
    patients. Metrics of the confusion matrix (and mean losses) are computed once from the
    counts summed over the folds, because averages of ratios over small folds are biased
    (Forman and Scholz 2010); AUROC and average precision are averaged over the folds, because
    scores of different models share no scale. Seeds and repeats are then averaged. Few-shot:
    each episode is valued on its own test fold, and episodes are averaged.

    How sure that is. Patients are resampled with all their images, once a task, so that every
    candidate meets the same draws and differences are paired; in the few-shot regime episodes are
    resampled as well. Intervals are percentiles, expanded as Student's distribution is where
    patients are few. Replicates without a value are left out, and ``n_replicates`` says how many
    were used. Trainings are not repeated, and the comparison with the best is not corrected for
    choosing the best among many: the intervals are, if anything, too narrow.

    Args:
        runs: One row a run, with at least :data:`RUN_COLUMNS`.
        predictions: Gives the stored image predictions of a run that is done.
        metric: Name of the metric to rank by; tasks of another kind of outcome are ranked by the
            headline of their kind.
        replicates: Number of bootstrap replicates, at least 1.
        confidence: Share of the replicates an interval holds, between 0 and 1.
        further: By dataset and endpoint, patients with their outcomes that runs tested which
            are not given: draws are of all patients of a task.

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
    rows: list[dict[str, Any]] = []
    read = Runs.of(predictions)
    chosen = choose_runs(runs.reset_index(drop=True))
    for (dataset, endpoint), members in chosen.groupby(["dataset", "endpoint"], sort=True):
        plain = members.astype({"reason": object})  # a column of missing reasons has no words yet
        task, task_runs = read_task(
            plain, read, replicates, (further or {}).get((str(dataset), str(endpoint)))
        )
        headline = headline_of(task.kind, metric)
        others = tuple(name for name in SHOWN[task.kind] if name != headline)
        rule = Rule(headline, others, replicates, confidence)
        for _, cell in task_runs.groupby(["regime", "shots", "level"], sort=True, dropna=False):
            rows.extend(cell_rows(task, cell, rule, read.map))
    columns = leaderboard_columns(metric, set(runs["kind"]) if "kind" in runs else ())
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
    return in_order(table)


def in_order(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return a leaderboard's rows in their order: by cell, then by rank and by name."""
    order = ["dataset", "endpoint", "regime", "shots", "level", "rank", "backbone", "strategy"]
    return leaderboard.sort_values(order, na_position="last", ignore_index=True)


def read_task(
    runs: pd.DataFrame,
    predictions: Predictions | Runs,
    replicates: int,
    further: Mapping[str, float] | None = None,
) -> tuple[Task, pd.DataFrame]:
    """Read the test patients of a task's runs, and draw the patients once for all of them.

    Args:
        runs: Runs of one dataset and endpoint, from
            :func:`~prognobench.evaluation.choice.choose_runs`.
        predictions: Gives the stored image predictions of a run that is done.
        replicates: Number of bootstrap replicates.
        further: Patients with their outcomes, besides those of these runs.

    Returns:
        The task, and the runs; those whose stored predictions cannot be evaluated are failed in
        it, with the reason.

    Raises:
        UserError: When a patient has different targets in different runs.
    """
    dataset, endpoint = str(runs["dataset"].iloc[0]), str(runs["endpoint"].iloc[0])
    kind = kind_of(runs.iloc[0])
    patients: dict[str, Patients] = {}
    thresholds: dict[str, Mapping[str, float | None]] = {}
    trained: dict[str, int] = {}
    outcome: dict[str, float] = dict(further or {})
    read = Runs.of(predictions)
    done = runs[runs["state"] == DONE]
    read.read(done)
    for place, run in done.to_dict("index").items():
        try:
            own = read.finished(run)
        except UnusablePredictionsError as error:
            runs.loc[place, ["state", "reason"]] = ["failed", str(error)]
            continue
        tested = own.by_patient.patients
        patients[run["run"]] = tested
        thresholds[run["run"]] = own.by_patient.thresholds
        trained[run["run"]] = own.trained
        for patient, target in zip(tested.patient_id, tested.target.tolist(), strict=True):
            if outcome.setdefault(patient, target) != target:
                raise UserError(
                    f"the runs of {dataset}, {endpoint} disagree on a patient's outcome: their "
                    "predictions come from different cohorts, and must not share an output folder"
                )
    index = pd.Index(sorted(outcome), dtype=object)
    weights = bootstrap.patient_multiplicities(len(index), replicates, dataset, endpoint)
    return Task(dataset, endpoint, patients, thresholds, trained, index, weights, kind), runs


def tested_patients(runs: pd.DataFrame, predictions: Predictions | Runs) -> dict[str, float]:
    """Return the patients that runs of one dataset and endpoint tested, with their outcomes.

    Args:
        runs: The runs.
        predictions: Gives the stored image predictions of a run that is done.

    Raises:
        UserError: When they disagree on an outcome.
    """
    chosen = choose_runs(runs.reset_index(drop=True)).astype({"reason": object})
    task, _ = read_task(chosen, predictions, 1)
    return {
        patient: target
        for own in task.patients.values()
        for patient, target in zip(own.patient_id, own.target.tolist(), strict=True)
    }


def _check_runs(runs: pd.DataFrame) -> None:
    """Raise a :class:`UserError` when the table of runs lacks a column or repeats a run."""
    missing = [name for name in RUN_COLUMNS if name not in runs.columns]
    if missing:
        raise UserError(f"the table of runs lacks the column {', '.join(missing)}")
    if runs["run"].duplicated().any():
        raise UserError("the table of runs names a run twice")
