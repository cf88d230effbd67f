"""Ordinal scores in training: ridge probes, the squared error, and company that changes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from problem import RECIPE, brightened, changed, make_job, short_vit
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from prognobench.strategies.strategy import get_strategy
from prognobench.training.engine import train_by_gradient, train_together
from prognobench.training.job import prior_logit_shift
from prognobench.training.losses import score_scale, training_loss
from prognobench.training.pace import Steady
from prognobench.training.probe import solve_probes, train_probe
from prognobench.training.ridge import solve_ridge


def score_job(size, run="a run", few=False):
    """Return the small problem with scores from 0 to 8: the brighter the patch, the higher."""
    job = make_job(size, run)
    random = np.random.default_rng(2)
    scores = random.integers(0, 9, len(job.targets))
    rows = {**job.rows, "val": job.rows["val"][:0]} if few else job.rows
    return dataclasses.replace(
        job, images=brightened(job, scores), targets=scores, kind="ordinal", rows=rows
    )


@pytest.mark.parametrize(("rows", "columns"), [(30, 5), (12, 40)])
def test_ridge_is_that_of_scikit_learn(rows, columns):
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(3, rows, columns)), random.normal(size=(3, rows))
    weights = np.ones((3, rows))
    inputs[2, -4:], targets[2, -4:], weights[2, -4:] = 0.0, 0.0, 0.0
    strengths = np.array([1e-3, 0.1, 10.0])
    found = solve_ridge(*map(torch.from_numpy, (inputs, targets, weights, strengths)))
    for number, strength in enumerate(strengths):
        own = weights[number] > 0
        model = Ridge(alpha=1 / strength).fit(inputs[number][own], targets[number][own])
        np.testing.assert_allclose(found[0][number], model.coef_, atol=1e-9)
        assert found[1][number].item() == pytest.approx(model.intercept_, abs=1e-9)


def test_the_probe_takes_the_penalty_with_the_least_error_in_validation():
    job, random = score_job(16), np.random.default_rng(1)
    features = random.normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += job.targets
    strengths = (1e-4, 1e-2, 1.0)
    alone = solve_probes([job], features, strengths, 1e-2, RECIPE)[0]
    mean, spread = score_scale(job.targets[job.rows["train"]])
    scaler = StandardScaler().fit(features[job.rows["train"]])
    given = scaler.transform(features)
    errors = {}
    for strength in strengths:
        model = Ridge(alpha=1 / strength)
        model.fit(given[job.rows["train"]], (job.targets[job.rows["train"]] - mean) / spread)
        predicted = model.predict(given)
        wanted = (job.targets[job.rows["val"]] - mean) / spread
        errors[strength] = np.mean((predicted[job.rows["val"]] - wanted) ** 2)
        if strength == alone.info["C"]:
            np.testing.assert_allclose(alone.logits, predicted, atol=1e-6)
    assert alone.info["C"] == min(errors, key=errors.get)
    assert alone.validation_score == pytest.approx(-min(errors.values()))
    others = [dataclasses.replace(job, run=f"other {n}", rows={**job.rows}) for n in range(3)]
    together = solve_probes([*others, job], features, strengths, 1e-2, RECIPE)[-1]
    np.testing.assert_allclose(together.logits, alone.logits, atol=1e-10)


def test_class_weights_focus_and_balance_have_no_part():
    job = score_job(16)
    targets = job.targets[job.rows["train"]]
    outputs, own = torch.randn(6), torch.tensor([0.0, 2, 3, 8, 5, 1])
    mean, spread = targets.mean(), targets.std()
    expected = ((outputs - (own - mean) / spread) ** 2).mean()
    for values in ({"imbalance": "balanced_sampling"}, {"loss": "focal"}, {}):
        loss = training_loss(changed(RECIPE, **values), targets, "ordinal")
        torch.testing.assert_close(loss(outputs, own), expected.float())
    assert prior_logit_shift(job, "class_weights") == 0.0
    assert score_scale(np.array([4, 4])) == (4.0, 1.0)


def test_a_trained_head_learns_the_score():
    job = score_job(16)
    features = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += job.targets
    recipe = changed(RECIPE, epochs=30, imbalance="balanced_sampling", validation_score="mcc")
    trained = train_probe(job, features, 0.05, recipe)
    test = job.rows["test"]
    assert np.corrcoef(trained.logits[test], job.targets[test])[0, 1] > 0.8
    assert "validation_scores_loss" in trained.info


@pytest.mark.parametrize("name", ["lora", "bitfit"])
def test_a_score_does_not_depend_on_its_company(name):
    backbone = short_vit()
    strategy = get_strategy(name)
    runs = [
        (score_job(backbone.entry.input_size, f"run {n}"), strategy.resolve({"lr": lr}, "vit"))
        for n, lr in enumerate((1e-3, 3e-3, 5e-4))
    ]
    recipe = changed(RECIPE, epochs=3)
    alone = {job.run: train_by_gradient(job, backbone, strategy, o, recipe) for job, o in runs}
    pace = Steady(3, fused_attention=False)
    together = dict(train_together(runs[::-1], backbone, strategy, recipe, pace=pace))
    for run, own in alone.items():
        np.testing.assert_allclose(together[run].logits, own.logits, atol=1e-3)
    assert np.ptp([np.nan_to_num(own.logits) for own in alone.values()], axis=0).max() > 1e-2
