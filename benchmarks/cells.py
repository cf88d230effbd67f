"""What is compared: four sets of runs, as a spec for us and as jobs for the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
import torch
import yaml
from safetensors.torch import save_file

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.entry import BackboneEntry
from prognobench.cohorts.sources.synthetic import synthetic_cohort
from prognobench.execution.prepare import Prepared, prepare
from prognobench.plan import Run
from prognobench.spec import load_spec
from prognobench.strategies.lora import LoraOptions
from prognobench.training.engine import multiplies_bfloat16

PATIENTS = 200
COHORT_SEED = 0


@dataclass(frozen=True)
class Cell:
    """One comparison.

    Attributes:
        name: Its name.
        about: What it is, in words.
        spec: Our benchmark file, as plain data.
        timed: For each precision that the peer is timed in, how many of its runs of each kind
            (backbone, strategy, regime, shots); their mean stands for the others of that kind.
            The first is the peer's default.
    """

    name: str
    about: str
    spec: dict[str, Any]
    timed: dict[str, int]


def cells(folder: Path, *, quick: bool) -> list[Cell]:
    """Return the comparisons; images and weights that they need are made in ``folder``."""
    images = folder / "cohort"
    synthetic_cohort(PATIENTS, COHORT_SEED, images)
    cohort = {"source": "synthetic", "patients": PATIENTS, "seed": COHORT_SEED, "root": str(images)}
    demo = yaml.safe_load((files("prognobench.demo") / "demo.yaml").read_text())
    vit = {
        "name": "timm:vit_small_patch16_224.augreg_in21k",
        "weights": random_weights("vit_small", folder),
    }
    resnet = {"name": "timm:resnet18.a1_in1k", "weights": random_weights("resnet18", folder)}
    common = {"cohort": cohort, "endpoints": ["mortality"], "controls": []}
    recipe = {"few_shot_steps": 15, "batch_size": 16, "head_lr": 1e-2, "patience": 3}
    epochs = 1 if quick else 3

    def low(count: int) -> dict[str, int]:
        """Return how often the peer is timed in bfloat16."""
        if computes_bfloat16():
            return {"bfloat16": count}
        # Emulated, it takes several times as long as float32, and nobody would choose it.
        return {} if quick else {"bfloat16": 1}

    return [
        Cell("grid", "the demo grid", {**demo, **common}, timed={"float32": 1 if quick else 2}),
        Cell(
            "linear",
            "all linear probes of a ViT-S at 224 pixels: 5 folds x 20 episodes x 5 shot sizes",
            {
                "name": "linear",
                **common,
                "backbones": [vit],
                "strategies": ["linear"],
                "regimes": [{"name": "few_shot", "shots": [2, 4, 8, 16, 32], "episodes": 100}],
                "recipe": recipe,
            },
            timed={"float32": 1 if quick else 3},
        ),
        Cell(
            "adapters",
            "8 runs of LoRA on a ViT-S at 224 pixels, batches of 8",
            {
                "name": "adapters",
                **common,
                "backbones": [vit],
                # The layers that the peer's users name: query, key and value in one.
                "strategies": [{"name": "lora", "target_modules": ["attention_in"]}],
                "regimes": [{"name": "full_data", "folds": 4}],
                "seeds": [1, 2],
                "recipe": {**recipe, "epochs": epochs, "batch_size": 8},
            },
            timed={"float32": 2 if quick else 8, **low(2 if quick else 8)},
        ),
        Cell(
            "full",
            "4 runs of full fine-tuning of a ResNet18 at 224 pixels, batches of 16",
            {
                "name": "full",
                **common,
                "backbones": [resnet],
                "strategies": ["full"],
                "regimes": [{"name": "full_data", "folds": 4}],
                "recipe": {**recipe, "epochs": 2 * epochs},
            },
            timed={"float32": 2 if quick else 4, **low(2 if quick else 4)},
        ),
    ]


def computes_bfloat16() -> bool:
    """Return whether this machine's hardware multiplies matrices in bfloat16."""
    return multiplies_bfloat16(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def random_weights(name: str, folder: Path) -> str:
    """Return the path of seeded random weights: published ones may not be on this machine."""
    path = folder / f"{name}.safetensors"
    architecture = {"vit_small": "vit_small_patch16_224"}.get(name, name)
    if not path.is_file():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = timm.create_model(architecture, num_classes=0)
        save_file(network.state_dict(), path)
    return str(path)


def prepared(cell: Cell, folder: Path) -> tuple[Path, Prepared]:
    """Write a cell's spec and return its path, with the runs it makes."""
    path = folder / f"{cell.name}.yaml"
    path.write_text(yaml.safe_dump(cell.spec, sort_keys=False))
    return path, prepare(load_spec(path))


def kind(run: Run) -> tuple[Any, ...]:
    """Return what runs of equal cost have in common."""
    return run.backbone, run.strategy, run.split.regime, run.split.shots


def sampled(runs: Sequence[Run], count: int) -> list[Run]:
    """Return the runs that are timed: ``count`` of each kind, from different folds."""
    chosen = []
    for _, own in itertools.groupby(sorted(runs, key=lambda run: repr(kind(run))), kind):
        alike = list(own)
        chosen += alike[:: max(1, len(alike) // count)][:count]
    return chosen


def peer_job(run: Run, made: Prepared, folder: Path) -> dict[str, Any]:
    """Return a run as plain data: image files with labels, network, strategy, recipe."""
    task = next(own for own in made.tasks if own.name == run.task.name)
    root = next(own.cohort.root for own in made.cohorts if own.cohort.name == run.task.dataset)
    images: dict[str, list[list[Any]]] = {"train": [], "val": [], "test": []}
    for row in task.table.itertuples():
        part = run.split.parts.get(row.patient_id)
        if part:
            images[part].append([str(root / row.path), int(row.target)])
    return {
        "run": run.id,
        "seed": run.seed,
        "backbone": exported(run.entry, folder),
        "strategy": strategy_of(run),
        "recipe": run.recipe.model_dump(mode="json"),
        "images": images,
    }


def exported(entry: BackboneEntry, folder: Path) -> dict[str, Any]:
    """Return a backbone as timm makes it, its weights in a file that anyone can read."""
    path = folder / f"{entry.architecture}-{entry.input_size}.safetensors"
    if not path.is_file():
        state = load_backbone(entry).network.state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    return {
        "architecture": entry.architecture,
        "options": dict(entry.architecture_options),
        "weights": str(path),
        "input_size": entry.input_size,
        "mean": list(entry.mean),
        "std": list(entry.std),
    }


def strategy_of(run: Run) -> dict[str, Any]:
    """Return a strategy as plain data; layers are named as the network has them."""
    options = run.options
    lr, decay = getattr(options, "lr", None), getattr(options, "weight_decay", None)
    found: dict[str, Any] = {"name": run.method.name, "lr": lr, "weight_decay": decay}
    if isinstance(options, LoraOptions):
        backbone = load_backbone(run.entry)
        # The peer adapts query, key and value in one layer where we separate them: that is how
        # timm has them, and it is less work.
        found |= {
            "r": options.r,
            "lora_alpha": options.lora_alpha,
            "lora_dropout": options.lora_dropout,
            "target_modules": targets(backbone, options),
        }
    return found


def targets(backbone: Backbone, options: LoraOptions) -> list[str]:
    names = backbone.modules_of(*options.target_modules) or backbone.modules_of("attention_in")
    return [f"network.{name}" for name in names]
