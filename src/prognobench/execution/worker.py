"""Runs, from their plan to their results, on the device that holds their backbone."""

from __future__ import annotations

import importlib
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
from prognobench.results.outage import told
from prognobench.results.records import RunResult
from prognobench.splits.split import PARTS
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.strategy import GradientOptions
from prognobench.training.engine import train_together
from prognobench.training.features import cached_features
from prognobench.training.job import Job, prior_logit_shift
from prognobench.training.lane import Trained
from prognobench.training.losses import score_scale
from prognobench.training.probe import solve_probes, train_probe
from prognobench.training.score import THRESHOLD

_PART_NAMES = pd.Series(PARTS).array

IMAGES_SHARE = 0.5
"""Of a device's free memory, what the images of a task may take at most."""


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
        self, group: Group, images: TaskImages, started: Callable[..., None]
    ) -> Iterator[tuple[str, RunResult | Exception]]:
        """Train and predict runs or controls that belong together.

        Args:
            group: From :func:`~prognobench.execution.groups.grouped`, in state pending.
            images: The images of their task, at the input size of their backbone.
            started: Called with the ids of one or more runs when they begin.

        Yields:
            Each run's id with its result, or with why it failed, as they end.
        """
        try:
            jobs = {run.id: self._job(run, images) for run in group}
        except (RuntimeError, MemoryError) as error:  # its images do not fit on the device
            yield from ((run.id, error) for run in group)
            return
        recipes = {run.id: run.recipe for run in group}
        for run, trained in self._train(group, jobs, images, started):
            if isinstance(trained, Exception):
                yield run, trained
                continue
            try:
                yield run, _result(images, jobs[run], trained, recipes[run].imbalance)
            except FloatingPointError as error:
                yield run, error

    def make_ready(self, groups: Sequence[Group], images: TaskImages) -> None:
        """Load what the first group needs and the libraries of all, which forked processes share.

        Args:
            groups: From :func:`~prognobench.execution.groups.grouped`.
            images: The images of the first one's task, at the input size of its backbone.
        """
        self._backbone, self._images = None, None
        self._on_device(images)
        self._load(groups[0][0])
        modules = {own for run, *_ in groups if isinstance(run, Run) for own in run.method.imports}
        if self.models:
            modules.add("prognobench.strategies.saving")
        for module in sorted(modules):
            importlib.import_module(module)

    def _job(self, run: Run | ControlRun, images: TaskImages) -> Job:
        return Job(
            run=run.id,
            images=self._on_device(images),
            targets=images.targets,
            patients=np.unique(images.patient_ids, return_inverse=True)[1].astype(np.int64),
            rows=_rows(images.patient_ids, run.split.parts),
            prevalence=run.split.prevalence,
            kind=images.outcome.kind,
        )

    def _train(
        self,
        group: Group,
        jobs: Mapping[str, Job],
        images: TaskImages,
        started: Callable[..., None],
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
        started(*(run.id for run in group))
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
            from prognobench.strategies.saving import save_model  # peft is slow to import

            adapted = trained.backbone or backbone
            with told(self.models.parent):
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
            # torch refuses to share memory that it may not write to: that is copied.
            own = np.require(images.pixels, requirements="W")
            pixels = torch.from_numpy(own).unsqueeze(1)
            # Where they do not fit, they stay with the machine and go to the device by the batch.
            fit = fits(pixels.nbytes, self.device)
            self._images = (images.key, pixels.to(self.device) if fit else pixels)
        return self._images[1]


def fits(count: int, device: torch.device) -> bool:
    """Return whether so many bytes of images leave memory enough on a device to train with."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return count <= IMAGES_SHARE * free


def _result(images: TaskImages, job: Job, trained: Trained, imbalance: str) -> RunResult:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return RunResult(
        predictions=_predictions(images, job, trained.logits),
        validation_score=trained.validation_score,
        prior_logit_shift=prior_logit_shift(job, imbalance),
        threshold=THRESHOLD,
        trainable_parameters=trained.parameters,
        train_seconds=trained.seconds,
        kind=job.kind,
        train_info={
            **trained.info,
            **_scale(job, trained.logits),
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
    rows = np.concatenate([job.rows[part] for part in PARTS])
    codes = np.repeat(np.arange(len(PARTS)), [len(job.rows[part]) for part in PARTS])
    order = np.argsort(rows)
    rows, codes = rows[order], codes[order]
    chosen = logits[rows]
    if not np.isfinite(chosen).all():
        raise FloatingPointError("some predicted logits are not finite numbers")
    values = {
        **{name: column.take(rows) for name, column in images.names.items()},
        "part": _PART_NAMES.take(codes),
        "target": images.targets[rows],
    }
    scale = _scale(job, logits)
    if job.kind == "ordinal":
        score = scale["score_mean"] + scale["score_deviation"] * chosen
        values["score"] = np.clip(score, 0, images.outcome.highest)
    elif job.kind == "time_to_event":
        # A Cox model has no intercept: outputs of one that has are those of all its neighbours.
        values["log_hazard"] = chosen - scale["log_hazard_mean"]
    else:
        values |= {"logit": chosen, "probability": 1 / (1 + np.exp(-chosen))}
    return pd.DataFrame(values)


def _scale(job: Job, logits: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return by what the output of a model becomes a score, or a log hazard."""
    if job.kind == "binary":
        return {}
    if job.kind == "time_to_event":
        return {"log_hazard_mean": float(logits[job.rows["train"]].mean())}
    mean, deviation = score_scale(job.targets[job.rows["train"]])
    return {"score_mean": mean, "score_deviation": deviation}
