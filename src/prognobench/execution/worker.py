"""One run, from its plan to its result, on the device that holds its backbone."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.evaluation.controls import PERMUTED
from prognobench.execution.control_features import (
    control_features,
    permuted,
    solve_control,
)
from prognobench.execution.task_images import TaskImages
from prognobench.plan import ControlRun, Run
from prognobench.results.records import PREDICTION_COLUMNS, RunResult
from prognobench.splits.split import PARTS
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.saving import save_model
from prognobench.strategies.strategy import GradientOptions
from prognobench.training.engine import Trained, train_by_gradient
from prognobench.training.features import cached_features
from prognobench.training.job import Job, prior_logit_shift
from prognobench.training.probe import solve_probe, train_probe
from prognobench.training.score import THRESHOLD


class Worker:
    """Runs one run after another on a device; keeps the last backbone and images loaded.

    Attributes:
        device: The device.
        models: Folder for what each run trained; None to keep nothing of it.
    """

    def __init__(self, device: torch.device, models: Path | None = None) -> None:
        self.device, self.models = device, models
        self._backbone: Backbone | None = None
        self._images: tuple[str, torch.Tensor] | None = None

    def work(self, run: Run | ControlRun, images: TaskImages) -> RunResult:
        """Train and predict one run or control.

        Args:
            run: The run, in state pending.
            images: The images of its task, at the input size of its backbone.
        """
        began = time.perf_counter()
        job = Job(
            run=run.id,
            images=self._on_device(images),
            targets=images.targets,
            patients=np.unique(images.patient_ids, return_inverse=True)[1].astype(np.int64),
            rows=_rows(images.patient_ids, run.split.parts),
            prevalence=run.split.prevalence,
        )
        if isinstance(run, ControlRun):
            trained = self._control(run, job, images)
        else:
            trained = self._train(run, job, images)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return RunResult(
            predictions=_predictions(images, job, trained.logits),
            validation_score=trained.validation_score,
            prior_logit_shift=prior_logit_shift(job, run.recipe.imbalance),
            threshold=THRESHOLD,
            trainable_parameters=trained.parameters,
            train_seconds=time.perf_counter() - began,
            train_info={
                **trained.info,
                "n_images": {part: len(rows) for part, rows in job.rows.items()},
                "process_peak_memory_bytes": peak,
            },
        )

    def _train(self, run: Run, job: Job, images: TaskImages) -> Trained:
        backbone = self._load(run)
        if isinstance(run.options, LinearOptions):
            features = cached_features(backbone, job.images, images.key)
            if run.options.lr is None:
                strengths, fixed = run.options.C, run.options.fixed_C
                trained = solve_probe(job, features, strengths, fixed, run.recipe)
            else:
                trained = train_probe(job, features, run.options.lr, run.recipe)
        elif isinstance(run.options, GradientOptions):
            trained = train_by_gradient(job, backbone, run.method, run.options, run.recipe)
        else:
            raise TypeError(f"the strategy {run.method.name} has options of an unknown kind")
        if self.models and trained.head:
            adapted = trained.backbone or backbone
            save_model(adapted, trained.head, run.method, self.models / run.id)
        return trained

    def _control(self, run: ControlRun, job: Job, images: TaskImages) -> Trained:
        if run.control != PERMUTED:
            return solve_control(job, control_features(run.control, images, job), run.recipe)
        features = cached_features(self._load(run), job.images, images.key)
        return solve_control(permuted(job), features, run.recipe)

    def _load(self, run: Run | ControlRun) -> Backbone:
        if self._backbone is None or self._backbone.entry != run.entry:
            self._backbone = load_backbone(run.entry).to(self.device)
        return self._backbone

    def _on_device(self, images: TaskImages) -> torch.Tensor:
        if self._images is None or self._images[0] != images.key:
            # A copy: torch refuses to share memory that it may not write to.
            pixels = torch.from_numpy(np.array(images.pixels)).unsqueeze(1)
            self._images = (images.key, pixels.to(self.device))
        return self._images[1]


def _rows(
    patient_ids: tuple[str, ...], parts: Mapping[str, str]
) -> dict[str, npt.NDArray[np.int64]]:
    own = np.array([parts.get(patient, "") for patient in patient_ids])
    return {part: np.flatnonzero(own == part) for part in PARTS}


def _predictions(images: TaskImages, job: Job, logits: npt.NDArray[np.float64]) -> pd.DataFrame:
    part_of = {row: part for part in PARTS for row in job.rows[part]}
    rows = sorted(part_of)
    chosen = logits[rows]
    if not np.isfinite(chosen).all():
        raise FloatingPointError("some predicted logits are not finite numbers")
    values = {
        "patient_id": [images.patient_ids[row] for row in rows],
        "image_id": [images.image_ids[row] for row in rows],
        "part": [part_of[row] for row in rows],
        "target": images.targets[rows],
        "logit": chosen,
        "probability": 1 / (1 + np.exp(-chosen)),
    }
    return pd.DataFrame(values, columns=list(PREDICTION_COLUMNS))
