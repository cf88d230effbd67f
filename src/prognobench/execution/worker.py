"""One run, from its plan to its result, on the device that holds its backbone."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.plan import Run
from prognobench.results.records import PREDICTION_COLUMNS, RunResult
from prognobench.splits.split import PARTS
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.saving import save_model
from prognobench.strategies.strategy import GradientOptions
from prognobench.training.engine import train_by_gradient
from prognobench.training.features import cached_features
from prognobench.training.job import Job, prior_logit_shift
from prognobench.training.probe import solve_probe, train_probe
from prognobench.training.score import THRESHOLD


@dataclass(frozen=True)
class TaskImages:
    """The images of a task at one input size.

    Attributes:
        image_ids: Ids of the N images.
        patient_ids: Patient of each.
        targets: int64 [N], target of each image's patient.
        pixels: uint8 [N, S, S]; may be memory-mapped.
        key: Hash of the pixels and their order.
    """

    image_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.uint8]
    key: str


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

    def work(self, run: Run, images: TaskImages) -> RunResult:
        """Train and predict one run.

        Args:
            run: The run, in state pending.
            images: The images of its task, at the input size of its backbone.
        """
        began = time.perf_counter()
        backbone = self._load(run)
        job = Job(
            run=run.id,
            images=self._on_device(images),
            targets=images.targets,
            patients=np.unique(images.patient_ids, return_inverse=True)[1].astype(np.int64),
            rows=_rows(images.patient_ids, run.split.parts),
            prevalence=run.split.prevalence,
        )
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

    def _load(self, run: Run) -> Backbone:
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
