"""Runs, from their plan to their results, on the device that holds their backbone."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.errors import UserError
from prognobench.evaluation.controls import PERMUTED
from prognobench.execution.control_features import (
    control_features,
    permuted,
    solve_control,
)
from prognobench.execution.groups import Group
from prognobench.execution.task_images import TaskImages
from prognobench.plan import ControlRun, Run
from prognobench.results.records import PREDICTION_COLUMNS, RunResult
from prognobench.splits.split import PARTS
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.saving import save_model
from prognobench.strategies.strategy import GradientOptions
from prognobench.training.engine import train_together
from prognobench.training.features import cached_features
from prognobench.training.job import Job, prior_logit_shift
from prognobench.training.lane import Trained
from prognobench.training.probe import solve_probes, train_probe
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

    def work(
        self, group: Group, images: TaskImages, started: Callable[[str], None]
    ) -> Iterator[tuple[str, RunResult | Exception]]:
        """Train and predict runs or controls that belong together.

        Args:
            group: From :func:`~prognobench.execution.groups.grouped`, in state pending.
            images: The images of their task, at the input size of their backbone.
            started: Called with a run's id when it begins.

        Yields:
            Each run's id with its result, or with why it failed, as they end.
        """
        jobs = {run.id: self._job(run, images) for run in group}
        recipes = {run.id: run.recipe for run in group}
        for run, trained in self._train(group, jobs, images, started):
            if isinstance(trained, Exception):
                yield run, trained
                continue
            try:
                yield run, _result(images, jobs[run], trained, recipes[run].imbalance)
            except FloatingPointError as error:
                yield run, error

    def _job(self, run: Run | ControlRun, images: TaskImages) -> Job:
        return Job(
            run=run.id,
            images=self._on_device(images),
            targets=images.targets,
            patients=np.unique(images.patient_ids, return_inverse=True)[1].astype(np.int64),
            rows=_rows(images.patient_ids, run.split.parts),
            prevalence=run.split.prevalence,
        )

    def _train(
        self,
        group: Group,
        jobs: Mapping[str, Job],
        images: TaskImages,
        started: Callable[[str], None],
    ) -> Iterator[tuple[str, Trained | Exception]]:
        first = group[0]
        runs = {run.id: run for run in group if isinstance(run, Run)}
        options = first.options if isinstance(first, Run) else None
        if isinstance(first, Run) and isinstance(options, GradientOptions):
            given = [(jobs[run.id], cast(GradientOptions, run.options)) for run in runs.values()]
            backbone = self._load(first)
            ended = train_together(given, backbone, first.method, first.recipe, started=started)
            for name, outcome in ended:
                if isinstance(outcome, Trained):
                    self._save(runs[name], outcome, backbone)
                yield name, outcome
            return
        for run in group:
            started(run.id)
        try:
            solved = self._solve(group, jobs, images)
        except UserError:
            raise
        except Exception as error:
            yield from ((run.id, error) for run in group)
            return
        for run, trained in zip(group, solved, strict=True):
            if isinstance(run, Run):
                self._save(run, trained, self._load(run))
            yield run.id, trained

    def _solve(
        self, group: Group, jobs: Mapping[str, Job], images: TaskImages
    ) -> Sequence[Trained]:
        """Return what runs on cached features or controls come to."""
        first = group[0]
        own = [jobs[run.id] for run in group]
        if isinstance(first, ControlRun):
            began = time.perf_counter()
            trained = self._control(first, own[0], images)
            return [replace(trained, seconds=time.perf_counter() - began)]
        if not isinstance(first.options, LinearOptions):
            raise TypeError(f"the strategy {first.method.name} has options of an unknown kind")
        features = cached_features(self._load(first), own[0].images, images.key)
        if first.options.lr is None:
            strengths, fixed = first.options.C, first.options.fixed_C
            return solve_probes(own, features, strengths, fixed, first.recipe)
        return [train_probe(job, features, first.options.lr, first.recipe) for job in own]

    def _save(self, run: Run, trained: Trained, backbone: Backbone) -> None:
        if self.models and trained.head:
            adapted = trained.backbone or backbone
            save_model(adapted, trained.head, run.method, self.models / run.id)

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


def _result(images: TaskImages, job: Job, trained: Trained, imbalance: str) -> RunResult:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return RunResult(
        predictions=_predictions(images, job, trained.logits),
        validation_score=trained.validation_score,
        prior_logit_shift=prior_logit_shift(job, imbalance),
        threshold=THRESHOLD,
        trainable_parameters=trained.parameters,
        train_seconds=trained.seconds,
        train_info={
            **trained.info,
            "n_images": {part: len(rows) for part, rows in job.rows.items()},
            "process_peak_memory_bytes": peak,
        },
    )


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
