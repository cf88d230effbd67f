"""Adapters on a GPU: throughput beside peer A, share of the ceiling, the cost of the paper's grid.

    python benchmarks/gpu.py --save benchmarks/results/gpu.json
    python benchmarks/gpu.py --from FIGURES.json --paper benchmarks/ruffini2025.yaml KEY=VALUE ...

For ViT-S and ViT-B: LoRA at batches of 32, with 8 to 32 runs in a pass, images of noise on the
device, in the precision that the device computes best in, with and without compilation. What counts
is the median time of a step, to the end of its work on the device; making the models and compiling
are given beside it, since a training has thousands of steps. Peer A (``peers/trainer.py``) trains
one run at a time from image files; of its time only its own ``train_runtime`` counts.

The ceiling is the speed of a large product of matrices in bfloat16, measured on the same device.
With ``--paper``, the operations of a benchmark's plan are divided by the measured speed of each
kind of cell on the nearest smaller backbone, which gives device-hours: training by that of
training, and predictions, which compute in float32, by that of features. A recipe that stops early
takes less than its epochs allow, so they are given for several numbers of epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from cells import exported, random_weights
from growth import noise, seconds_of, train
from measuring import machine, matrix_speed, measured, write
from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.counting import count_cost
from prognobench.backbones.entry import BackboneEntry
from prognobench.execution.environment import choose_device
from prognobench.execution.operations import operations
from prognobench.execution.prepare import Prepared, prepare
from prognobench.plan import Run
from prognobench.spec import BackboneSpec, load_spec
from prognobench.strategies.linear import LinearOptions
from prognobench.training.features import extract_features
from prognobench.training.pace import Steady
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
    steps: int = 16
    peer_steps: int = 30
    images: int = 512
    ceiling_side: int = 8192


class Timed(Steady):
    """Keeps how long each step took."""

    def __init__(self, runs: int, *, compiled: bool, fused_attention: bool) -> None:
        super().__init__(runs, compiled=compiled, fused_attention=fused_attention)
        self.seconds: list[float] = []

    def took(self, seconds: float, left: int, steps_left: int) -> None:  # noqa: ARG002
        """Keep it."""
        self.seconds.append(seconds)

    def failed(self) -> bool:
        """Measure nothing else instead."""
        raise RuntimeError(f"steps of {self.manner} failed")


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


def features_cell(
    entry: BackboneEntry, backbone: Backbone, images: torch.Tensor, size: Size
) -> dict[str, Any]:
    """Return how fast features are computed, and predictions, in float32."""
    extract_features(backbone, images[: size.batch])
    seconds = seconds_of(lambda: extract_features(backbone, images), images.device)
    return speed(entry, "linear", len(images) / seconds)


def training_cell(
    entry: BackboneEntry,
    backbone: Backbone,
    strategy: str,
    images: torch.Tensor,
    size: Size,
    *,
    runs: int = 1,
    compiled: bool = False,
) -> dict[str, Any]:
    """Return how fast runs are trained in one pass."""
    device = images.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    pace = Timed(runs, compiled=compiled, fused_attention=device.type == "cuda")
    whole = seconds_of(
        lambda: train(
            backbone,
            strategy,
            images,
            steps=size.steps,
            runs=runs,
            batch=size.batch,
            pace=pace,
        ),
        device,
    )
    warm = size.steps // 2
    step = statistics.median(pace.seconds[warm:])
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        **speed(entry, strategy, runs * size.batch / step),
        "step_seconds": step,
        "first_step_seconds": pace.seconds[0],
        "models_and_end_seconds_a_run": (whole - sum(pace.seconds)) / runs,
        "peak_device_mib": round(peak / 2**20),
    }


def speed(entry: BackboneEntry, strategy: str, images_per_second: float) -> dict[str, Any]:
    kind = strategy if strategy in PASSES else "adapter"
    operations_per_second = images_per_second * PASSES[kind] * count_cost(entry).flops
    return {
        "images_per_second": images_per_second,
        "operations_per_second": operations_per_second,
    }


def peer_cells(
    known: dict[str, BackboneEntry], precision: str, folder: Path, size: Size
) -> dict[str, dict[str, float]]:
    """Return what peer A reaches in a run of LoRA of each backbone, from image files."""
    jobs = []
    for name, entry in known.items():
        files = []
        pixels = noise(2 * size.batch, entry.image_size, torch.device("cpu"))
        for number, own in enumerate(pixels):
            path = folder / f"images-{entry.image_size}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(own[0].numpy()).save(path)
            files.append([str(path), int(number % 3 == 0)])
        backbone = load_backbone(entry)
        recipe = Recipe(few_shot_steps=size.peer_steps, batch_size=size.batch)
        names = [f"network.{own}" for own in backbone.modules_of("attention_in")]
        strategy = {
            "name": "lora",
            "lr": 5e-4,
            "weight_decay": 0.0,
            "r": 8,
            "lora_alpha": 16,
            "lora_dropout": 0.1,
            "target_modules": names,
        }
        jobs.append(
            {
                "run": name,
                "seed": 1,
                "backbone": exported(entry, folder),
                "strategy": strategy,
                "recipe": recipe.model_dump(mode="json"),
                "images": {"train": files, "val": [], "test": files[:4]},
            }
        )
    given, out = folder / f"peer-{precision}.json", folder / f"peer-{precision}-out.json"
    write(given, {"precision": precision, "runs": jobs})
    command = [sys.executable, str(HERE / "peers" / "trainer.py"), str(given), str(out)]
    measured(command, {}, folder / "peer.log")
    return {
        own["run"]: {"images_per_second": own["steps"] * size.batch / own["train_seconds"]}
        for own in json.loads(out.read_text())["runs"]
    }


def trains(run: Run) -> str:
    """Return how much a run trains: nothing of the backbone, an adapter, or all of it."""
    if isinstance(run.options, LinearOptions):
        return "linear"
    return "full" if run.method.name == "full" else "adapter"


def speed_of(speeds: Sequence[Mapping[str, Any]], entry: BackboneEntry, kind: str) -> float:
    """Return the operations a second of a kind of cell on a backbone.

    That of the largest measured backbone of its family that is no larger than it, since larger
    ones have more to do in each operator; or else of the smallest.
    """
    own = [one for one in speeds if (one["backbone"], one["trains"]) == (entry.kind, kind)]
    own.sort(key=lambda one: one["flops"])
    smaller = [one for one in own if one["flops"] <= 1.05 * count_cost(entry).flops]
    return float((smaller[-1] if smaller else own[0])["speed"])


def paper_hours(
    made: Prepared, speeds: Sequence[Mapping[str, Any]], epochs: Sequence[int] = EPOCHS
) -> dict[str, Any]:
    """Return the device-hours of a plan, from the speeds of the cells that were measured.

    Args:
        made: The benchmark.
        speeds: Operations a second, with what was trained how.
        epochs: Numbers of epochs after which runs are taken to stop.
    """
    runs: dict[tuple[str, str, bool, int], list[Run]] = defaultdict(list)
    for run in made.runs:
        if run.state == "pending":
            validated = "val" in run.split.parts.values()
            runs[run.entry.name, trains(run), validated, run.recipe.epochs].append(run)
    totals = dict.fromkeys(epochs, 0.0)
    parts = []
    for (backbone, kind, validated, most), alike in sorted(runs.items()):
        own, entry = operations(made, {run.id for run in alike}), alike[0].entry
        exact, trained = speed_of(speeds, entry, "linear"), speed_of(speeds, entry, kind)
        # Forward alone in bfloat16 was not measured: it is no slower than either.
        seconds = own.predicting / exact + own.watching / max(exact, trained)
        hours = (seconds + own.training / trained) / 3600
        stops = validated and kind != "linear"
        for count in epochs:
            totals[count] += hours * (min(count, most) / most if stops else 1)
        parts.append(
            {
                "backbone": backbone,
                "trains": kind,
                "stops_early": stops,
                "runs": len(alike),
                "hours_at_most": hours,
            }
        )
    return {"hours_by_epochs": {str(count): value for count, value in totals.items()}, "of": parts}


def measure(
    device: torch.device,
    folder: Path,
    known: dict[str, BackboneEntry],
    size: Size,
    note: Callable[[dict[str, Any]], None] = lambda _found: None,
) -> dict[str, Any]:
    """Return the cells with their throughput, beside the peer's and the ceiling's.

    Args:
        device: Where it is measured.
        folder: For what is made on the way.
        known: The backbones by their names.
        size: How much is done.
        note: Called with what is known so far, after each cell.
    """
    os.environ["PROGNOBENCH_CACHE"] = str(folder / "cache")
    most = ceiling(device, size)
    found: dict[str, Any] = {"ceiling": most, "cells": {}, "speeds": []}

    def add(label: str, cell: dict[str, Any]) -> dict[str, Any]:
        cell["share_of_ceiling"] = cell["operations_per_second"] / most
        found["cells"][label] = cell
        note(found)
        return cell

    transformers = {name: entry for name, entry in known.items() if entry.kind == "vit"}
    for name, entry in known.items():
        backbone = load_backbone(entry).to(device)
        images = noise(size.images, entry.image_size, device)
        linear = add(f"{name} linear", features_cell(entry, backbone, images, size))
        manners = [(1, False)]
        if name in transformers:
            manners = [(1, False), (size.runs[0], False), *((runs, True) for runs in size.runs)]
        best = 0.0
        for runs, compiled in manners:
            label = f"{name} lora {runs}" + (" compiled" if compiled else "")
            cell = training_cell(
                entry, backbone, "lora", images, size, runs=runs, compiled=compiled
            )
            best = max(best, add(label, cell)["operations_per_second"])
        full = add(f"{name} full", training_cell(entry, backbone, "full", images, size))
        reached = {"linear": linear, "full": full}
        speeds = {kind: cell["operations_per_second"] for kind, cell in reached.items()}
        about = {"backbone": entry.kind, "flops": count_cost(entry).flops}
        for kind, own in {**speeds, "adapter": best}.items():
            found["speeds"].append({**about, "trains": kind, "speed": own})
    for precision in ("float32", "bfloat16"):
        for name, peer in peer_cells(transformers, precision, folder, size).items():
            found["cells"][f"{name} peer A {precision}"] = peer
            for label, cell in found["cells"].items():
                if label.startswith(f"{name} lora"):
                    times = cell["images_per_second"] / peer["images_per_second"]
                    cell[f"times_peer_{precision}"] = times
        note(found)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", nargs="+", help="a benchmark file, and KEY=VALUE changes of it")
    parser.add_argument("--save", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--from", dest="known", type=Path, help="figures measured before, instead")
    given = parser.parse_args(arguments)
    if given.known:
        found = json.loads(given.known.read_text())
    else:
        try:
            device = choose_device(given.device)
        except ValueError as error:
            raise SystemExit(f"{error}, and this measures one") from None
        about = {"machine": machine(), "goals": GOALS}

        def note(found: dict[str, Any]) -> None:
            if given.save:
                write(given.save, {**found, **about})

        with tempfile.TemporaryDirectory() as folder:
            found = measure(device, Path(folder), entries(Path(folder)), Size(), note) | about
    if given.paper:
        file, *changes = given.paper
        made = prepare(load_spec(Path(file), changes))
        found["paper"] = paper_hours(made, found["speeds"])
    if given.save:
        write(given.save, found)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
