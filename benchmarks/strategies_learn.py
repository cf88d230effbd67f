"""Does every strategy learn with its default recipe? Each against the state it starts from.

On the synthetic cohort of the demonstration, each strategy is trained with its defaults in
cross-validation. Its test predictions are compared with those of the same run before the first
step: the frozen backbone under the same random head. Patients are resampled, stratified by outcome,
with the same draws before and after. The AUROC of a random head is often far from one half, since
features have a few strong directions; its class-weighted log-loss is that of a coin. Both are
compared.

    python benchmarks/strategies_learn.py --output benchmarks/results/strategies_learn.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.execution.environment import choose_device, describe_environment
from prognobench.execution.prepare import prepare
from prognobench.execution.worker import TaskImages, Worker
from prognobench.plan import Run
from prognobench.randomness import generator
from prognobench.results.records import RunState
from prognobench.spec import parse_spec
from prognobench.splits.split import PARTS
from prognobench.training.classifier import build_classifier
from prognobench.training.job import Job
from prognobench.training.lane import predict
from prognobench.training.losses import expected_loss

STRATEGIES = ("full", "linear", "lora", "vera", "bitfit", "ia3")
REPLICATES = 2000
Array = npt.NDArray[np.float64]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    measured = measure(
        {
            "name": "strategies learn",
            "cohort": {"source": "synthetic", "patients": 200, "seed": 0},
            "endpoints": ["mortality"],
            "backbones": ["demo_vit", {"name": "efficientnet_lite0", "input_size": 64}],
            "strategies": list(given.strategies),
            "regimes": [{"name": "full_data", "folds": 3}],
            "seeds": [0, 1],
        },
        given.device,
    )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def measure(spec: Mapping[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Train all runs of a spec and compare each candidate with its start, as plain data."""
    prepared = prepare(parse_spec(dict(spec), "spec"))
    place = choose_device(device)
    images, worker = prepared.images(), Worker(place)
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    told = []
    for run in prepared.runs:
        if run.state == RunState.NOT_APPLICABLE:
            told.append({"backbone": run.backbone, "strategy": run.strategy, "reason": run.reason})
            continue
        own = images[run.task.name, run.entry.input_size]
        found = compare(run, own, worker, load_backbone(run.entry).to(place))
        cells.setdefault((run.backbone, run.strategy), []).append(found)
        print(run.backbone, run.strategy, run.split.name, run.seed, found["shown"], flush=True)
    return {
        "spec": dict(spec),
        "environment": describe_environment(place),
        "results": [
            {"backbone": backbone, "strategy": strategy, **summary(runs)}
            for (backbone, strategy), runs in cells.items()
        ],
        "not_applicable": [one for place, one in enumerate(told) if one not in told[:place]],
    }


def compare(run: Run, images: TaskImages, worker: Worker, backbone: Backbone) -> dict[str, Any]:
    """Train a run; return its test patients' logits and its training loss, before and after."""
    ((_, result),) = worker.work((run,), images, lambda _run: None)
    if isinstance(result, Exception):
        raise result
    table = result.predictions.set_index("image_id")["logit"]
    after = table.reindex(list(images.image_ids)).to_numpy()
    part = np.array([run.split.parts.get(patient, "") for patient in images.patient_ids])
    rows = {name: np.flatnonzero(part == name) for name in PARTS}
    pixels = torch.from_numpy(np.array(images.pixels)).unsqueeze(1)
    numbers = np.unique(images.patient_ids, return_inverse=True)[1].astype(np.int64)
    job = Job(run.id, pixels.to(worker.device), images.targets, numbers, rows, run.split.prevalence)
    model = build_classifier(job, backbone, run.method, run.options)  # type: ignore[arg-type]
    before = predict(model, job.images, np.arange(len(images.targets)))
    train, test = rows["train"], rows["test"]
    objective = expected_loss(run.recipe, images.targets[train])
    own = torch.as_tensor(images.targets[train], dtype=torch.float64)
    losses = [objective(torch.as_tensor(state[train]), own).item() for state in (before, after)]
    info = result.train_info
    return {
        "target": images.targets[test],
        "patient": np.array(images.patient_ids)[test],
        "before": before[test],
        "after": after[test],
        "losses": losses,
        "fell": info.get("last_train_loss", np.inf) < info.get("first_train_loss", losses[0]),
        "lr": getattr(run.options, "lr", None),
        "seconds": result.train_seconds,
        "epochs": info.get("epochs"),
        "shown": [round(loss, 3) for loss in losses],
    }


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return AUROC and loss before and after, with the intervals of the paired differences."""
    patients = sorted({patient for run in runs for patient in run["patient"]})
    target = np.zeros(len(patients), dtype=np.int64)
    places = [np.searchsorted(patients, run["patient"]) for run in runs]
    for place, run in zip(places, runs, strict=True):
        target[place] = run["target"]
    weights = multiplicities(target)
    compared: dict[str, Any] = {}
    for name, measured in (("auroc", auroc), ("test_loss", log_loss)):
        before, after = (
            np.mean(
                [
                    measured(run["target"], run[state], weights[:, place])
                    for place, run in zip(places, runs, strict=True)
                ],
                axis=0,
            )
            for state in ("before", "after")
        )
        low, high = np.nanpercentile((after - before)[1:], [2.5, 97.5])
        compared[name] = {
            "start": round(float(before[0]), 4),
            "trained": round(float(after[0]), 4),
            "difference": round(float(after[0] - before[0]), 4),
            "difference_low": round(float(low), 4),
            "difference_high": round(float(high), 4),
        }
    losses = np.mean([run["losses"] for run in runs], axis=0)
    epochs = [run["epochs"] for run in runs if run["epochs"]]
    return {
        "runs": len(runs),
        "lr": runs[0]["lr"],
        **compared,
        "beats_its_start": {
            "auroc": compared["auroc"]["difference_low"] > 0,
            "test_loss": compared["test_loss"]["difference_high"] < 0,
        },
        "train_loss_start": round(float(losses[0]), 4),
        "train_loss_trained": round(float(losses[1]), 4),
        "runs_whose_train_loss_fell": sum(
            bool(run["fell"] and run["losses"][1] < run["losses"][0]) for run in runs
        ),
        "mean_epochs": round(float(np.mean(epochs)), 1) if epochs else None,
        "mean_seconds": round(float(np.mean([run["seconds"] for run in runs])), 2),
    }


def multiplicities(target: npt.NDArray[np.int64]) -> Array:
    """Return how often each patient is drawn, [1 + B, n], by outcome; the first row is ones."""
    random = generator("strategies_learn", len(target))
    drawn = np.ones((1 + REPLICATES, len(target)))
    for label in (0, 1):
        members = np.flatnonzero(target == label)
        shares = np.full(len(members), 1 / len(members))
        drawn[1:, members] = random.multinomial(len(members), shares, size=REPLICATES)
    return drawn


def auroc(target: npt.NDArray[np.int64], score: Array, weights: Array) -> Array:
    """Return the AUROC under each row of weights: the share of pairs in the right order."""
    event = target == 1
    right = np.sign(score[event][:, None] - score[~event][None, :]) / 2 + 0.5
    above, below = weights[:, event], weights[:, ~event]
    pairs = above.sum(1) * below.sum(1)
    with np.errstate(invalid="ignore"):
        shares: Array = ((above @ right) * below).sum(1) / pairs
    return shares


def log_loss(target: npt.NDArray[np.int64], score: Array, weights: Array) -> Array:
    """Return the log-loss under each row of weights, both classes counting alike."""
    losses = np.logaddexp(0, score) - target * score
    means = [
        (weights[:, target == label] @ losses[target == label]) / weights[:, target == label].sum(1)
        for label in (0, 1)
    ]
    both: Array = (means[0] + means[1]) / 2
    return both


if __name__ == "__main__":
    main(sys.argv[1:])
