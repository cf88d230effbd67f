"""The plan that load is tried on: the whole catalog, eight candidates each, about 100,000 runs."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prognobench.backbones.catalog import CATALOG
from prognobench.execution.groups import as_batches, grouped
from prognobench.execution.prepare import PREPROCESSING
from prognobench.execution.task_images import TaskImages
from prognobench.execution.workload import Batch
from prognobench.plan import (
    ControlRun,
    PlannedTask,
    Run,
    expand,
    expand_controls,
    make_splits,
)
from prognobench.randomness import generator
from prognobench.results.records import RunState
from prognobench.spec import BenchmarkSpec, parse_spec

PATIENTS = 200
EVENTS = 50
RATES = [1e-4, 5e-4, 1e-3]


def load_spec(runs: int) -> BenchmarkSpec:
    """Return a benchmark of at least so many runs: as many seeds as it takes."""
    one = expanded(_spec(1))[0]
    return _spec(-(-runs // len(one)))


def _spec(seeds: int) -> BenchmarkSpec:
    trained = [
        {"name": "lora", "r": [4, 8, 16], "lr": RATES},
        *({"name": name, "lr": RATES} for name in ("full", "vera", "bitfit", "ia3")),
    ]
    return parse_spec(
        {
            "name": "load",
            "cohort": {"source": "synthetic", "patients": PATIENTS},
            "endpoints": ["mortality"],
            "backbones": [entry.name for entry in CATALOG],
            "strategies": ["linear", *trained],
            "regimes": [
                {"name": "full_data", "folds": 5},
                {"name": "few_shot", "shots": [1, 2, 4, 8, 16], "episodes": 20},
            ],
            "seeds": list(range(seeds)),
        },
        "load",
    )


def the_task(spec: BenchmarkSpec) -> PlannedTask:
    """Return the task: patients with outcomes, and nothing else that a plan asks for."""
    names = [f"patient{number:04}" for number in range(PATIENTS)]
    targets = {name: int(place < EVENTS) for place, name in enumerate(names)}
    columns = {"site": dict.fromkeys(names, "a")}
    return PlannedTask("synthetic", "mortality", "0" * 64, targets, columns, spec.recipe)


def expanded(spec: BenchmarkSpec) -> tuple[list[Run], list[ControlRun]]:
    """Return all runs and controls of a benchmark, splits drawn."""
    task = the_task(spec)
    splits = {task.name: make_splits(spec.groups[0].regimes, task)}
    return (
        expand(spec, [task], splits, PREPROCESSING),
        expand_controls(spec, [task], splits, PREPROCESSING, {task.name: {}}),
    )


def batches_of(runs: list[Run]) -> list[Batch]:
    """Return the runs that can be done, grouped as an executor does it."""
    pending = [run for run in runs if run.state == RunState.PENDING]
    images = _images(pending)
    return as_batches(grouped(pending, images), images)


def _images(runs: list[Run]) -> Mapping[tuple[str, int], TaskImages]:
    task = runs[0].task
    names = tuple(task.targets)
    sizes = {run.entry.image_size for run in runs}
    return {
        (task.name, size): TaskImages(
            image_ids=names,
            patient_ids=names,
            targets=np.array(list(task.targets.values())),
            pixels=np.zeros((len(names), 1, 1), np.uint8),
            key=str(size),
            about=pd.DataFrame(),
        )
        for size in sizes
    }


def measure(runs: int) -> dict[str, Any]:
    """Expand the plan in this process and return what it took; memory is the whole process's."""
    spec = load_spec(runs)
    began = time.perf_counter()
    made, controls = expanded(spec)
    drawn = time.perf_counter()
    batches = batches_of(made)
    grouped_at = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "runs": len(made),
        "controls": len(controls),
        "can_be_done": sum(len(batch.runs) for batch in batches),
        "groups": len(batches),
        "expand_seconds": round(drawn - began, 2),
        "group_seconds": round(grouped_at - drawn, 2),
        "peak_gib": round(peak / 2**30, 3),
    }


def durations(batches: list[Batch], mean: float) -> dict[str, float]:
    """Return how long each run takes a worker of speed 1: the root of its cost, and chance.

    The root, because small networks leave a device idle: time grows more slowly than operations,
    and the scheduler, which knows only the operations, has to find that out.

    Args:
        batches: The work.
        mean: Mean seconds a run.
    """
    random = generator("load", "durations")
    total = sum(math.sqrt(batch.cost) * len(batch.runs) for batch in batches)
    count = sum(len(batch.runs) for batch in batches)
    found = {}
    for batch in batches:
        usual = mean * math.sqrt(batch.cost) * count / total
        chance = random.lognormal(-0.045, 0.3, size=len(batch.runs))  # mean 1
        found.update(zip(batch.runs, (usual * chance).tolist(), strict=True))
    return found
