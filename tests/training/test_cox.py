"""Cox's partial likelihood and its penalised optimum, against statsmodels and scikit-survival."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from problem import RECIPE, brightened, changed, make_job, short_vit
from scipy.optimize import minimize
from statsmodels.duration.hazard_regression import PHReg

from prognobench.strategies.strategy import get_strategy
from prognobench.training.cox import partial_likelihood_loss, solve_cox
from prognobench.training.engine import train_by_gradient, train_together
from prognobench.training.job import prior_logit_shift
from prognobench.training.pace import Steady
from prognobench.training.probe import solve_probes, train_probe


def drawn(rows, columns, seed=0):
    """Return inputs, and times with ties of which a third are censored."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, columns))
    times = 1 + np.floor(random.exponential(8 * np.exp(-inputs[:, 0])))
    return inputs, np.where(random.random(rows) < 0.33, -times, times)


def likelihood(inputs, times, coefficients):
    model = PHReg(np.abs(times), inputs, status=times > 0, ties="breslow")
    return model.loglike(coefficients)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_partial_likelihood_of_statsmodels(seed):
    inputs, times = drawn(40, 3, seed)
    coefficients = np.random.default_rng(seed).normal(size=3)
    loss = partial_likelihood_loss(torch.tensor(inputs @ coefficients), torch.tensor(times))
    expected = -likelihood(inputs, times, coefficients) / (times > 0).sum()
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_without_an_event_there_is_nothing_to_learn():
    outputs = torch.randn(5, requires_grad=True)
    loss = partial_likelihood_loss(outputs, -torch.arange(1.0, 6.0))
    loss.backward()
    assert loss.item() == 0.0
    assert not outputs.grad.any()


@pytest.mark.parametrize(("rows", "columns"), [(40, 4), (15, 30)])
def test_the_optimum_is_one(rows, columns):
    inputs, times = zip(*(drawn(rows, columns, seed) for seed in range(2)), strict=True)
    weights = np.ones((2, rows))
    weights[1, -3:] = 0.0
    strengths = np.array([0.5, 0.01])
    given = (np.stack(inputs), np.stack(times), weights, strengths)
    found, intercepts = solve_cox(*map(torch.from_numpy, given))
    assert not intercepts.any()
    for number, strength in enumerate(strengths):
        own = weights[number] > 0

        def objective(b, own=own, number=number, strength=strength):
            kept = inputs[number][own], times[number][own]
            return b @ b / 2 - strength * likelihood(*kept, b)

        best = minimize(objective, np.zeros(columns), method="BFGS", options={"gtol": 1e-6})
        solved = found[number].numpy()
        assert objective(solved) <= best.fun + 1e-8
        np.testing.assert_allclose(solved, best.x, atol=1e-4)


def test_the_optimum_is_that_of_scikit_survival():
    linear = pytest.importorskip("sksurv.linear_model")
    from sksurv.util import Surv

    inputs, times = drawn(60, 5)
    outcome = Surv.from_arrays(times > 0, np.abs(times))
    for strength in (0.01, 1.0):
        model = linear.CoxPHSurvivalAnalysis(alpha=1 / strength, ties="breslow", tol=1e-12)
        model.fit(inputs, outcome)
        given = (inputs[None], times[None], np.ones((1, 60)), np.array([strength]))
        found = solve_cox(*map(torch.from_numpy, given))[0][0]
        np.testing.assert_allclose(found, model.coef_, atol=1e-6)


def time_job(size, run="a run"):
    """Return the small problem with times: the brighter the patch, the earlier the event."""
    job = make_job(size, run)
    random = np.random.default_rng(2)
    risk = random.integers(0, 9, len(job.targets))
    times = random.exponential(30 * np.exp(-0.6 * risk)) + 0.5
    targets = np.where(np.arange(len(times)) % 3 == 0, -times, times)
    job = dataclasses.replace(job, images=brightened(job, risk), targets=targets)
    return dataclasses.replace(job, kind="time_to_event"), risk


def test_probes_learn_the_hazard_alone_and_in_company():
    job, risk = time_job(16)
    features = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += risk
    strengths = (1e-3, 1e-1, 1.0)
    alone = solve_probes([job], features, strengths, 1e-2, RECIPE)[0]
    test = job.rows["test"]
    assert np.corrcoef(alone.logits[test], risk[test])[0, 1] > 0.8
    outputs = torch.tensor(alone.logits[job.rows["val"]])
    own = partial_likelihood_loss(outputs, torch.tensor(job.targets[job.rows["val"]]))
    assert alone.validation_score == pytest.approx(-own.item())
    others = [dataclasses.replace(job, run=f"other {number}") for number in range(2)]
    rows = {**job.rows, "train": job.rows["train"][:12]}
    others[0] = dataclasses.replace(others[0], rows=rows)
    together = solve_probes([*others, job], features, strengths, 1e-2, RECIPE)[-1]
    np.testing.assert_allclose(together.logits, alone.logits, atol=1e-8)
    recipe = changed(RECIPE, epochs=30, imbalance="balanced_sampling", validation_score="mcc")
    trained = train_probe(job, features, 0.05, recipe)
    assert np.corrcoef(trained.logits[test], risk[test])[0, 1] > 0.7


def test_a_hazard_does_not_depend_on_its_company():
    backbone = short_vit()
    strategy = get_strategy("lora")
    size = backbone.entry.input_size
    runs = [
        (time_job(size, f"run {n}")[0], strategy.resolve({"lr": lr}, "vit"))
        for n, lr in enumerate((1e-3, 3e-3, 5e-4))
    ]
    recipe = changed(RECIPE, epochs=3)
    alone = {job.run: train_by_gradient(job, backbone, strategy, o, recipe) for job, o in runs}
    pace = Steady(3, fused_attention=False)
    together = dict(train_together(runs[::-1], backbone, strategy, recipe, pace=pace))
    # There is no intercept: what is stored is relative to the training images.
    train = runs[0][0].rows["train"]
    for run, own in alone.items():
        pair = [trained.logits - trained.logits[train].mean() for trained in (together[run], own)]
        np.testing.assert_allclose(*pair, atol=1e-3)
    assert np.ptp([np.nan_to_num(own.logits) for own in alone.values()], axis=0).max() > 1e-2


@pytest.mark.parametrize("kind", ["time_to_event", "ordinal"])
def test_scrambled_test_outcomes_change_no_prediction(kind):
    job, risk = time_job(16)
    if kind == "ordinal":
        job = dataclasses.replace(
            job, kind=kind, targets=np.random.default_rng(0).integers(0, 9, 40)
        )
    test, random = job.rows["test"], np.random.default_rng(3)
    targets = job.targets.copy()
    targets[test] = random.permutation(targets[test]) * 3
    assert (targets[test] != job.targets[test]).any()
    other = dataclasses.replace(job, targets=targets)
    features = random.normal(size=(40, 6)).astype(np.float32)
    features[:, 0] += risk
    recipe = changed(RECIPE, epochs=3)
    for pair in (
        [solve_probes([own], features, (1e-3, 1e-1), 1e-2, RECIPE)[0] for own in (job, other)],
        [train_probe(own, features, 0.05, recipe) for own in (job, other)],
    ):
        one, two = pair
        np.testing.assert_array_equal(one.logits, two.logits)
        assert (one.validation_score, one.info["last_train_loss"]) == (
            two.validation_score,
            two.info["last_train_loss"],
        )


def test_a_few_shot_draw_of_times_says_how_much_more_often_events_were_drawn():
    job, _ = time_job(16)
    assert prior_logit_shift(job, "class_weights") == 0.0
    rows = {**job.rows, "val": job.rows["val"][:0]}
    few = dataclasses.replace(job, rows=rows, prevalence=0.2)
    share = (job.targets[rows["train"]] > 0).mean()
    expected = np.log(share / (1 - share)) - np.log(0.2 / 0.8)
    assert prior_logit_shift(few, "class_weights") == pytest.approx(expected, abs=1e-12)
