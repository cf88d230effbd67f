"""Losses against torch, torchvision and scikit-learn, and the correction of the prior."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problem import RECIPE, changed, make_job
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from prognobench.training.job import prior_logit_shift
from prognobench.training.losses import (
    class_weights,
    expected_loss,
    log_odds,
    part_weight,
    training_loss,
    weighted_loss,
)
from prognobench.training.probe import solve_probe
from prognobench.training.recipe import Recipe

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.5, -40.0, 40.0], dtype=torch.float64)
TARGETS = torch.tensor([0, 0, 0, 1, 1, 0], dtype=torch.float64)
TRAINING = np.array([0, 0, 0, 1])


def test_class_weights_and_loss_are_those_of_scikit_learn_and_torch():
    weights = class_weights(TRAINING)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=TRAINING)
    assert weights == pytest.approx(tuple(expected))
    two_classes = torch.stack([torch.zeros(6), LOGITS], dim=1)
    oracle = functional.cross_entropy(
        two_classes, TARGETS.long(), weight=torch.tensor(weights).double()
    )
    loss = training_loss(RECIPE, TRAINING)(LOGITS, TARGETS)
    assert float(loss) == pytest.approx(float(oracle), abs=1e-6)


def test_the_focal_loss_is_that_of_torchvision():
    recipe = changed(RECIPE, loss="focal", imbalance="none")
    oracle = sigmoid_focal_loss(LOGITS, TARGETS, alpha=-1, gamma=2, reduction="mean")
    loss = training_loss(recipe, TRAINING)(LOGITS, TARGETS)
    assert float(loss) == pytest.approx(float(oracle), rel=1e-9)
    # alpha weighs the classes as class weights do, up to the division by their sum.
    weighted = weighted_loss(LOGITS, TARGETS, (0.3, 0.7), 2.0)
    oracle = sigmoid_focal_loss(LOGITS, TARGETS, alpha=0.7, gamma=2, reduction="sum")
    assert float(weighted) == pytest.approx(float(oracle) / (4 * 0.3 + 2 * 0.7), rel=1e-9)


@given(st.floats(-60, 60), st.sampled_from([0.0, 1.0]))
def test_the_focal_loss_and_its_gradient_are_finite(logit, target):
    own = torch.tensor([logit], requires_grad=True)
    loss = weighted_loss(own, torch.tensor([target]), focus=2.0)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(own.grad).all()


def test_logit_adjustment_is_the_softmax_loss_of_menon():
    """Equation 10: softmax cross-entropy of f_y + log pi_y, here with f_0 = 0."""
    recipe = changed(RECIPE, imbalance="logit_adjustment")
    adjusted = torch.stack([torch.zeros(6).double(), LOGITS], dim=1) + torch.log(
        torch.tensor([0.75, 0.25], dtype=torch.float64)
    )
    oracle = functional.cross_entropy(adjusted, TARGETS.long())
    loss = training_loss(recipe, TRAINING)(LOGITS, TARGETS)
    assert float(loss) == pytest.approx(float(oracle), rel=1e-9)


def test_balanced_samples_are_not_weighted_once_more_but_whole_parts_are():
    recipe = changed(RECIPE, imbalance="balanced_sampling")
    plain = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS)
    assert float(training_loss(recipe, TRAINING)(LOGITS, TARGETS)) == pytest.approx(float(plain))
    weighted = weighted_loss(LOGITS, TARGETS, class_weights(TRAINING))
    assert float(expected_loss(recipe, TRAINING)(LOGITS, TARGETS)) == pytest.approx(float(weighted))


@pytest.mark.parametrize(
    "imbalance", ["class_weights", "balanced_sampling", "logit_adjustment", "none"]
)
def test_the_prior_shift_undoes_what_is_done_about_imbalance(imbalance):
    """A constant predictor learns the share it was shown; corrected, it says the prevalence."""
    recipe = changed(RECIPE, imbalance=imbalance)
    job = make_job(32)
    constant = np.zeros((40, 3), dtype=np.float32)
    probe = solve_probe(job, constant, (1.0,), 1.0, recipe)
    job = dataclasses.replace(job, prevalence=float(job.targets[job.rows["train"]].mean()))
    corrected = probe.logits - prior_logit_shift(job, imbalance)
    np.testing.assert_allclose(1 / (1 + np.exp(-corrected)), job.prevalence, atol=1e-4)
    shown = job.prevalence if imbalance == "none" else 0.5
    np.testing.assert_allclose(probe.logits, log_odds(shown), atol=1e-3)


@pytest.mark.parametrize("imbalance", ["class_weights", "none", "logit_adjustment"])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_a_batch_s_loss_is_the_weighted_mean_of_its_parts(imbalance, loss):
    recipe = Recipe(imbalance=imbalance, loss=loss)
    targets = np.array([0, 0, 0, 1, 0, 1, 0, 0])
    logits, own = torch.linspace(-1, 2, 8), torch.tensor(targets, dtype=torch.float32)
    mean, weight = training_loss(recipe, targets), part_weight(recipe, targets)
    parts = [slice(0, 3), slice(3, 8)]
    shares = [weight(own[part]) / weight(own) * mean(logits[part], own[part]) for part in parts]
    assert sum(shares).item() == pytest.approx(mean(logits, own).item(), rel=1e-5)
    assert part_weight(recipe, targets, "time_to_event") is None
