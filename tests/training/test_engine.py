"""Training by gradient: what moves, what must not, and that the result depends on the run alone."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from problem import RECIPE, make_job

from prognobench.strategies.strategy import get_strategy
from prognobench.training import engine
from prognobench.training.engine import Classifier, NonFiniteLossError, train_by_gradient

GRADIENT = ["full", "lora", "bitfit"]


def train(job, backbone, name, recipe=RECIPE, **options):
    strategy = get_strategy(name)
    resolved = strategy.resolve(options, backbone.entry.kind)
    return train_by_gradient(job, backbone, strategy, resolved, recipe)


@pytest.fixture
def trained_model(monkeypatch):
    """Keep the model that the engine trains, to look at it afterwards."""
    kept = []
    original = Classifier.__init__

    def keep(self, *arguments):
        original(self, *arguments)
        kept.append(self)

    monkeypatch.setattr(Classifier, "__init__", keep)
    return kept


@pytest.mark.parametrize("name", GRADIENT)
def test_what_is_trained_moves_and_what_is_frozen_does_not(name, job, backbone, trained_model):
    before = copy.deepcopy(backbone.state_dict())
    result = train(job, backbone, name, augmented(RECIPE, "none"))
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key
    model = trained_model[0]
    frozen = {
        key.replace("base_model.model.", "").replace(".base_layer", ""): value
        for key, value in model.backbone.state_dict().items()
    }
    trainable = {key for key, p in model.backbone.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == result.parameters
    moved = 0
    for key, parameter in model.backbone.named_parameters():
        plain = key.replace("base_model.model.", "").replace(".base_layer", "")
        if key in trainable:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
            moved += plain in before and not torch.equal(parameter, before[plain])
        else:
            assert torch.equal(parameter, before[plain]), key
    if name != "lora":
        assert moved == len(trainable)
    statistics = [key for key in before if "running_" in key]
    for key in statistics:
        assert torch.equal(frozen[key], before[key]) == (name != "full"), key


@pytest.mark.parametrize("name", GRADIENT)
def test_at_attachment_features_are_unchanged(name, job, backbone):
    adapted = copy.deepcopy(backbone)
    strategy = get_strategy(name)
    strategy.attach(adapted, strategy.resolve({}, backbone.entry.kind))
    with torch.inference_mode():
        difference = adapted.eval().features(job.images) - backbone.features(job.images)
    assert difference.abs().max() < 1e-6


@pytest.mark.parametrize("name", GRADIENT)
def test_the_loss_falls_and_the_problem_is_learned(name, job, backbone):
    result = train(job, backbone, name, dataclasses.replace(RECIPE, epochs=12), lr=1e-3)
    assert result.info["last_train_loss"] < 0.8 * result.info["first_train_loss"]
    test = job.rows["test"]
    events = result.logits[test][job.targets[test] == 1]
    others = result.logits[test][job.targets[test] == 0]
    assert (events[:, None] > others).mean() > 0.9


@pytest.mark.parametrize("name", GRADIENT)
def test_a_run_gives_the_same_alone_and_after_others(name, backbone):
    size = backbone.entry.input_size
    first = train(make_job(size, "one"), backbone, name)
    torch.manual_seed(7)
    train(make_job(size, "another"), backbone, "full")
    again = train(make_job(size, "one"), backbone, name)
    np.testing.assert_array_equal(first.logits, again.logits)
    other = train(make_job(size, "two"), backbone, name)
    assert np.nanmax(np.abs(first.logits - other.logits)) > 1e-4


def test_test_labels_change_nothing(job, backbone):
    targets = job.targets.copy()
    test = job.rows["test"]
    targets[test] = 1 - targets[test]
    scrambled = dataclasses.replace(job, targets=targets)
    for name in GRADIENT:
        one, two = (train(own, backbone, name) for own in (job, scrambled))
        np.testing.assert_array_equal(one.logits, two.logits)


def test_test_images_change_nothing_but_their_own_predictions(job, backbone):
    images = job.images.clone()
    images[job.rows["test"]] = 0
    one = train(job, backbone, "full")
    two = train(dataclasses.replace(job, images=images), backbone, "full")
    kept = np.concatenate([job.rows["train"], job.rows["val"]])
    np.testing.assert_allclose(one.logits[kept], two.logits[kept], atol=1e-5)


def test_without_validation_steps_are_fixed(backbone):
    job = make_job(backbone.entry.input_size, few_shot=True)
    result = train(job, backbone, "bitfit")
    assert result.info["steps"] == RECIPE.few_shot_steps
    assert np.isfinite(result.logits[job.rows["test"]]).all()
    assert np.isnan(result.logits[job.rows["train"][-1] + 1])


def test_early_stopping_keeps_the_state_of_the_lowest_validation_loss(job, backbone, trained_model):
    recipe = dataclasses.replace(RECIPE, epochs=20, patience=2, head_lr=1.0)
    result = train(job, backbone, "full", recipe, lr=1e-2)
    losses = result.info["validation_losses"]
    assert result.info["best_epoch"] == int(np.argmin(losses)) + 1
    assert len(losses) == min(20, result.info["best_epoch"] + 2)
    val = job.rows["val"]
    weights = engine.class_weights(job.targets[job.rows["train"]], "balanced")
    again = engine.weighted_log_loss(
        torch.as_tensor(result.logits[val]), torch.as_tensor(job.targets[val]).double(), weights
    )
    assert float(again) == pytest.approx(min(losses), abs=1e-5)


def test_a_loss_that_is_no_number_stops_the_run(job, backbone):
    recipe = dataclasses.replace(RECIPE, head_lr=1e30, gradient_clip=1e30, warmup=0.0)
    with pytest.raises(NonFiniteLossError, match="lower learning rate"):
        train(job, backbone, "full", recipe, lr=1e30)


def test_the_global_random_state_is_left_alone(job, backbone):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(job, backbone, "lora", dataclasses.replace(RECIPE, epochs=1))
    assert torch.equal(torch.rand(1), expected)


def augmented(recipe, augmentation):
    return dataclasses.replace(recipe, augmentation=augmentation)
