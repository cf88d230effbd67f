"""The two result tables: ``results.csv``, one row a run and metric, and ``leaderboard.csv``."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError
from prognobench.evaluation.cells import cells_of, rows_of
from prognobench.evaluation.choice import DONE, UNFINISHED, choose_runs
from prognobench.evaluation.evaluated import evaluate
from prognobench.evaluation.finished import Measured, Runs, distinct
from prognobench.evaluation.kinds import kinds_of
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
from prognobench.evaluation.task import agree, outcomes_of

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
    done = chosen[chosen["state"] == DONE]
    read = Runs.of(predictions)
    read.read(done)
    measured: dict[str, Measured | str] = {}
    for run in done.to_dict("records"):
        try:
            measured[run["run"]] = read.finished(run).by(unit).measured
        except UnusablePredictionsError as error:
            measured[run["run"]] = str(error)
    table = results_table(chosen, measured)
    table = table.astype({name: chosen[name].dtype for name in _words(chosen)} | {"metric": "str"})
    for name in ("reason", "flag"):
        own = table[name].astype(object)
        table[name] = own.where(own.notna(), None)
    return table


def _words(runs: pd.DataFrame) -> list[str]:
    """Return the columns of results that are words of the runs."""
    names = RESULT_COLUMNS[: RESULT_COLUMNS.index("metric")]
    return [name for name in names if not pd.api.types.is_numeric_dtype(runs[name].dtype)]


def results_table(chosen: pd.DataFrame, measured: Mapping[str, Measured | str]) -> pd.DataFrame:
    """Return ``results.csv`` of runs that are measured, as :func:`run_metrics` does.

    Its words are categories: millions of rows hold few different ones.

    Args:
        chosen: Runs from :func:`~prognobench.evaluation.choice.choose_runs`.
        measured: By run that is done, its metrics; or why it has none.
    """
    chosen = chosen[~chosen["state"].isin(UNFINISHED)].reset_index(drop=True)
    kinds = kinds_of(chosen)
    tables = [
        _measured(chosen[kinds == kind], kind, measured)
        for kind in SHOWN
        if kind == "binary" or (kinds == kind).any()
    ]
    table = _together(tables) if len(tables) > 1 else tables[0]
    return table.reset_index(drop=True).astype({"shots": "Int64"})


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of tables in the order of their index."""
    words = [name for name, kind in tables[0].dtypes.items() if kind == "category"]
    plain = [own.astype(dict.fromkeys(words, object)) for own in tables]
    return pd.concat(plain).sort_index(kind="stable").astype(dict.fromkeys(words, "category"))


def _measured(
    chosen: pd.DataFrame, kind: Kind, measured: Mapping[str, Measured | str]
) -> pd.DataFrame:
    """Return the rows of runs of one kind of outcome, each on the index of its run."""
    names = list(metrics_of(kind))
    metrics, count = len(names), len(chosen)
    values = np.full((count, metrics), np.nan)
    sizes = np.full((count, 2), -1, dtype=np.int64)
    reasons: list[Sequence[str | None]] = []
    constant: list[Sequence[bool]] = []
    told = zip(chosen["run"], chosen["state"], chosen["reason"], strict=True)
    for place, (run, state, reason) in enumerate(told):
        own = measured.get(run, reason) if state == DONE else reason
        if isinstance(own, Measured):
            values[place], sizes[place] = own.value, own.size
            reasons.append(own.reasons)
            constant.append(own.constant)
        else:
            words = str(state).replace("_", " ")
            reasons.append([f"the run is {words}" if pd.isna(own) else str(own)] * metrics)
            constant.append([False] * metrics)
    # Folds are of few different sizes.
    different, size_of = np.unique(sizes, axis=0, return_inverse=True)
    levels = [[_chance(name, *size) for name in names] for size in different.tolist()]
    table: dict[str, Any] = {}
    for name in RESULT_COLUMNS[: RESULT_COLUMNS.index("metric")]:
        column = chosen[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            table[name] = column.repeat(metrics).array
        else:
            codes, known = pd.factorize(column)
            table[name] = pd.Categorical.from_codes(
                np.repeat(codes.astype(np.int32), metrics), pd.Index(known)
            )
    table["metric"] = pd.Categorical.from_codes(np.tile(np.arange(metrics), count), pd.Index(names))
    table["value"] = values.ravel()
    table["chance"] = (
        np.array(levels, dtype=np.float64).reshape(-1, metrics)[size_of.ravel()].ravel()
    )
    table["reason"] = _categories(*distinct(reasons), metrics)
    for place, name in enumerate(("n_test", "n_positive")):
        number = np.repeat(sizes[:, place], metrics)
        table[name] = pd.arrays.IntegerArray(number, number < 0)
    seen, which = distinct(constant)
    flags = [[CONSTANT_PREDICTION if one else None for one in own] for own in seen]
    table["flag"] = _categories(flags, which, metrics)
    return pd.DataFrame(table, index=np.repeat(chosen.index, metrics), copy=False)


def _categories(
    different: Sequence[Sequence[str | None]], which: Sequence[int], metrics: int
) -> pd.Categorical:
    """Return the lists of runs, a word a metric, one after the other; what is None is missing."""
    words = np.array(different, dtype=object).reshape(-1, metrics)
    codes, known = pd.factorize(words.ravel())
    of_list = codes.astype(np.int32).reshape(words.shape)
    return pd.Categorical.from_codes(of_list[which].ravel(), pd.Index(known))


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
    tested: Mapping[tuple[str, str], Collection[str]] | None = None,
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
        tested: The patients that are drawn from, by dataset and endpoint, where other runs of the
            task test more than these; None for those that these runs tested.

    Returns:
        Columns :func:`leaderboard_columns`, one row a dataset, endpoint, regime, number of
        shots or level, backbone and strategy, sorted by rank within each cell. ``best_group`` is
        true unless the interval of the paired difference to the best lies on its worse side.
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
    read = Runs.of(predictions)
    chosen = choose_runs(runs.reset_index(drop=True))
    if tested is None:
        tested = patients_tested(chosen, read)
    rows: list[dict[str, Any]] = []
    for cell in cells_of(chosen, tested, metric, replicates, confidence):
        candidates = map(cell.candidate, range(len(cell.members)))
        asked = ((own, read.only(own.runs["run"])) for own in candidates)
        found = [own.candidate for own in read.map(evaluate, asked)]
        rows += rows_of(cell, found, read)
    return leaderboard_of(rows, metric, kinds_of(runs))


def leaderboard_of(
    rows: Sequence[Mapping[str, Any]], metric: str, kinds: Collection[Kind]
) -> pd.DataFrame:
    """Return rows of cells as a table, in their order.

    Args:
        rows: From :func:`~prognobench.evaluation.cells.rows_of`.
        metric: The headline.
        kinds: The kinds of outcome of the benchmark.
    """
    columns = leaderboard_columns(metric, set(kinds))
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


def patients_tested(chosen: pd.DataFrame, read: Runs) -> dict[tuple[str, str], dict[str, float]]:
    """Return the patients that runs tested, with their outcomes, by dataset and endpoint.

    Args:
        chosen: Runs from :func:`~prognobench.evaluation.choice.choose_runs`.
        read: What reads them.

    Raises:
        UserError: When a patient has different targets in different runs.
    """
    done = chosen[chosen["state"] == DONE]
    read.read(done)
    tested: dict[tuple[str, str], dict[str, float]] = {}
    for dataset, endpoint in zip(chosen["dataset"], chosen["endpoint"], strict=True):
        tested.setdefault((str(dataset), str(endpoint)), {})
    for run in done.to_dict("records"):
        with contextlib.suppress(UnusablePredictionsError):
            task = str(run["dataset"]), str(run["endpoint"])
            found = outcomes_of(read.finished(run).by_patient.patients)
            agree(tested[task], found, *task)
    return tested


def in_order(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return a leaderboard's rows in their order: by cell, then by rank and by name."""
    order = ["dataset", "endpoint", "regime", "shots", "level", "rank", "backbone", "strategy"]
    return leaderboard.sort_values(order, na_position="last", ignore_index=True)


def _check_runs(runs: pd.DataFrame) -> None:
    """Raise a :class:`UserError` when the table of runs lacks a column or repeats a run."""
    missing = [name for name in RUN_COLUMNS if name not in runs.columns]
    if missing:
        raise UserError(f"the table of runs lacks the column {', '.join(missing)}")
    if runs["run"].duplicated().any():
        raise UserError("the table of runs names a run twice")
