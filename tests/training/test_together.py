"""Several runs in one pass: each as it is alone, whatever is beside it."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest
import torch
from problem import RECIPE, changed, make_job, short_vit
from torch import nn

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.backbones.counting import count_cost
from prognobench.strategies.strategy import get_strategy
from prognobench.training import engine, passes
from prognobench.training.classifier import Classifier
from prognobench.training.course import NonFiniteLossError
from prognobench.training.dropout import MaskedDropout
from prognobench.training.engine import train_by_gradient, train_together
from prognobench.training.pace import Steady
from prognobench.training.stack import Stack

RATES = (1e-3, 3e-3, 5e-4, 2e-3, 1e-3)


@pytest.fixture(scope="module")
def backbone():
    return short_vit()


def runs_of(backbone, name, few_shot=False):
    strategy = get_strategy(name)
    resolved = [strategy.resolve({"lr": lr}, backbone.entry.kind) for lr in RATES]
    if strategy.unsuitable(backbone.entry, resolved[0]):
        pytest.skip("the strategy does not suit the backbone")
    size = backbone.entry.input_size
    jobs = [make_job(size, f"run {number}", few_shot) for number in range(len(RATES))]
    if not few_shot:  # parts of different sizes, so that epochs end at different steps
        order = np.arange(40)
        rows = {"train": order[:28], "val": order[28:33], "test": order[33:]}
        jobs[2] = dataclasses.replace(jobs[2], rows=rows)
    return strategy, list(zip(jobs, resolved, strict=True))


def probabilities(trained):
    return 1 / (1 + np.exp(-trained.logits))


@pytest.mark.parametrize("name", ["lora", "vera", "ia3", "bitfit", "peft DORA"])
def test_runs_trained_together_are_as_alone(name, backbone):
    strategy, runs = runs_of(backbone, name)
    recipe = changed(RECIPE, epochs=6, patience=2)
    alone = {
        job.run: train_by_gradient(job, backbone, strategy, options, recipe)
        for job, options in runs
    }
    order = [runs[number] for number in (3, 0, 4, 2, 1)]
    pace = Steady(3, fused_attention=False)
    together = dict(train_together(order, backbone, strategy, recipe, pace=pace))
    assert together.keys() == alone.keys()
    assert len({own.info["steps"] for own in alone.values()}) > 1
    for run, own in alone.items():
        other = together[run]
        assert other.info["steps"] == own.info["steps"]
        assert other.parameters == own.parameters
        np.testing.assert_allclose(probabilities(other), probabilities(own), atol=1e-3)
        assert other.validation_score == pytest.approx(own.validation_score, abs=1e-3)
        used = np.isfinite(own.logits)
        with torch.no_grad():
            head = other.head(other.backbone.eval().features(runs[0][0].images[used]))
        np.testing.assert_allclose(head.squeeze(1), other.logits[used], atol=1e-3)
    spread = np.ptp([np.nan_to_num(own.logits) for own in alone.values()], axis=0)
    assert spread.max() > 1e-2  # they do differ from each other


@pytest.mark.parametrize("slots", [2, 4, 5])
def test_neither_order_nor_slots_change_a_run(slots, backbone):
    strategy, runs = runs_of(backbone, "bitfit")
    recipe = changed(RECIPE, epochs=2)
    alone = {
        job.run: train_by_gradient(job, backbone, strategy, options, recipe)
        for job, options in runs
    }
    for order in (runs, runs[::-1]):
        pace = Steady(slots, fused_attention=False)
        found = dict(train_together(order, backbone, strategy, recipe, pace=pace))
        assert list(alone) != list(found) or order is runs
        for run, own in alone.items():
            np.testing.assert_allclose(probabilities(found[run]), probabilities(own), atol=1e-3)


def test_a_number_of_runs_that_pays_is_found_and_results_stay(backbone, tmp_path, monkeypatch):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    strategy, runs = runs_of(backbone, "bitfit", few_shot=True)
    recipe = changed(RECIPE, few_shot_steps=12)
    measured = dict(train_together(runs, backbone, strategy, recipe))
    kept = list((tmp_path / "pace").glob("*.json"))
    assert len(kept) == 1
    again = dict(train_together(runs[::-1], backbone, strategy, recipe))
    for job, options in runs:
        alone = train_by_gradient(job, backbone, strategy, options, recipe)
        for other in (measured[job.run], again[job.run]):
            np.testing.assert_allclose(probabilities(other), probabilities(alone), atol=1e-3)


def test_out_of_memory_halves_the_runs_and_loses_nothing(backbone, monkeypatch):
    strategy, runs = runs_of(backbone, "lora")
    seen = []
    original = Stack.train_logits

    def limited(self, inputs, masks):
        seen.append(len(self.models))
        if len(self.models) > 2 or len(seen) == 9:
            raise torch.OutOfMemoryError("simulated")
        return original(self, inputs, masks)

    two = Steady(2, fused_attention=False)
    expected = dict(train_together(runs, backbone, strategy, RECIPE, pace=two))
    monkeypatch.setattr(Stack, "train_logits", limited)
    pace = Steady(5, fused_attention=False)
    found = dict(train_together(runs, backbone, strategy, RECIPE, pace=pace))
    assert seen[:2] == [5, 2]
    assert pace.manner.runs == 1
    for run, own in expected.items():
        np.testing.assert_allclose(probabilities(found[run]), probabilities(own), atol=1e-3)


@pytest.mark.parametrize("epochs", [1, 3])  # with 1 the first run has ended when memory runs out
def test_out_of_memory_when_a_state_is_kept_loses_no_run(epochs, backbone, monkeypatch):
    strategy, runs = runs_of(backbone, "bitfit")
    recipe = changed(RECIPE, epochs=epochs)
    alone = {
        job.run: train_by_gradient(job, backbone, strategy, options, recipe)
        for job, options in runs[:3]
    }
    original, kept = Classifier.trained_state, []

    def limited(self):
        kept.append(self)
        if len(kept) == 2:
            raise torch.OutOfMemoryError("simulated")
        return original(self)

    monkeypatch.setattr(Classifier, "trained_state", limited)
    pace = Steady(3, fused_attention=False)
    found = dict(train_together(runs[:3], backbone, strategy, recipe, pace=pace))
    assert pace.manner.runs == 1
    for run, own in alone.items():
        np.testing.assert_allclose(probabilities(found[run]), probabilities(own), atol=1e-3)
        for count in ("steps", "epochs", "best_epoch"):
            assert found[run].info[count] == own.info[count]


@pytest.mark.parametrize("failing", ["step", "start"])
def test_what_ran_out_of_memory_is_free_before_runs_get_memory_of_their_own(
    failing, backbone, monkeypatch
):
    strategy, runs = runs_of(backbone, "bitfit")
    original, build, pause = Stack.train_logits, engine.build_classifier, passes.Passes._pause
    taken, held, freed = [], [], []

    def fill_memory():
        activations = torch.zeros(8)
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError(f"simulated, beside {len(activations)} numbers")

    def limited(self, inputs, masks):
        taken.append(len(self.models))
        if failing == "step" and len(taken) == 2:
            fill_memory()
        return original(self, inputs, masks)

    def building(job, *arguments):
        if failing == "start" and job is runs[2][0] and not held:
            fill_memory()
        return build(job, *arguments)

    def looking(self):
        freed.extend(own() is None for own in held)
        pause(self)

    monkeypatch.setattr(Stack, "train_logits", limited)
    monkeypatch.setattr(engine, "build_classifier", building)
    monkeypatch.setattr(passes.Passes, "_pause", looking)
    pace = Steady(3, fused_attention=False)
    dict(train_together(runs[:3], backbone, strategy, changed(RECIPE, epochs=1), pace=pace))
    assert freed and all(freed)


def test_a_run_that_fails_leaves_the_others_alone(backbone):
    strategy, runs = runs_of(backbone, "bitfit")
    job, options = runs[1]
    runs[1] = (job, options.model_copy(update={"lr": 1e30}))
    recipe = changed(RECIPE, epochs=2, gradient_clip=1e30, warmup=0.0)
    pace = Steady(5, fused_attention=False)
    found = dict(train_together(runs, backbone, strategy, recipe, pace=pace))
    assert isinstance(found[job.run], NonFiniteLossError)
    for own, given in (runs[0], runs[4]):
        alone = train_by_gradient(own, backbone, strategy, given, recipe)
        np.testing.assert_allclose(probabilities(found[own.run]), probabilities(alone), atol=1e-3)


def test_an_error_without_company_is_the_runs_own(backbone, monkeypatch):
    strategy, runs = runs_of(backbone, "lora")

    def broken(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(passes, "step_inputs", broken)
    found = dict(train_together(runs[:2], backbone, strategy, RECIPE, pace=Steady(2)))
    assert [str(error) for error in found.values()] == ["no such operator"] * 2


def test_convolutional_networks_are_trained_one_by_one(monkeypatch):
    network = load_backbone(get_entry("efficientnet_lite0", 64))
    strategy, runs = runs_of(network, "bitfit", few_shot=True)

    def of_one(models, *arguments, **options):
        assert len(models) == 1
        return Stack(models, *arguments, **options)

    monkeypatch.setattr(passes, "Stack", of_one)
    recipe = changed(RECIPE, few_shot_steps=2)
    found = dict(train_together(runs, network, strategy, recipe))
    for job, options in runs:
        alone = train_by_gradient(job, network, strategy, options, recipe)
        np.testing.assert_array_equal(found[job.run].logits, alone.logits)


def test_the_backbone_and_its_memory_stay_as_they_are(backbone):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    for name in ("bitfit", "lora"):
        strategy, runs = runs_of(backbone, name)
        pace = Steady(3, fused_attention=False)
        list(train_together(runs, backbone, strategy, RECIPE, pace=pace))
    assert not any(p.requires_grad for p in backbone.parameters())
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_masks_drop_the_wanted_share_and_keep_the_mean():
    dropout = MaskedDropout(0.1, torch.Generator().manual_seed(0))
    dropout.mask = dropout.draw((1000, 1000))
    assert 1 - dropout.mask.float().mean().item() == pytest.approx(0.1, abs=2e-3)
    assert dropout.train()(torch.ones(1000, 1000)).mean().item() == pytest.approx(1, abs=2e-3)
    assert torch.equal(dropout.eval()(torch.ones(5)), torch.ones(5))
    rows, columns = dropout.mask.float().mean(1), dropout.mask.float().mean(0)
    assert float(torch.cat([rows, columns]).std()) == pytest.approx(0.3 / 1000**0.5, rel=0.1)
    other = dropout.draw((1000, 1000))
    both = (other & dropout.mask).float().mean().item()
    assert both == pytest.approx(0.81, abs=2e-3)


def test_dropout_of_the_strategy_is_in_use(backbone):
    strategy, runs = runs_of(backbone, "lora")
    job, options = runs[0]
    with_dropout = train_by_gradient(job, backbone, strategy, options, RECIPE)
    without = options.model_copy(update={"lora_dropout": 0.0})
    plain = train_by_gradient(job, backbone, strategy, without, RECIPE)
    assert np.nanmax(np.abs(with_dropout.logits - plain.logits)) > 1e-4


def test_a_stack_shares_what_is_equal_and_stacks_what_is_not():
    torch.manual_seed(0)
    shared = torch.randn(3, 3)
    models = []
    for number in range(3):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1), nn.Flatten(0))
        model[0].weight = nn.Parameter(shared.clone(), requires_grad=False)
        model[0].bias = nn.Parameter(torch.full((3,), float(number)), requires_grad=False)
        models.append(model)
    inputs = torch.randn(3, 4, 3)
    expected = [model(own).detach() for model, own in zip(models, inputs, strict=True)]
    stack = Stack(models)
    assert set(stack.trained) == {"1.weight", "1.bias"}
    torch.testing.assert_close(stack.logits(inputs).detach(), torch.stack(expected))
    torch.testing.assert_close(stack.logits(inputs[1:], [1, 2]).detach(), torch.stack(expected[1:]))
    models[2][1].bias.data += 5  # as an optimiser of one model's parameters does
    torch.testing.assert_close(stack.logits(inputs)[2].detach(), expected[2] + 5)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_step_in_parts_is_the_step_as_a_whole(slots, backbone, monkeypatch):
    strategy, runs = runs_of(backbone, "lora")  # it drops out, and masks are cut as images are
    recipe, original, seen = changed(RECIPE, epochs=2), passes.Passes._train_logits, set()

    def noted(self, stack, given, masks):
        seen.add(given.shape[1])
        return original(self, stack, given, masks)

    monkeypatch.setattr(passes.Passes, "_train_logits", noted)
    pace = Steady(slots, fused_attention=False)
    whole = dict(train_together(runs[:3], backbone, strategy, recipe, pace=pace))
    assert max(seen) == recipe.batch_size
    seen.clear()
    monkeypatch.setattr(engine, "PART_OPERATIONS", 3 * count_cost(backbone.entry).flops)
    parts = dict(train_together(runs[:3], backbone, strategy, recipe, pace=pace))
    assert max(seen) == 3
    for run, own in whole.items():
        np.testing.assert_allclose(probabilities(parts[run]), probabilities(own), atol=1e-3)
        assert parts[run].info["last_train_loss"] == pytest.approx(
            own.info["last_train_loss"], abs=1e-4
        )


def test_batch_normalisation_sees_all_images_of_a_step():
    network = load_backbone(get_entry("efficientnet_lite0", 64))
    for precision in (torch.float32, torch.bfloat16):
        assert engine.images_at_once(network, torch.device("cpu"), precision) is None
