"""What the columns of the result tables mean, in words: for the documentation and for readers.

A test holds that every column of ``results.csv`` and ``leaderboard.csv`` has its words here.
"""

from __future__ import annotations

from collections.abc import Mapping

from prognobench.errors import UserError, nearest
from prognobench.evaluation.metrics import METRICS

COLUMNS: Mapping[str, str] = {
    "run": "Identity of the run: a hash of everything that can change its result.",
    "dataset": "Name of the cohort.",
    "endpoint": "The outcome that is predicted.",
    "backbone": "The backbone, with what of its options is not the default.",
    "strategy": "How the backbone is adapted, with the options that the spec varies; or a control.",
    "regime": "How much training data, of what balance.",
    "shots": "Few-shot: training patients a class; empty in other regimes.",
    "level": "What the regime varies besides shots: the share of patients (`train_size`) or of "
    "events (`imbalance`); empty in other regimes.",
    "split": "Name of the split, which is also its file in `splits/`.",
    "fold": "Number of the test fold, from 0.",
    "episode": "Few-shot: number of the draw, from 0.",
    "seed": "Seed of the training; splits do not depend on it.",
    "lr": "The learning rate that validated best, where a grid was given.",
    "metric": "Name of the metric.",
    "value": "The metric on the test patients of the run; empty where it is undefined.",
    "reason": "Why there is no value, or why the candidate has no finished run.",
    "n_test": "Test patients of the run.",
    "n_positive": "Patients with the event: in `results.csv` of the run's test part, in "
    "`leaderboard.csv` of all tested patients.",
    "flag": "`constant_prediction` where what the metric reads is the same for every patient: the "
    "model has collapsed.",
    "rank": "Place by the headline metric within the cell; controls and candidates without a "
    "value have none. Equal estimates share a rank. Read it with `best_group`.",
    "estimate": "The headline metric: confusion-matrix metrics from counts summed over the folds, "
    "rankings as the mean over the folds, then the mean over seeds and repeats.",
    "ci_low": "Lower end of the interval of `estimate`.",
    "ci_high": "Upper end of the interval of `estimate`.",
    "fold_mean": "Mean of the headline metric over folds or episodes, as many papers report it.",
    "fold_sd": "Standard deviation over folds or episodes (divisor n - 1).",
    "best_group": "Whether the candidate cannot be told apart from the best of its cell: the "
    "interval of the paired difference does not lie wholly on the worse side of 0, or there is "
    "none.",
    "difference_to_best": "Estimate less that of the best candidate of the cell, on the same "
    "patients.",
    "difference_low": "Lower end of the interval of `difference_to_best`.",
    "difference_high": "Upper end of the interval of `difference_to_best`.",
    "p_value": "Two-sided p-value of that difference, by the test whose interval it has: Student's "
    "t with the error of the paired bootstrap, DeLong's where the AUROC ranks and `p_delong` is "
    "there. Empty, as the interval is, where the error is 0 and the difference is not.",
    "p_holm": "`p_value` corrected by Holm's method over the cell; empty ones do not count.",
    "p_corrected_t": "p-value of the corrected resampled t-test over folds, each the mean over its "
    "seeds.",
    "p_delong": "p-value of DeLong's test of the AUROC, where no patient is tested twice and each "
    "fold has two patients of each class; not of few-shot episodes.",
    "control": "The best control of the cell.",
    "control_difference": "Estimate less that of the best control, on the same patients.",
    "control_low": "Lower end of the interval of `control_difference`.",
    "control_high": "Upper end of the interval of `control_difference`.",
    "beats_controls": "Whether that interval lies on the better side of 0.",
    "chance": "What scores without any information are expected to reach: in `results.csv` among "
    "the patients and events of the run's test part, in `leaderboard.csv` on these folds.",
    "prevalence": "Share of patients with the event.",
    "n_patients": "Patients that are tested.",
    "n_runs": "Runs that the estimate rests on.",
    "n_failed": "Runs of the candidate that failed.",
    "n_replicates": "Bootstrap replicates with a value.",
    "trainable_parameters": "Trained parameters, the head's included.",
    "train_seconds": "Mean wall time of training and prediction a run, in seconds.",
    "state": "`done`, `partial`, or why there is no finished run: `failed`, `not_feasible`, "
    "`not_applicable`, `running`, `pending`.",
}
"""Columns whose name is the same whatever the metrics are."""

_ENDS = {
    "_ci_low": "Lower end of the interval of",
    "_ci_high": "Upper end of the interval of",
    "_chance": "What scores without any information are expected to reach in",
    "_fold_mean": "Mean over folds or episodes of",
    "_fold_sd": "Standard deviation over folds or episodes (divisor n - 1) of",
}


def describe_column(name: str) -> str:
    """Return what a column of ``results.csv`` or ``leaderboard.csv`` means, in a sentence.

    Raises:
        UserError: When there is no such column; the sentence names the nearest.
    """
    if name in COLUMNS:
        return COLUMNS[name]
    if name in METRICS:
        return METRICS[name].description
    for end, words in _ENDS.items():
        metric = name.removesuffix(end)
        if metric != name and metric in METRICS:
            return f"{words} `{metric}`."
    raise UserError(f"unknown column '{name}': {nearest(name, [*COLUMNS, *METRICS])}")
