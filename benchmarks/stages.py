"""Where the time of training goes: by stage and by kind of operator, on one thread.

    python benchmarks/stages.py --save benchmarks/results/stages.json

One run at a time, images of noise; what counts is the processor's time of the one thread, so that
other processes disturb little. Stages are timed around the engine's own functions, operators by
torch's profiler in a training of its own. The share of the ceiling is what the steps compute
(forward passes by the counted operations of the backbone) over what a product of matrices reaches
on the same thread just before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from cells import random_weights
from growth import job, noise
from measuring import machine, matrix_speed, write
from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.backbones.counting import count_cost
from prognobench.backbones.entry import BackboneEntry
from prognobench.spec import BackboneSpec
from prognobench.strategies.strategy import get_strategy
from prognobench.training import engine, passes
from prognobench.training.classifier import Classifier
from prognobench.training.pace import Steady
from prognobench.training.recipe import Recipe

STEPS = 6
PASSES = {"lora": 2, "bitfit": 2, "full": 3}
"""Forward passes that a step costs: the gradients of inputs and of weights are one each."""

KINDS = {
    "optimiser": ("adamw", "foreach", "vector_norm"),
    "matrix products": ("mm", "bmm", "linear"),
    "attention": ("scaled_dot_product", "softmax"),
    "convolutions": ("conv",),
    "normalisation": ("norm",),
    "copies": ("copy_", "cat", "fill_", "zero_", "empty", "index"),
}
"""Kinds of operators by parts of their names, the first that fits; all others are elementwise."""


def cases(folder: Path) -> list[tuple[str, BackboneEntry, str, int]]:
    """Return what is profiled: name, backbone, strategy, images a step."""

    def outside(model: str) -> BackboneEntry:
        weights = random_weights(model.partition(".")[0], folder)
        return BackboneSpec.model_validate({"name": f"timm:{model}", "weights": weights}).entry()

    return [
        ("demo_vit, LoRA, batches of 16", get_entry("demo_vit"), "lora", 16),
        (
            "EfficientNet-Lite0 at 64 pixels, full, batches of 16",
            get_entry("efficientnet_lite0", 64),
            "full",
            16,
        ),
        (
            "ViT-S at 224 pixels, LoRA, batches of 8",
            outside("vit_small_patch16_224.augreg_in21k"),
            "lora",
            8,
        ),
        (
            "ResNet18 at 224 pixels, full, batches of 16",
            outside("resnet18.a1_in1k"),
            "full",
            16,
        ),
    ]


def train(backbone: Backbone, strategy: str, batch: int, steps: int) -> None:
    """Train one run without a validation part, and predict one image."""
    images = noise(2 * batch, backbone.entry.image_size, torch.device("cpu"))
    method = get_strategy(strategy)
    options = method.resolve({}, backbone.entry.kind)
    recipe = Recipe(few_shot_steps=steps, batch_size=batch, precision="float32")
    own = job(images, 0, len(images) - 1)
    runs = engine.train_together([(own, options)], backbone, method, recipe, pace=Steady())
    for _, ended in runs:
        if isinstance(ended, Exception):
            raise ended


@contextlib.contextmanager
def timed(spent: dict[str, float], places: Sequence[tuple[Any, str, str]]) -> Iterator[None]:
    """Add the time spent in functions to a stage each; what one calls is not counted twice."""
    inside: list[float] = []

    def wrapped(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            inside.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                whole = time.process_time() - began
                spent[stage] += whole - inside.pop()
                if inside:
                    inside[-1] += whole

        return call

    with contextlib.ExitStack() as stack:
        for owner, name, stage in places:
            changed = wrapped(getattr(owner, name), stage)
            stack.enter_context(mock.patch.object(owner, name, changed))
        yield


def by_stage(backbone: Backbone, strategy: str, batch: int, steps: int) -> dict[str, float]:
    """Return the seconds of each stage of a training."""
    spent: dict[str, float] = defaultdict(float)
    places = [
        (engine, "build_classifier", "making the model"),
        (passes, "step_inputs", "choosing and augmenting images"),
        (passes, "draw_masks", "drawing masks of dropout"),
        (Classifier, "forward", "forward pass"),
        (passes.Passes, "_backward", "loss and backward pass"),
        (passes.Passes, "_step", "clipping, optimiser, bookkeeping"),
        (engine, "finish", "predicting"),
    ]
    with timed(spent, places):
        began = time.process_time()
        train(backbone, strategy, batch, steps)
        whole = time.process_time() - began
    return {**spent, "the rest": whole - sum(spent.values())}


def kind_of(operator: str) -> str:
    """Return the kind of an operator by its name."""
    for kind, parts in KINDS.items():
        if any(part in operator.lower() for part in parts):
            return kind
    return "elementwise and others"


def by_operator(backbone: Backbone, strategy: str, batch: int, steps: int) -> dict[str, float]:
    """Return the share of the processor's time in each kind of operator."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        train(backbone, strategy, batch, steps)
    spent: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        spent[kind_of(event.key)] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {kind: value / whole for kind, value in sorted(spent.items())}


def measure(known: Sequence[tuple[str, BackboneEntry, str, int]], steps: int) -> dict[str, Any]:
    """Return stages, operators and the share of the ceiling of each case."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    try:
        for name, entry, strategy, batch in known:
            backbone = load_backbone(entry)
            train(backbone, strategy, batch, 1)  # what is done once only is not timed
            ceiling = 1e9 * matrix_speed("float32", 1)
            stages = by_stage(backbone, strategy, batch, steps)
            apart = ("making the model", "predicting", "the rest")
            stepping = sum(value for stage, value in stages.items() if stage not in apart)
            done = steps * batch * PASSES[strategy] * count_cost(entry).flops
            found[name] = {
                "seconds": {stage: round(value, 4) for stage, value in stages.items()},
                "milliseconds_an_image": 1000 * stepping / (steps * batch),
                "operators": by_operator(backbone, strategy, batch, steps),
                "gflops": done / stepping / 1e9,
                "ceiling_gflops": ceiling / 1e9,
                "share_of_ceiling": done / stepping / ceiling,
            }
    finally:
        torch.set_num_threads(threads)
    return found


def table(found: dict[str, Any]) -> str:
    """Return the shares of stages and operators as a Markdown table."""
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]

    def row(label: str, values: Sequence[str]) -> None:
        lines.append(f"| {label} | " + " | ".join(values) + " |")

    own = list(found.values())
    whole = [sum(case["seconds"].values()) for case in own]
    for stage in dict.fromkeys(stage for case in own for stage in case["seconds"]):
        shares = np.array([case["seconds"].get(stage, 0.0) for case in own]) / whole
        row(stage, [f"{share:.0%}" for share in shares])
    for kind in dict.fromkeys(kind for case in own for kind in case["operators"]):
        row(f"*{kind}*", [f"{case['operators'].get(kind, 0.0):.0%}" for case in own])
    row("ms an image", [f"{case['milliseconds_an_image']:.1f}" for case in own])
    row("GFLOP/s, of the ceiling", [f"{c['gflops']:.0f}, {c['share_of_ceiling']:.0%}" for c in own])
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--save", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--json", action="store_true", help="print the figures, no table")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(cases(Path(folder)), given.steps)
    found = {"machine": machine(), "cases": measured}
    if given.save:
        write(given.save, found)
    print(json.dumps(found, indent=2) if given.json else table(measured))


if __name__ == "__main__":
    main()
