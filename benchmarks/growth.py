"""How the cost of training grows: with runs, with images, with the size of the backbone.

    python benchmarks/growth.py --save benchmarks/results/growth.json --plot docs/growth.svg

In one process and on one device, with images of noise, since what they show does not matter here.
For each of the three, the exponent is the slope of log seconds over log size by least squares: 1
is growth in proportion, less is better. Where it is above 1, the cost of one unit rises.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cells import random_weights
from measuring import machine, write
from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.backbones.counting import count_cost
from prognobench.execution.environment import choose_device
from prognobench.spec import BackboneSpec
from prognobench.strategies.strategy import get_strategy
from prognobench.training.engine import train_together
from prognobench.training.features import extract_features
from prognobench.training.job import Job
from prognobench.training.pace import Pace, Steady
from prognobench.training.probe import solve_probes
from prognobench.training.recipe import Recipe

RUNS = (1, 2, 4, 8, 16, 32, 64)
IMAGES = (200, 500, 1000, 2000, 5000, 10_000, 20_000)
SIZES = {
    "ViT-Ti": "vit_tiny_patch16_224",
    "ViT-S": "vit_small_patch16_224",
    "ViT-B": "vit_base_patch16_224",
}
PROBED = 200
"""Images of the probes."""

EPOCH_BATCH = 32

Point = dict[str, Any]


def noise(count: int, side: int, device: torch.device) -> torch.Tensor:
    """Return images of noise, uint8 [count, 1, side, side]."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, side, side), generator=random, dtype=torch.uint8)
    return pixels.to(device)


def job(images: torch.Tensor, number: int, trained: int) -> Job:
    """Return a run without a validation part, a third of whose training images are events."""
    targets = (np.arange(len(images)) % 3 == 0).astype(np.int64)
    rows = np.random.default_rng(number).permutation(len(images)).astype(np.int64)
    parts = {"train": rows[:trained], "val": rows[:0], "test": rows[trained : trained + 1]}
    return Job(f"run {number}", images, targets, np.arange(len(images)), parts, 1 / 3)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return how long work takes, until the device has ended it."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def train(
    backbone: Backbone,
    strategy: str,
    images: torch.Tensor,
    *,
    steps: int,
    runs: int = 1,
    batch: int = 8,
    pace: Pace | Steady | None = None,
) -> None:
    """Train runs on all images but one, as many in a pass as pays or as the pace has it."""
    method = get_strategy(strategy)
    options = method.resolve({}, backbone.entry.kind)
    recipe = Recipe(few_shot_steps=steps, batch_size=batch)
    jobs = [(job(images, number, len(images) - 1), options) for number in range(runs)]
    for _, ended in train_together(jobs, backbone, method, recipe, pace=pace):
        if isinstance(ended, Exception):
            raise ended


def by_runs(device: torch.device, runs: Sequence[int], steps: int) -> dict[str, list[Point]]:
    """Time some numbers of runs of BitFit on the small embedded transformer, and of probes."""
    backbone = load_backbone(get_entry("demo_vit")).to(device)
    images = noise(PROBED, backbone.entry.image_size, device)
    features = extract_features(backbone, images)
    once = images[:16]
    # What is done once only is not timed.
    train(backbone, "bitfit", once, steps=2)
    solve_probes([job(images, 0, 64)], features, (1.0,), 1.0, Recipe())
    found: dict[str, list[Point]] = {"BitFit, batches of 8": [], "linear probes": []}
    for count in runs:
        trained = seconds_of(
            lambda n=count: train(backbone, "bitfit", once, steps=steps, runs=n), device
        )
        jobs = [job(images, number, 64) for number in range(count)]
        solved = seconds_of(lambda j=jobs: solve_probes(j, features, (1.0,), 1.0, Recipe()), device)
        found["BitFit, batches of 8"].append({"size": count, "seconds": trained})
        found["linear probes"].append({"size": count, "seconds": solved})
    return found


def by_images(device: torch.device, counts: Sequence[int]) -> dict[str, list[Point]]:
    """Time one pass over some numbers of images: for features, and an epoch of BitFit."""
    backbone = load_backbone(get_entry("demo_vit")).to(device)
    found: dict[str, list[Point]] = {"features": [], "an epoch of BitFit": []}
    for count in counts:
        images = noise(count, backbone.entry.image_size, device)
        embedded = seconds_of(lambda own=images: extract_features(backbone, own), device)
        steps = -(-count // EPOCH_BATCH)
        trained = seconds_of(
            lambda own=images, n=steps: train(backbone, "bitfit", own, steps=n, batch=EPOCH_BATCH),
            device,
        )
        found["features"].append({"size": count, "seconds": embedded})
        found["an epoch of BitFit"].append({"size": count, "seconds": trained})
    return found


def by_backbone(
    device: torch.device, names: dict[str, str], steps: int, folder: Path
) -> dict[str, list[Point]]:
    """Time steps of LoRA, batches of 8, on transformers; their size is in operations an image."""
    points: list[Point] = []
    for name, architecture in names.items():
        spec = {
            "name": f"timm:{architecture}.augreg_in21k_ft_in1k",
            "weights": random_weights(architecture, folder),
        }
        entry = BackboneSpec.model_validate(spec).entry()
        backbone = load_backbone(entry).to(device)
        images = noise(16, entry.image_size, device)
        train(backbone, "lora", images, steps=1)
        took = seconds_of(
            lambda own=(backbone, images): train(own[0], "lora", own[1], steps=steps), device
        )
        size = count_cost(entry).flops
        points.append({"size": size, "seconds": took, "name": name})
    return {"LoRA, batches of 8": points}


def exponent(points: Sequence[Point]) -> float | None:
    """Return the slope of log seconds over log size, by least squares; None for one point."""
    if len(points) < 2:
        return None
    size, seconds = (np.log([point[key] for point in points]) for key in ("size", "seconds"))
    return float(np.polyfit(size, seconds, 1)[0])


def with_exponents(axes: dict[str, dict[str, list[Point]]]) -> dict[str, Any]:
    return {
        axis: {
            name: {
                "points": points,
                "exponent": exponent(points),
                # From the smallest to the largest, how much one unit's cost is multiplied by.
                "unit_cost_ratio": (points[-1]["seconds"] / points[-1]["size"])
                / (points[0]["seconds"] / points[0]["size"]),
            }
            for name, points in curves.items()
        }
        for axis, curves in axes.items()
    }


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw seconds over size on logarithmic axes, each curve beside growth in proportion."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    labels = {"runs": "runs", "images": "images", "backbone": "billions of operations an image"}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 9}):
        figure, places = pyplot.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
        for place, (axis, curves) in zip(places, found["axes"].items(), strict=True):
            for name, curve in curves.items():
                size = np.array([point["size"] for point in curve["points"]], dtype=float)
                seconds = np.array([point["seconds"] for point in curve["points"]])
                slope = curve["exponent"]
                label = name if slope is None else f"{name}: exponent {slope:.2f}"
                (line,) = place.plot(size, seconds, "o-", label=label, markersize=4)
                proportional = seconds[0] * size / size[0]
                place.plot(size, proportional, ":", color=line.get_color(), linewidth=1)
            place.set(xscale="log", yscale="log", xlabel=labels[axis], ylabel="seconds")
            named = {
                p["size"]: p["name"] for c in curves.values() for p in c["points"] if "name" in p
            }
            if named:
                ticks = [f"{name}\n{size / 1e9:.1f}" for size, name in named.items()]
                place.set_xticks(list(named), ticks)
            for ruler in (place.xaxis, place.yaxis):
                ruler.set_minor_formatter(NullFormatter())
            place.legend(frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def measure(
    device: torch.device,
    folder: Path,
    *,
    runs: Sequence[int] = RUNS,
    images: Sequence[int] = IMAGES,
    sizes: dict[str, str] = SIZES,
    steps: int = 10,
) -> dict[str, Any]:
    """Return all three curves with their exponents; weights and caches are put in ``folder``."""
    os.environ["PROGNOBENCH_CACHE"] = str(folder / "cache")
    axes = {
        "runs": by_runs(device, runs, steps),
        "images": by_images(device, images),
        "backbone": by_backbone(device, sizes, max(2, steps // 3), folder),
    }
    return {"device": device.type, "axes": with_exponents(axes)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--save", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--plot", type=Path, help="a file for the plot, .svg")
    given = parser.parse_args(arguments)
    smaller: dict[str, Any] = {}
    if given.quick:
        two = dict(list(SIZES.items())[:2])
        smaller = {"runs": RUNS[:5], "images": IMAGES[:4], "sizes": two, "steps": 6}
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(choose_device(given.device), Path(folder), **smaller)
    found = {"machine": machine(), "quick": given.quick, **measured}
    if given.save:
        write(given.save, found)
    if given.plot:
        plot(found, given.plot)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
