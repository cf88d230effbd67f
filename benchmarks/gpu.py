"""Adapters on a GPU: throughput beside peer A, share of the ceiling, the cost of the paper's grid.

    python benchmarks/gpu.py --save benchmarks/results/gpu.json
    python benchmarks/gpu.py --paper benchmarks/ruffini2025.yaml tasks.0.cohort.root=FOLDER ...

For ViT-S and ViT-B: LoRA at batches of 32, with 8 to 32 runs, images of noise on the device, in
the precision that the device computes best in. The engine first measures how many runs go in a
pass; what is timed is the training after that, the making of the models included. Peer A
(``peers/trainer.py``) trains one run at a time from image files; of its time only its own
``train_runtime`` counts, so that its start does not.

The ceiling is the speed of a large product of matrices in bfloat16, measured on the same device.
With ``--paper``, the operations of a benchmark's plan are divided by the measured speed of each
kind of cell, which gives device-hours; a recipe that stops early takes less than its epochs allow,
so they are given for several numbers of epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from cells import exported, random_weights
from growth import noise, seconds_of, train
from measuring import machine, matrix_speed, measured, write
from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.counting import count_cost
from prognobench.backbones.entry import BackboneEntry
from prognobench.execution.environment import choose_device
from prognobench.execution.operations import operations
from prognobench.execution.prepare import Prepared, prepare
from prognobench.plan import Run
from prognobench.spec import BackboneSpec, load_spec
from prognobench.strategies.linear import LinearOptions
from prognobench.training.features import extract_features
from prognobench.training.recipe import Recipe

HERE = Path(__file__).parent
GOALS = {"times_peer": 4.0, "share_of_ceiling": 0.4, "paper_hours": 60.0}
RUNS = (8, 16, 32)
BATCH = 32
EPOCHS = (150, 300, 1000)
"""Epochs at which the paper's runs may stop: its warm-up and patience alone make 150."""

PASSES = {"linear": 1, "adapter": 2, "full": 3}
"""Forward passes that an image costs: the gradients of inputs and of weights are one each."""

MODELS = {
    "ViT-S": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "ViT-B": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "ResNet50": "resnet50.a1_in1k",
}


@dataclass(frozen=True)
class Size:
    """How much is done; the default is the whole measurement."""

    runs: tuple[int, ...] = RUNS
    batch: int = BATCH
    steps: int = 40
    images: int = 512
    ceiling_side: int = 8192


def entries(folder: Path) -> dict[str, BackboneEntry]:
    """Return the backbones, with seeded random weights in ``folder``."""
    found = {}
    for name, model in MODELS.items():
        weights = random_weights(model.partition(".")[0], folder)
        spec = {"name": f"timm:{model}", "weights": weights}
        found[name] = BackboneSpec.model_validate(spec).entry()
    return found


def ceiling(device: torch.device, size: Size) -> float:
    """Return the operations a second of a large product of matrices in bfloat16."""
    return 1e9 * matrix_speed("bfloat16", torch.get_num_threads(), size.ceiling_side, device=device)


def engine_cell(
    entry: BackboneEntry, strategy: str, runs: int, device: torch.device, size: Size
) -> dict[str, float]:
    """Return what the engine reaches on one cell."""
    backbone = load_backbone(entry).to(device)
    images = noise(size.images, entry.image_size, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if strategy == "linear":
        extract_features(backbone, images[: size.batch])
        seconds = seconds_of(lambda: extract_features(backbone, images), device)
        passed = len(images)
    else:
        # The first time it finds out how many runs go in a pass; that is remembered.
        train(backbone, strategy, images, steps=size.steps, runs=runs, batch=size.batch)
        seconds = seconds_of(
            lambda: train(
                backbone, strategy, images, steps=size.steps, runs=runs, batch=size.batch
            ),
            device,
        )
        passed = runs * size.steps * size.batch
    kind = strategy if strategy in PASSES else "adapter"
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    speed = passed / seconds
    return {
        "images_per_second": speed,
        "operations_per_second": speed * PASSES[kind] * count_cost(entry).flops,
        "peak_device_mib": peak / 2**20,
    }


def peer_cell(entry: BackboneEntry, precision: str, folder: Path, size: Size) -> dict[str, float]:
    """Return what peer A reaches in one run of LoRA at the same batches, from image files."""
    files = []
    for number, pixels in enumerate(noise(2 * size.batch, entry.image_size, torch.device("cpu"))):
        path = folder / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(path)
        files.append([str(path), int(number % 3 == 0)])
    backbone = load_backbone(entry)
    names = [f"network.{name}" for name in backbone.modules_of("attention_in")]
    recipe = Recipe(few_shot_steps=size.steps, batch_size=size.batch)
    job = {
        "run": "a run",
        "seed": 1,
        "backbone": exported(entry, folder),
        "strategy": {
            "name": "lora",
            "lr": 5e-4,
            "weight_decay": 0.0,
            "r": 8,
            "lora_alpha": 16,
            "lora_dropout": 0.1,
            "target_modules": names,
        },
        "recipe": recipe.model_dump(mode="json"),
        "images": {"train": files, "val": [], "test": files[:4]},
    }
    given, out = folder / f"peer-{precision}.json", folder / f"peer-{precision}-out.json"
    write(given, {"precision": precision, "runs": [job]})
    command = [sys.executable, str(HERE / "peers" / "trainer.py"), str(given), str(out)]
    measured(command, {}, folder / "peer.log")
    (result,) = json.loads(out.read_text())["runs"]
    return {"images_per_second": result["steps"] * size.batch / result["train_seconds"]}


def cell_kind(run: Run) -> tuple[str, str]:
    """Return what a run's speed depends on: the kind of backbone, and how much it trains."""
    if isinstance(run.options, LinearOptions):
        return run.entry.kind, "linear"
    return run.entry.kind, "full" if run.method.name == "full" else "adapter"


def paper_hours(
    made: Prepared, speeds: dict[tuple[str, str], float], epochs: Sequence[int] = EPOCHS
) -> dict[str, Any]:
    """Return the device-hours of a plan, from the speed of each kind of cell.

    Args:
        made: The benchmark.
        speeds: Operations a second by :func:`cell_kind`.
        epochs: Numbers of epochs after which runs are taken to stop.
    """
    runs: dict[tuple[str, str, bool, int], set[str]] = defaultdict(set)
    for run in made.runs:
        if run.state == "pending":
            validated = "val" in run.split.parts.values()
            runs[(*cell_kind(run), validated, run.recipe.epochs)].add(run.id)
    totals = dict.fromkeys(epochs, 0.0)
    parts = []
    for (backbone, kind, validated, most), ids in sorted(runs.items()):
        hours = operations(made, ids) / speeds[backbone, kind] / 3600
        stops = validated and kind != "linear"
        for count in epochs:
            totals[count] += hours * (min(count, most) / most if stops else 1)
        parts.append(
            {
                "backbone": backbone,
                "trains": kind,
                "stops_early": stops,
                "runs": len(ids),
                "hours_at_most": hours,
            }
        )
    return {"hours_by_epochs": {str(count): value for count, value in totals.items()}, "of": parts}


def measure(
    device: torch.device, folder: Path, known: dict[str, BackboneEntry], size: Size
) -> dict[str, Any]:
    """Return the cells with their throughput, beside the peer's and the ceiling's."""
    os.environ["PROGNOBENCH_CACHE"] = str(folder / "cache")
    most = ceiling(device, size)
    found: dict[str, Any] = {"ceiling": most, "cells": {}, "speeds": []}
    for name, entry in known.items():
        for kind in PASSES:
            strategy = "lora" if kind == "adapter" else kind
            counts = size.runs if kind == "adapter" and entry.kind == "vit" else (1,)
            for runs in counts:
                cell: dict[str, Any] = engine_cell(entry, strategy, runs, device, size)
                cell["share_of_ceiling"] = cell["operations_per_second"] / most
                found["cells"][f"{name} {strategy} {runs}"] = cell
            found["speeds"].append(
                {"backbone": entry.kind, "trains": kind, "speed": cell["operations_per_second"]}
            )
        if entry.kind != "vit":
            continue
        for precision in ("float32", "bfloat16"):
            own = folder / f"{name}-{precision}"
            own.mkdir()
            peer = peer_cell(entry, precision, own, size)
            found["cells"][f"{name} peer A {precision}"] = peer
            for runs in size.runs:
                cell = found["cells"][f"{name} lora {runs}"]
                times = cell["images_per_second"] / peer["images_per_second"]
                cell[f"times_peer_{precision}"] = times
    return found


def slowest(speeds: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return the lowest speed measured of each kind of cell, so that nothing is promised."""
    found: dict[tuple[str, str], float] = {}
    for one in speeds:
        key = one["backbone"], one["trains"]
        found[key] = min(one["speed"], found.get(key, one["speed"]))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", nargs="+", help="a benchmark file, and KEY=VALUE changes of it")
    parser.add_argument("--save", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    given = parser.parse_args(arguments)
    try:
        device = choose_device(given.device)
    except ValueError as error:
        raise SystemExit(f"{error}, and this measures one") from None
    with tempfile.TemporaryDirectory() as folder:
        found = measure(device, Path(folder), entries(Path(folder)), Size())
    found |= {"machine": machine(), "goals": GOALS}
    if given.paper:
        file, *changes = given.paper
        made = prepare(load_spec(Path(file), changes))
        found["paper"] = paper_hours(made, slowest(found["speeds"]))
    if given.save:
        write(given.save, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
