"""Which layers of a stack are computed by run, against each model's own forward pass."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.strategies.strategy import get_strategy
from prognobench.training.classifier import build_classifier
from prognobench.training.dropout import MaskedDropout, draw_masks, masks_of
from prognobench.training.job import Job
from prognobench.training.stack import ByRun, Stack
from prognobench.training.structure import structure


def classifiers(strategy, count=3, **options):
    import numpy as np

    backbone = load_backbone(get_entry("demo_vit"))
    method = get_strategy(strategy)
    given = method.resolve(options, "vit")
    side = backbone.entry.image_size
    images = torch.randint(0, 256, (8, 1, side, side), dtype=torch.uint8)
    rows = {"train": np.arange(8), "val": np.arange(0), "test": np.arange(1)}
    made = []
    for number in range(count):
        job = Job(f"run {number}", images, np.arange(8) % 2, np.arange(8), rows, 0.5)
        model = build_classifier(job, backbone, method, given)
        with torch.no_grad():
            torch.manual_seed(number)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
        made.append(model)
    return made, images


def stepped(models, images, low=False, compiled=False):
    """Logits and gradients of a step of each model alone and of their stack."""
    own = structure(models[0], images[:1])
    drawn = [draw_masks(model, own.shapes, 4) for model in models]
    inputs = torch.stack([images[number : number + 4] for number in range(len(models))])
    alone = []
    for model, masks, given in zip(models, drawn, inputs, strict=True):
        for name, mask in masks_of(masks, own.shapes, 4).items():
            model.get_submodule(name).mask = mask
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            logits = model.train()(given)
        logits.square().sum().backward()
        trained = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
        alone.append((logits.detach(), trained))
        model.zero_grad()
    stack = Stack(models, own.batched, low=low, compiled=compiled)
    masks = masks_of(torch.stack(drawn), own.shapes, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        logits = stack.train_logits(inputs, masks)
    logits.square().sum().backward()
    return stack, alone, logits.detach()


@pytest.mark.parametrize("strategy", ["lora", "bitfit", "vera", "ia3", "peft DORA"])
@pytest.mark.parametrize("low", [False, True])
def test_a_step_of_a_stack_is_that_of_each_model(strategy, low):
    models, images = classifiers(strategy)
    stack, alone, together = stepped(models, images, low)
    for number, (logits, gradients) in enumerate(alone):
        torch.testing.assert_close(together[number], logits, atol=2e-2 if low else 1e-4, rtol=1e-3)
        expected = torch.cat([gradient.flatten() for gradient in gradients.values()])
        found = torch.cat([stack.trained[name].grad[number].flatten() for name in gradients])
        assert (found - expected).norm() / expected.norm() < (0.05 if low else 1e-3)


@pytest.mark.slow  # compiles
def test_a_compiled_step_is_that_of_each_model():
    models, images = classifiers("lora")
    stack, alone, together = stepped(models, images, compiled=True)
    for number, (logits, gradients) in enumerate(alone):
        torch.testing.assert_close(together[number], logits, atol=1e-4, rtol=1e-3)
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                stack.trained[name].grad[number], gradient, atol=1e-4, rtol=1e-3
            )


def by_run(stack):
    return {
        name: own for name, own in stack._stepping.model.named_modules() if isinstance(own, ByRun)
    }


def test_only_what_differs_is_computed_by_run():
    models, images = classifiers("lora", target_modules=["query", "value"])
    own = structure(models[0], images[:1])
    places = by_run(Stack(models, own.batched))
    adapted = {name for name, module in models[0].named_modules() if hasattr(module, "lora_A")}
    assert len(adapted) == 12
    assert set(places) == adapted | {"head"}
    kept = {id(p) for p in Stack(models, own.batched)._judging.model.parameters()}
    frozen = {id(p) for p in models[0].parameters() if not p.requires_grad}
    assert frozen <= kept  # one memory, however many runs and copies


def test_frozen_weights_are_kept_in_bfloat16_for_steps_and_judged_in_float32():
    models, images = classifiers("bitfit")
    own = structure(models[0], images[:1])
    stack = Stack(models, own.batched, low=True)
    kinds = {p.dtype for p in stack._stepping.model.parameters()}
    assert kinds == {torch.bfloat16, torch.float32}
    assert {p.dtype for p in stack._judging.model.parameters()} == {torch.float32}
    logits = stack.logits(images[:4].expand(3, -1, -1, -1, -1))
    for number, model in enumerate(models):
        torch.testing.assert_close(logits[number], model.eval()(images[:4]), atol=1e-5, rtol=1e-4)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, inputs):
        return self.head(nn.functional.dropout(inputs, 0.5, self.training)).squeeze(1)


def test_a_model_that_draws_from_the_global_stream_is_not_stacked():
    stack = Stack([Noisy(), Noisy()])
    with pytest.raises(RuntimeError, match="global stream"):
        stack.train_logits(torch.randn(2, 4, 3), {})


class Body(nn.Module):
    """Has a layer that sees a table and not the images, as relative positions do."""

    def __init__(self):
        super().__init__()
        self.position = nn.Linear(2, 3)

    def forward(self, inputs):
        return inputs + self.position(torch.ones(1, 2))


def test_a_layer_that_does_not_see_the_images_is_computed_with_what_is_around_it():
    torch.manual_seed(0)
    models = [nn.Sequential(Body(), nn.Linear(3, 1), nn.Flatten(0)) for _ in range(2)]
    inputs = torch.randn(2, 4, 3)
    own = structure(models[0], inputs[0, :1])
    assert own.batched.keys() == {"", "0", "1", "2"}
    stack = Stack(models, own.batched)
    assert by_run(stack).keys() == {"0", "1"}
    logits = stack.logits(inputs)
    for number, model in enumerate(models):
        torch.testing.assert_close(logits[number], model(inputs[number]))


def eva():
    options = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    return timm.create_model("eva02_tiny_patch14_224", **options, ref_feat_shape=(2, 2))


def swin():
    options = {"img_size": 32, "window_size": 4, "embed_dim": 24, "drop_path_rate": 0.0}
    return timm.create_model("swinv2_tiny_window8_256", **options, depths=(2,), num_heads=(2,))


@pytest.mark.parametrize("network", [eva, swin])
@pytest.mark.parametrize("runs", [3, 4])  # 4 patches and 4 windows: as many as runs, or not
def test_positions_and_masks_of_attention_are_the_same_for_all_runs(network, runs):
    body = network().requires_grad_(False)
    body.reset_classifier(1)
    torch.manual_seed(0)
    for tensor in body.parameters():  # so that attention is not all alike, and not left out
        nn.init.normal_(tensor, std=tensor.shape[-1] ** -0.5 if tensor.ndim > 1 else 1.0)
    models = [nn.Sequential(copy.deepcopy(body), nn.Flatten(0)) for _ in range(runs)]
    for name, parameter in (named for own in models for named in own.named_parameters()):
        if name.endswith("bias"):
            nn.init.normal_(parameter.requires_grad_(), std=0.5)
    inputs = torch.randn(runs, 2, 3, 32, 32)
    own = structure(models[0], inputs[0, :1])
    stack = Stack(models, own.batched)
    assert any(name.endswith("attn") for name in by_run(stack))
    logits = stack.logits(inputs)
    for number, model in enumerate(models):
        expected = model.eval()(inputs[number])
        torch.testing.assert_close(logits[number], expected, atol=1e-4, rtol=1e-3)


def test_a_structure_says_what_dropouts_are_given():
    model = nn.Sequential(
        nn.Linear(3, 4), MaskedDropout(0.5, torch.Generator()), nn.Linear(4, 1), nn.Flatten(0)
    )
    own = structure(model, torch.randn(1, 3))
    assert own.shapes == {"1": (1, 4)}
    assert own.batched.keys() == {"", "0", "1", "2", "3"}
    drawn = draw_masks(model, own.shapes, 5)
    assert masks_of(drawn, own.shapes, 5)["1"].shape == (5, 4)
