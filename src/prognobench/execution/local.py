"""This machine's device works off the pending runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from prognobench.execution.environment import describe_environment
from prognobench.execution.groups import grouped
from prognobench.execution.task_images import TaskImages
from prognobench.execution.worker import Worker
from prognobench.plan import ControlRun, Run
from prognobench.results.store import ResultsStore


@dataclass(frozen=True)
class Progress:
    """Where the work stands after a run.

    Attributes:
        finished: Runs finished in this go, failed ones included.
        total: Runs to be done in this go.
        run: The run just finished.
        failed: Why it failed; None when it did not.
        seconds_left: Estimated time for the rest.
    """

    finished: int
    total: int
    run: Run | ControlRun
    failed: str | None
    seconds_left: float


def execute(
    pending: Sequence[Run | ControlRun],
    images: Mapping[tuple[str, int], TaskImages],
    store: ResultsStore,
    device: torch.device,
    report: Callable[[Progress], None],
    *,
    save_models: bool = False,
) -> int:
    """Do runs, those that belong together at once; a failure is noted and stops nothing.

    Args:
        pending: The runs to do, in order.
        images: Images of each task by its name and the input size.
        store: Where results go, each as soon as it is there.
        device: Where to compute.
        report: Called after each run.
        save_models: Whether what each run trained is kept in the output folder.

    Returns:
        How many runs failed.
    """
    worker = Worker(device, store.output / "models" if save_models else None)
    environment = describe_environment(device)
    seconds: dict[tuple[str, ...], list[float]] = {}
    failures = count = 0
    left = {run.id: run for run in pending}
    for group in grouped(pending, images):
        own = images[group[0].task.name, group[0].entry.image_size]
        began = time.perf_counter()
        for name, result in worker.work(group, own, store.start):
            failed = None
            if isinstance(result, Exception):
                failed = f"{type(result).__name__}: {' '.join(str(result).split())}"
                store.fail(name, failed, environment)
                failures += 1
            else:
                store.finish(name, result, environment)
            run = left.pop(name)
            now = time.perf_counter()
            seconds.setdefault(_kind(run), []).append(now - began)
            began, count = now, count + 1
            rest = _seconds_left(list(left.values()), seconds)
            report(Progress(count, len(pending), run, failed, rest))
    return failures


def _kind(run: Run | ControlRun) -> tuple[str, ...]:
    """Return what runs of about equal cost have in common."""
    varied = f"{run.split.shots} {run.split.level}"
    return (run.backbone, run.strategy, run.split.regime, varied)


def _seconds_left(
    rest: Sequence[Run | ControlRun], seconds: Mapping[tuple[str, ...], list[float]]
) -> float:
    """Estimate the rest from runs of the same kind, else of the same strategy, else of any."""
    means = {kind: sum(own) / len(own) for kind, own in seconds.items()}
    overall = sum(means.values()) / len(means)
    by_strategy: dict[str, float] = {}
    for (_, strategy, *_), mean in means.items():
        by_strategy[strategy] = max(mean, by_strategy.get(strategy, 0.0))
    return sum(means.get(_kind(run), by_strategy.get(run.strategy, overall)) for run in rest)
