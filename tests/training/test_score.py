"""The validation score against scikit-learn, on patients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from problem import RECIPE, changed, make_job
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from prognobench.training.score import validation_score

ORACLES = {
    "mcc": lambda target, p: matthews_corrcoef(target, p >= 0.5),
    "auroc": roc_auc_score,
    "pr_auc": average_precision_score,
}


@pytest.fixture
def job():
    """Ten validation images of five patients, two of them with the event."""
    plain = make_job(32)
    patients = np.array([7, 7, 3, 3, 3, 9, 1, 1, 5, 9])
    targets = plain.targets.copy()
    rows = {"train": np.arange(20), "val": np.arange(20, 30), "test": np.arange(30, 40)}
    targets[20:30] = np.isin(patients, [3, 9])
    own = np.concatenate([np.arange(20) + 100, patients, np.arange(10) + 200])
    return dataclasses.replace(plain, targets=targets, patients=own, rows=rows)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_scores_are_those_of_patients(name, job):
    for seed in range(5):
        logits = np.random.default_rng(seed).normal(size=10)
        table = pd.DataFrame(
            {
                "patient": job.patients[20:30],
                "target": job.targets[20:30],
                "p": 1 / (1 + np.exp(-logits)),
            }
        )
        grouped = table.groupby("patient").mean()
        expected = ORACLES[name](grouped["target"].astype(int), grouped["p"])
        score, _ = validation_score(job, logits, changed(RECIPE, validation_score=name))
        assert score == pytest.approx(expected)


def test_a_loss_is_negated_and_what_is_no_number_stays_none(job):
    score, loss = validation_score(job, np.zeros(10), RECIPE)
    assert score == -loss == pytest.approx(-np.log(2))
    assert np.isnan(validation_score(job, np.full(10, np.nan), RECIPE)).all()
