"""Do the intervals hold the truth as often as they say, and do the tests keep their level?

Cohorts are drawn from a model whose truth is known: patients with or without the event, images
whose logits lie around their patient's, and two candidates that see the same patients. Each cohort
goes through the leaderboard's own code (patient means, patient bootstrap, folds put together,
paired difference, p-values). Counted is how often an interval holds the truth, and how often a test
rejects that two candidates are alike that are. Comparisons are also counted in eight times as many
cohorts, and held against the bands there: of 500, a share of 5 % is only known to within 2 %.

What is true. MCC, AUROC and Brier score: their values in a very large sample. The average precision
of small folds is by its nature higher than that of a large sample, and chance is given at the size
of the folds too; its truth is the mean over many cohorts of the same size and folds, and how often
the interval holds the value of a large sample is given beside it.

The corrected resampled t-test is about training again on other patients. It is tried on two
candidates that are trained in each fold, each on features of its own, equally good.

    python benchmarks/coverage.py --output benchmarks/results/coverage.json
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit
from sklearn import metrics as sk

from prognobench.evaluation import bootstrap
from prognobench.evaluation.candidates import Unit, estimate, make_unit
from prognobench.evaluation.cells import cell_rows
from prognobench.evaluation.comparison import (
    Comparison,
    bootstrap_t,
    corrected_resampled_t,
    delong_over_folds,
)
from prognobench.evaluation.evaluated import Rule
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.patients import Array, PatientPredictions, patient_predictions
from prognobench.evaluation.task import Task
from prognobench.execution.environment import choose_device, describe_environment

FOLDS = 5
BAND = (0.92, 0.98)
LEVEL_BAND = (0.03, 0.07)
SHARED = 0.7
"""Correlation of the two candidates' logits within an outcome."""
IMAGE_NOISE = 0.7
METRIC_NAMES = ("mcc", "pr_auc", "auroc", "brier")
THRESHOLDS = {"fixed": 0.5, "validated": None, "sensitive": None}
LARGE = 300_000
JUDGED = {"null_difference": BAND, "difference": BAND, "leaderboard": LEVEL_BAND}
"""The bands of what is counted of comparisons."""
CHUNK = 250
"""Cohorts that a process takes at once."""


@dataclass(frozen=True)
class Setting:
    """A kind of cohort.

    Attributes:
        patients: Number of patients.
        prevalence: Probability of the event.
        images: Images a patient.
        effect: Distance between the mean logits of both outcomes, of the better candidate.
        worse: The same of the worse one.
    """

    patients: int
    prevalence: float
    images: int
    effect: float = 1.3
    worse: float = 0.8


SETTINGS = (
    Setting(100, 0.1, 1),
    Setting(100, 0.3, 3),
    Setting(200, 0.1, 3),
    Setting(200, 0.3, 1),
    Setting(400, 0.1, 1),
    Setting(400, 0.3, 3),
)


@dataclass(frozen=True)
class SimulatedCohort:
    """A cohort with the predictions of candidates.

    Attributes:
        predictions: By candidate, its predictions, patients in the same order.
        fold: Test fold of each patient.
    """

    predictions: Mapping[str, PatientPredictions]
    fold: NDArray[np.int64]


def draw_cohort(
    random: np.random.Generator, setting: Setting, effects: Mapping[str, float]
) -> SimulatedCohort:
    """Draw a cohort: outcomes by chance, folds stratified by them."""
    while True:
        target = (random.random(setting.patients) < setting.prevalence).astype(np.int64)
        if FOLDS <= target.sum() <= len(target) - FOLDS:  # else no folds could be made
            break
    shared = random.normal(size=len(target))
    fold = np.zeros(len(target), dtype=np.int64)
    for outcome in (0, 1):
        members = random.permutation(np.flatnonzero(target == outcome))
        fold[members] = np.arange(len(members)) % FOLDS
    predictions = {}
    for name, effect in effects.items():
        predictions[name] = _predicted(random, setting, target, shared, effect)
    return SimulatedCohort(predictions, fold)


def _predicted(
    random: np.random.Generator,
    setting: Setting,
    target: NDArray[np.int64],
    shared: Array,
    effect: float,
) -> PatientPredictions:
    own = random.normal(size=len(target))
    mean = effect * (target - 0.5) + np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own
    images = setting.images
    noise = IMAGE_NOISE if images > 1 else 0.0
    logit = np.repeat(mean, images) + noise * random.normal(size=len(target) * images)
    rows = {
        "patient_id": np.repeat([f"p{number:07d}" for number in range(len(target))], images),
        "image_id": [f"i{number}" for number in range(len(logit))],
        "part": "test",
        "target": np.repeat(target, images),
        "logit": logit,
        "probability": expit(logit),
    }
    return patient_predictions(pd.DataFrame(rows))


def rows_of(
    cohort: SimulatedCohort, names: str, weights: Array, metric: str
) -> list[dict[str, Any]]:
    """Evaluate some candidates of a cohort as the leaderboard does; return its rows."""
    first = cohort.predictions[names[0]]
    runs, patients = [], {}
    for name in names:
        predictions = cohort.predictions[name]
        for number in range(FOLDS):
            run = f"{name}-{number}"
            patients[run] = _members(predictions, cohort.fold == number)
            runs.append({**RUN, "run": run, "strategy": name, "fold": number, "split": f"{number}"})
    task = Task(
        dataset="simulated",
        endpoint="event",
        patients=patients,
        thresholds=dict.fromkeys(patients, THRESHOLDS),
        trained=dict.fromkeys(patients, round(len(first.target) * (FOLDS - 1) / FOLDS)),
        index=pd.Index(first.patient_id),
        weights=weights,
    )
    return cell_rows(task, pd.DataFrame(runs), Rule(metric, (), len(weights) - 1, 0.95))


RUN = {
    "state": "done",
    "reason": None,
    "dataset": "simulated",
    "endpoint": "event",
    "backbone": "simulated",
    "regime": "full_data",
    "shots": None,
    "level": None,
    "episode": None,
    "seed": 0,
    "lr": None,
    "n_learning_rates": 1,
    "trainable_parameters": 1,
    "train_seconds": 0.0,
}


def _members(predictions: PatientPredictions, chosen: NDArray[np.bool_]) -> PatientPredictions:
    return PatientPredictions(
        **{name: getattr(predictions, name)[chosen] for name in predictions.__dataclass_fields__}
    )


def _units(cohort: SimulatedCohort, name: str, weights: Array) -> list[Unit]:
    """Return a candidate's folds, with all metrics."""
    return [
        make_unit(
            (number,),
            (),
            _members(cohort.predictions[name], cohort.fold == number),
            thresholds=THRESHOLDS,
            weights=weights[:, cohort.fold == number],
            metrics=METRIC_NAMES,
        )
        for number in range(FOLDS)
    ]


def truths(setting: Setting, effect: float, cohorts: int) -> dict[str, dict[str, float]]:
    """Return of each metric its value in a large sample, and its mean over small cohorts."""
    random = np.random.default_rng(1)
    large = Setting(LARGE // setting.images, setting.prevalence, setting.images)
    many = draw_cohort(random, large, {"a": effect}).predictions["a"]
    found = {
        "mcc": sk.matthews_corrcoef(many.target, many.probability >= 0.5),
        "pr_auc": sk.average_precision_score(many.target, many.probability),
        "auroc": sk.roc_auc_score(many.target, many.probability),
        "brier": sk.brier_score_loss(many.target, many.probability),
    }
    means = dict.fromkeys(METRIC_NAMES, 0.0)
    for _ in range(cohorts):
        cohort = draw_cohort(random, setting, {"a": effect})
        units = _units(cohort, "a", np.ones((1, setting.patients)))
        for name in METRIC_NAMES:
            means[name] += float(estimate(units, METRICS[name], None)[0]) / cohorts
    return {
        name: {
            "large_sample": float(found[name]),
            "mean_of_cohorts": means[name],
            "truth": means[name] if name == "pr_auc" else float(found[name]),
        }
        for name in METRIC_NAMES
    }


def measure(
    setting: Setting, repetitions: int, replicates: int, cohorts: int, seed: int = 0
) -> dict[str, Any]:
    """Count coverage and rejections over many cohorts of a setting."""
    true = truths(setting, setting.effect, cohorts)
    lower = truths(setting, setting.worse, cohorts)
    counts: dict[str, dict[str, list[bool]]] = {name: {} for name in METRIC_NAMES}

    def note(name: str, what: str, held: bool) -> None:
        counts[name].setdefault(what, []).append(bool(held))

    # statsmodels collects garbage at each correction for multiplicity; what is there now stays.
    gc.freeze()
    for repetition in range(repetitions):
        random = np.random.default_rng([seed, repetition])
        better, worse = setting.effect, setting.worse
        cohort = draw_cohort(random, setting, {"a": better, "b": better, "c": worse})
        weights = bootstrap.patient_multiplicities(
            setting.patients, replicates, "simulated", f"event {repetition}"
        )
        for name in METRIC_NAMES:
            null, other = (rows_of(cohort, names, weights, name) for names in ("ab", "ac"))
            own, truth = null[0], true[name]["truth"]
            note(name, "interval", own["ci_low"] <= truth <= own["ci_high"])
            large = true[name]["large_sample"]
            note(name, "interval_large_sample", own["ci_low"] <= large <= own["ci_high"])
            (behind,) = (row for row in null if "p_value" in row)
            note(
                name,
                "null_difference",
                behind["difference_low"] <= 0 <= behind["difference_high"],
            )
            note(name, "null_rejected", behind["p_value"] <= 0.05)
            (behind,) = (row for row in other if "p_value" in row)
            difference = truth - lower[name]["truth"]
            if behind["strategy"] == "c":
                difference = -difference
            note(
                name,
                "difference",
                behind["difference_low"] <= difference <= behind["difference_high"],
            )
    shares = {
        name: {what: float(np.mean(held)) for what, held in own.items()}
        for name, own in counts.items()
    }
    differences = {name: true[name]["truth"] - lower[name]["truth"] for name in METRIC_NAMES}
    return {
        "setting": asdict(setting),
        "truth": true,
        "true_difference": differences,
        "shares": shares,
    }


def comparisons(
    setting: Setting,
    cohorts: Sequence[int],
    replicates: int,
    differences: Mapping[str, float],
    seed: int = 0,
) -> dict[str, Counter[str]]:
    """Count how comparisons of two candidates fare that are alike, and of two that differ.

    Args:
        setting: The kind of cohort.
        cohorts: Numbers of the cohorts, those of :func:`measure` and more.
        replicates: Number of bootstrap replicates.
        differences: Per metric, the true difference between the better and the worse candidate.
        seed: As :func:`measure`.

    Returns:
        Per metric, how often which test was made (``bootstrap_made``) and rejected the true null
        (``bootstrap``; ``leaderboard`` is the one behind the leaderboard's p-value), and how often
        the leaderboard's interval held the true difference of none (``null_difference``) and of
        some (``difference``).
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in METRIC_NAMES}
    for number in cohorts:
        random = np.random.default_rng([seed, number])
        effects = {"a": setting.effect, "b": setting.effect, "c": setting.worse}
        cohort = draw_cohort(random, setting, effects)
        weights = bootstrap.patient_multiplicities(
            setting.patients, replicates, "simulated", f"event {number}"
        )
        units = {name: _units(cohort, name, weights) for name in effects}
        alike, unlike = (compared(cohort, units, *names) for names in ("ab", "ac"))
        for name in METRIC_NAMES:
            for test, found in alike[name].items():
                counts[name].update({f"{test}_made": 1, test: int(found.p_value <= 0.05)})
            for what, found, true in (
                ("null_difference", alike[name]["leaderboard"], 0.0),
                ("difference", unlike[name]["leaderboard"], differences[name]),
            ):
                counts[name].update({f"{what}_made": 1, what: int(found.low <= true <= found.high)})
    return counts


def compared(
    cohort: SimulatedCohort, units: Mapping[str, Sequence[Unit]], one: str, other: str
) -> dict[str, dict[str, Comparison]]:
    """Return per metric each test of one candidate of a cohort against another."""
    first, second = cohort.predictions[one], cohort.predictions[other]
    rarer = int(min(first.target.sum(), (1 - first.target).sum()))
    found = {}
    for name in METRIC_NAMES:
        mine, theirs = (estimate(units[own], METRICS[name], None) for own in (one, other))
        test = bootstrap_t(mine - theirs, rarer)
        found[name] = {"bootstrap": test, "leaderboard": test}
    folds = [cohort.fold == number for number in range(FOLDS)]
    delong = delong_over_folds(
        [(first.target[own], first.probability[own], second.probability[own]) for own in folds]
    )
    if "auroc" in found and delong is not None:
        found["auroc"] |= {"delong": delong, "leaderboard": delong}
    return found


def trained_rejections(
    patients: int, repeats: int, repetitions: int, seed: int = 0
) -> dict[str, float]:
    """Count how often tests of the AUROC tell apart two equally good candidates that are trained.

    Each candidate has eight features of its own that say equally much, and is a linear
    discriminant, trained anew in each fold.
    """
    rejected: dict[str, list[bool]] = {"corrected_t": [], "plain_t": []}
    for repetition in range(repetitions):
        random = np.random.default_rng([seed, 1, repetition])
        target = random.permutation((np.arange(patients) < 0.3 * patients).astype(np.int64))
        features = [0.4 * target[:, None] + random.normal(size=(patients, 8)) for _ in range(2)]
        values: list[list[float]] = [[], []]
        for _ in range(repeats):
            fold = np.zeros(patients, dtype=np.int64)
            for outcome in (0, 1):
                members = random.permutation(np.flatnonzero(target == outcome))
                fold[members] = np.arange(len(members)) % FOLDS
            for number in range(FOLDS):
                train, test = fold != number, fold == number
                for own, seen in zip(values, features, strict=True):
                    own.append(_auroc(seen, target, train, test))
        first, second = values
        found = corrected_resampled_t(first, second, 1 / (FOLDS - 1))
        rejected["corrected_t"].append(found.p_value <= 0.05)
        rejected["plain_t"].append(stats.ttest_rel(first, second).pvalue <= 0.05)
    return {name: float(np.mean(own)) for name, own in rejected.items()}


def _auroc(
    features: Array, target: NDArray[np.int64], train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> float:
    groups = [features[train & (target == outcome)] for outcome in (0, 1)]
    within = sum(np.cov(group, rowvar=False) * (len(group) - 1) for group in groups)
    weight = np.linalg.solve(within, groups[1].mean(0) - groups[0].mean(0))
    rank = stats.rankdata(features[test] @ weight)
    events = target[test] == 1
    above = rank[events].sum() - events.sum() * (events.sum() + 1) / 2
    return float(above / (events.sum() * (~events).sum()))


def outside(
    measured: Sequence[Mapping[str, Any]], trained: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Name what lies outside the bands, in sentences.

    Args:
        measured: From :func:`measure`, a setting each, with ``compared``: per metric, the
            shares of what :func:`comparisons` counts.
        trained: From :func:`trained_rejections`, by their setting.
    """
    low, high = LEVEL_BAND
    found = [
        f"{where}, trained candidates: auroc, corrected_t: {shares['corrected_t']:.3f}"
        for where, shares in trained.items()
        if not low <= round(shares["corrected_t"], 6) <= high
    ]
    for one in measured:
        setting = one["setting"]
        where = (
            f"{setting['patients']} patients, prevalence {setting['prevalence']:g}, "
            f"{setting['images']} images a patient"
        )
        judged = [(name, "interval", own["interval"], BAND) for name, own in one["shares"].items()]
        judged += [
            (name, what, own[what], band)
            for name, own in one["compared"].items()
            for what, band in JUDGED.items()
        ]
        found += [
            f"{where}: {name}, {what}: {share:.3f}"
            for name, what, share, (low, high) in judged
            if not low <= round(share, 6) <= high
        ]
    return found


def shares_of(counts: Counter[str]) -> dict[str, float]:
    """Return of each thing that was counted the share among the times that it was made."""
    tests = [name.removesuffix("_made") for name in counts if name.endswith("_made")]
    return {test: counts[test] / counts[f"{test}_made"] for test in tests}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--comparisons", type=int, default=4000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--cohorts", type=int, default=1500)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    chunks = [
        range(first, min(first + CHUNK, given.comparisons))
        for first in range(0, given.comparisons, CHUNK)
    ]
    # Cohorts are numbered: it does not matter who draws them.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        asked = [
            pool.submit(measure, setting, given.repetitions, given.replicates, given.cohorts)
            for setting in SETTINGS
        ]
        measured = [own.result() for own in asked]
        chunked = [
            pool.submit(comparisons, setting, chunk, given.replicates, own["true_difference"])
            for setting, own in zip(SETTINGS, measured, strict=True)
            for chunk in chunks
        ]
        counted = [own.result() for own in chunked]
    for place, own in enumerate(measured):
        counts = counted[place * len(chunks) : (place + 1) * len(chunks)]
        own["compared"] = {
            name: shares_of(sum((chunk[name] for chunk in counts), Counter()))
            for name in METRIC_NAMES
        }
    trained = {
        f"{patients} patients, {repeats} x {FOLDS} folds": trained_rejections(
            patients, repeats, given.repetitions
        )
        for patients, repeats in ((100, 1), (200, 10), (400, 10))
    }
    found = {
        "repetitions": given.repetitions,
        "comparisons": given.comparisons,
        "replicates": given.replicates,
        "bands": {"coverage": BAND, "rejections": LEVEL_BAND},
        "settings": measured,
        "trained_candidates": trained,
        "outside_the_bands": outside(measured, trained),
        "seconds": round(time.perf_counter() - began),
        "environment": describe_environment(choose_device("cpu")),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print("\n".join(found["outside_the_bands"]) or "everything lies within the bands")


if __name__ == "__main__":
    main(sys.argv[1:])
