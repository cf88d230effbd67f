"""Training by gradient: what moves, what must not, and that the result depends on the run alone."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from problem import RECIPE, changed, make_job
from sklearn.metrics import roc_auc_score

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.strategies.strategy import get_strategy
from prognobench.training import classifier, course
from prognobench.training.classifier import Classifier, build_classifier
from prognobench.training.course import Course, NonFiniteLossError
from prognobench.training.engine import train_by_gradient, training_precision
from prognobench.training.lane import Lane, predict
from prognobench.training.losses import class_weights, weighted_loss
from prognobench.training.pace import Steady
from prognobench.training.passes import Passes
from prognobench.training.score import validation_score

GRADIENT = ["full", "lora", "vera", "bitfit", "ia3"]


def train(job, backbone, name, recipe=RECIPE, **options):
    strategy = get_strategy(name)
    resolved = strategy.resolve(options, backbone.entry.kind)
    reason = strategy.unsuitable(backbone.entry, resolved)
    if reason:
        pytest.skip(reason)
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
    result = train(job, backbone, name, changed(RECIPE, augmentation="none"))
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key
    model = trained_model[0]
    strategy = get_strategy(name)
    options = strategy.resolve({}, backbone.entry.kind)
    start = build_classifier(job, backbone, strategy, options).state_dict()
    trainable = {key for key, p in model.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == result.parameters
    for key, parameter in model.named_parameters():
        if key in trainable:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
        assert torch.equal(parameter, start[key]) == (key not in trainable), key
    statistics = [key for key in start if "running_" in key]
    for key in statistics:
        assert torch.equal(model.state_dict()[key], start[key]) == (name != "full"), key


@pytest.mark.parametrize("name", GRADIENT)
def test_the_loss_falls_and_the_problem_is_learned(name, job, backbone):
    lr = {"vera": 2e-2, "ia3": 1e-2}.get(name, 1e-3)
    result = train(job, backbone, name, changed(RECIPE, epochs=12), lr=lr)
    assert result.info["last_train_loss"] < 0.8 * result.info["first_train_loss"]
    test = job.rows["test"]
    events = result.logits[test][job.targets[test] == 1]
    others = result.logits[test][job.targets[test] == 0]
    assert (events[:, None] > others).mean() > 0.85


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
    for name in ("full", "lora", "bitfit"):
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


def test_without_a_test_part_no_empty_batch_is_computed(job, backbone, monkeypatch):
    rows = {**job.rows, "test": job.rows["test"][:0]}
    original = Backbone.features

    def some(self, images):
        assert len(images)  # timm's EVA, BeiT and Swin raise
        return original(self, images)

    monkeypatch.setattr(Backbone, "features", some)
    refit = train(dataclasses.replace(job, rows=rows), backbone, "bitfit")
    np.testing.assert_array_equal(np.isnan(refit.logits), np.isin(np.arange(40), job.rows["test"]))


def test_early_stopping_keeps_the_state_of_the_lowest_validation_loss(job, backbone, trained_model):
    recipe = changed(RECIPE, epochs=20, patience=2, head_lr=0.1)
    result = train(job, backbone, "bitfit", recipe, lr=1e-2)
    losses = result.info["validation_losses"]
    assert result.info["best_epoch"] == int(np.argmin(losses)) + 1
    assert len(losses) == min(20, result.info["best_epoch"] + 2)
    val = job.rows["val"]
    weights = class_weights(job.targets[job.rows["train"]])
    again = weighted_loss(
        torch.as_tensor(result.logits[val]), torch.as_tensor(job.targets[val]).double(), weights
    )
    assert float(again) == pytest.approx(min(losses), rel=1e-3, abs=1e-12)
    assert result.validation_score == -min(losses)
    assert np.ptp(result.logits[val]) > 0.1  # not the same for all, which any rows would give


def test_a_loss_that_is_no_number_stops_the_run(job, backbone):
    recipe = changed(RECIPE, head_lr=1e30, gradient_clip=1e30, warmup=0.0)
    with pytest.raises(NonFiniteLossError, match="lower learning rate"):
        train(job, backbone, "full", recipe, lr=1e30)


class BrokenGradient(classifier.Trainable):
    """Its logit is 0 and its gradient infinite."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return (self.weight.sqrt() + 0 * inputs.float().mean(dim=(1, 2, 3))).reshape(-1)


def test_a_gradient_that_is_no_number_stops_the_run_before_the_step():
    job = make_job(32, few_shot=True)
    model = BrokenGradient()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    recipe = changed(RECIPE, few_shot_steps=1)
    lane = Lane(Course(job, recipe, job.images.device), model, optimiser)
    starts = [(job.run, lambda: lane)]
    ((_, error),) = Passes(starts, job.images, recipe, torch.float32, Steady()).run()
    assert isinstance(error, NonFiniteLossError)
    assert "the gradient of the training loss became" in str(error)
    assert model.weight.item() == 0


def test_the_global_random_state_is_left_alone(job, backbone):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(job, backbone, "lora", changed(RECIPE, epochs=1))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "values",
    [
        {"imbalance": "balanced_sampling"},
        {"imbalance": "logit_adjustment"},
        {"imbalance": "none"},
        {"loss": "focal"},
        {"schedule": "plateau", "plateau_patience": 1},
        {"horizontal_flip": True},
        {"precision": "bfloat16"},
        {"validation_score": "auroc"},
    ],
    ids=lambda values: "-".join(map(str, values.values())),
)
def test_each_part_of_the_recipe_changes_training_and_still_learns(values, job, backbone):
    if backbone.entry.kind == "cnn":
        pytest.skip("the recipe does not depend on the backbone")
    base = changed(RECIPE, epochs=6)
    plain = train(job, backbone, "full", base, lr=1e-3)
    other = train(job, backbone, "full", changed(base, **values), lr=1e-3)
    if values != {"validation_score": "auroc"}:
        assert np.nanmax(np.abs(plain.logits - other.logits)) > 1e-4
    assert other.info["last_train_loss"] < 0.8 * other.info["first_train_loss"]
    if values == {"precision": "bfloat16"}:
        assert (plain.info["precision"], other.info["precision"]) == ("float32", "bfloat16")
        # Judged in float32: close logits stay apart.
        assert len(np.unique(other.logits[job.rows["test"]])) == len(job.rows["test"])


@pytest.mark.parametrize("kind", ["binary", "time_to_event"])
def test_what_is_judged_is_of_float32_and_the_rest_as_its_steps(kind, job, backbone):
    if backbone.entry.kind == "cnn":
        pytest.skip("it does not depend on the backbone")
    if kind == "time_to_event":
        times = np.where(job.targets > 0, 1.0, -1.0) * (1 + np.arange(len(job.targets)))
        job = dataclasses.replace(job, kind=kind, targets=times)
    recipe = changed(RECIPE, precision="bfloat16")
    result = train(job, backbone, "bitfit", recipe)
    model = Classifier(result.backbone, get_strategy("bitfit"))
    model.head = result.head
    exact = predict(model, job.images, np.arange(len(job.targets)))
    rounded = predict(model, job.images, job.rows["train"], torch.bfloat16)
    for part in ("val", "test"):
        np.testing.assert_allclose(result.logits[job.rows[part]], exact[job.rows[part]], atol=1e-5)
    seen = result.logits[job.rows["train"]]
    expected = rounded if kind == "binary" else exact[job.rows["train"]]
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert np.abs(rounded - exact[job.rows["train"]]).max() > 1e-4
    score, _ = validation_score(job, result.logits[job.rows["val"]], recipe)
    assert result.validation_score == score


def test_stopping_by_auroc_keeps_the_first_epoch_of_the_highest(job, backbone):
    recipe = changed(RECIPE, epochs=12, validation_score="auroc", patience=3, warmup=0.0)
    result = train(job, backbone, "full", recipe, lr=1e-3)
    scores = result.info["validation_scores_auroc"]
    assert result.info["best_epoch"] == int(np.argmax(scores)) + 1
    assert result.info["epochs"] == min(12, result.info["best_epoch"] + 3)
    val = job.rows["val"]
    assert result.validation_score == max(scores)
    assert roc_auc_score(job.targets[val], result.logits[val]) == pytest.approx(max(scores))


def test_patience_is_counted_from_the_end_of_the_warm_up(job, backbone, monkeypatch):
    falling = iter(range(0, -100, -1))
    monkeypatch.setattr(course, "validation_score", lambda *_: (float(next(falling)), 0.5))
    result = train(job, backbone, "bitfit", changed(RECIPE, epochs=20, warmup=0.3, patience=2))
    assert (result.info["best_epoch"], result.info["epochs"]) == (1, 6 + 2)


def test_what_is_computed_in_float32_and_what_in_bfloat16(monkeypatch):
    cpu = torch.device("cpu")
    transformer = load_backbone(get_entry("demo_vit"))
    depthwise = load_backbone(get_entry("efficientnet_lite0", 64))
    for native, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda own=native: own)
        assert training_precision("auto", cpu, transformer) is expected
        assert training_precision("auto", cpu, depthwise) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert training_precision("auto", torch.device("cuda"), depthwise) is torch.bfloat16
    for backbone in (transformer, depthwise):
        assert training_precision("bfloat16", cpu, backbone) is torch.bfloat16
        assert training_precision("float32", torch.device("cuda"), backbone) is torch.float32


def test_a_step_hook_sees_every_step_with_gradients(job, backbone):
    seen = []

    def look(adapted, step, steps):
        given = [p.grad is not None for p in adapted.parameters() if p.requires_grad]
        seen.append((step, steps, all(given)))

    strategy = dataclasses.replace(get_strategy("bitfit"), after_step=look)
    options = strategy.resolve({}, backbone.entry.kind)
    train_by_gradient(job, backbone, strategy, options, changed(RECIPE, epochs=2))
    assert seen == [(step, 6, True) for step in range(1, 7)]
