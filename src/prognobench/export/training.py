"""The model itself: a run's own, or one trained anew on all patients of the task.

A model trained anew follows the very procedure that was measured: the same recipe, an inner
validation part of the same share that stops the training, chooses among learning rates and sets
thresholds. Only the test fold is gone, and its patients train. An alternative is to train on
everybody for as many epochs as the folds took; but the schedule of the learning rate would then be
another than the one that was measured, and there would be nobody to choose a threshold on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prognobench.errors import UserError
from prognobench.execution.groups import grouped
from prognobench.execution.prepare import Prepared, prepare, preprocessing
from prognobench.execution.worker import Worker
from prognobench.export.choice import Chosen
from prognobench.plan import PlannedTask, Run, expand
from prognobench.results.records import PREDICTION_COLUMNS, RunResult
from prognobench.spec import BenchmarkSpec
from prognobench.splits.cross_validation import divide_validation
from prognobench.splits.split import Split

TOLERANCES = {"float32": 1e-5, "bfloat16": 1e-3}
"""How far the predictions of a run that is trained again may lie from those that it stored, by the
precision of its steps: it may have been trained with others in one pass, and now is by itself."""


@dataclass(frozen=True)
class TrainedModel:
    """A model with what its training left.

    Attributes:
        run: The run that it is.
        folder: Where its tensors lie, as :func:`prognobench.strategies.saving.save_model` writes.
        predictions: Its predictions of the patients of its parts.
        prior_logit_shift: What training added to every logit.
        threshold: The benchmark's own threshold.
        info: How training went.
    """

    run: Run
    folder: Path
    predictions: pd.DataFrame
    prior_logit_shift: float
    threshold: float
    info: dict[str, Any]


def prepare_task(
    spec: BenchmarkSpec,
    datasets: list[str],
    chosen: Chosen,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Prepare the task of a candidate, its backbone and its strategy alone.

    Args:
        spec: The benchmark.
        datasets: Names of its cohorts, in the order of its groups.
        chosen: The candidate.
        progress: Called while images are decoded.

    Raises:
        UserError: When the cohort is not there, or not what it was when the benchmark ran.
    """
    group = spec.groups[datasets.index(chosen.dataset)]
    own = spec.model_copy(
        update={
            "cohort": None,
            "endpoints": (),
            "tasks": (group.model_copy(update={"endpoints": (chosen.endpoint,)}),),
            "backbones": tuple(b for b in spec.backbones if b.label == chosen.backbone),
            "strategies": tuple(
                part
                for part in spec.strategies
                if any(variant.label == chosen.strategy for variant in part.variants())
            ),
            "controls": (),
        }
    )
    prepared = prepare(own, progress)
    (task,) = {run.task.identity for run in prepared.runs}
    if task != json.loads(chosen.runs["run_info"].iloc[0])["task"]:
        raise UserError(
            f"the cohort of {chosen.task} is not what it was when the benchmark ran: run it anew"
        )
    return prepared


def refit(prepared: Prepared, chosen: Chosen, folder: Path, device: torch.device) -> TrainedModel:
    """Train a candidate on all patients of its task.

    Args:
        prepared: The task.
        chosen: The candidate.
        folder: An empty folder to work in.
        device: Where to compute.

    Raises:
        UserError: When training failed, with its reason.
    """
    planned = prepared.runs[0].task
    regime = next(own for own in prepared.spec.groups[0].regimes if own.name == chosen.regime)
    # Both regimes that can be refitted have this key.
    fraction, seed = getattr(regime, "validation_fraction"), getattr(regime, "split_seed")  # noqa: B009
    split = _everybody(planned, chosen.regime, fraction, seed)
    runs = [
        run
        for run in expand(
            prepared.spec, [planned], {planned.name: [split]}, preprocessing(prepared.spec)
        )
        if run.strategy == chosen.strategy and run.seed == prepared.spec.seeds[0]
    ]
    done = _train(prepared, runs, folder, device)
    finished = [(run, result) for run, result in done if isinstance(result, RunResult)]
    if not finished:
        raise UserError(f"training {chosen.backbone} with {chosen.strategy} failed: {done[0][1]}")

    def standing(own: tuple[Run, RunResult]) -> tuple[float, float]:
        score = own[1].validation_score
        lr = getattr(own[0].options, "lr", None)
        return (-np.inf if score is None else score, -(lr or 0.0))

    run, result = max(finished, key=standing)
    return _trained(run, result, folder)


def saved_run(
    prepared: Prepared, run: str, stored: pd.DataFrame, row: dict[str, Any], models: Path
) -> TrainedModel:
    """Return the model of a run that was kept with ``save_models``."""
    own = _planned(prepared, run)
    return TrainedModel(
        own,
        models / run,
        stored,
        float(row["prior_logit_shift"]),
        float(row["threshold"]),
        dict(row["train_info"] or {}),
    )


def repeat_run(
    prepared: Prepared,
    run: str,
    stored: pd.DataFrame,
    folder: Path,
    device: torch.device,
    *,
    tolerance: float | None = None,
) -> TrainedModel:
    """Train a run again whose model was not kept; it must predict what it predicted.

    Args:
        prepared: Its task.
        run: Its id.
        stored: The predictions that it stored.
        folder: An empty folder to work in.
        device: Where to compute.
        tolerance: How far its predictions may lie from the stored ones, by default as
            :data:`TOLERANCES` says.

    Raises:
        UserError: When its predictions are others than those that it stored.
    """
    own = _planned(prepared, run)
    ((_, result),) = _train(prepared, [own], folder, device)
    if not isinstance(result, RunResult):
        raise UserError(f"training the run {run} again failed: {result}")
    merged = stored.merge(result.predictions, on="image_id", suffixes=("", "_again"))
    what = PREDICTION_COLUMNS[result.kind][-1]
    away = float((merged[what] - merged[f"{what}_again"]).abs().max())
    if tolerance is None:
        tolerance = TOLERANCES[result.train_info["precision"]]
    if len(merged) != len(stored) or not away <= tolerance:
        raise UserError(
            f"the model of the run {run} was not kept, and trained again here its predictions "
            f"differ by up to {away:.2g} from those it stored: run the benchmark with "
            "save_models=true, or on the hardware that it ran on"
        )
    return _trained(own, result, folder)


def _planned(prepared: Prepared, run: str) -> Run:
    found = next((own for own in prepared.runs if own.id == run), None)
    if found is None:
        raise UserError(
            f"the run {run} is not of this version of prognobench or of these data: run the "
            "benchmark anew"
        )
    return found


def _everybody(task: PlannedTask, regime: str, fraction: float, seed: int) -> Split:
    """Return the split in which everybody trains or validates."""
    targets = task.targets
    patients = sorted(targets)
    origin = ("validation", "refit", seed)
    train, val = divide_validation(targets, patients, fraction, origin)
    return Split(
        name="refit",
        regime=regime,
        parts={**dict.fromkeys(train, "train"), **dict.fromkeys(val, "val")},
        fold=0,
        prevalence=sum(target > 0 for target in targets.values()) / len(targets),
    )


def _train(
    prepared: Prepared, runs: list[Run], folder: Path, device: torch.device
) -> list[tuple[Run, RunResult | Exception]]:
    images = prepared.images()
    worker = Worker(device, folder)
    by_id = {run.id: run for run in runs}
    done = []
    for group in grouped(runs, images):
        own = images[group[0].task.name, group[0].entry.image_size]
        for name, result in worker.work(group, own, lambda _: None):
            done.append((by_id[name], result))
    return done


def _trained(run: Run, result: RunResult, folder: Path) -> TrainedModel:
    return TrainedModel(
        run,
        folder / run.id,
        result.predictions,
        result.prior_logit_shift,
        result.threshold,
        result.train_info,
    )
