"""The loop of every executor with a thousand workers that train nothing, in virtual time.

The loop and the scheduler are the real ones, and what the store takes for a result is measured and
added; only the workers are not real. Each answer of the driver takes the time that it really took,
so that workers wait for a driver that is busy, as they would.
"""

from __future__ import annotations

import heapq
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from load_plan import PATIENTS, batches_of, durations, expanded, load_spec
from prognobench.execution.drive import Drive, Ended, Event, Free, Joined, Progress, Started
from prognobench.execution.scheduler import Scheduler
from prognobench.execution.workload import Batch
from prognobench.plan import Run
from prognobench.randomness import generator
from prognobench.results.ledger import Claimed, Ledger
from prognobench.results.records import RunResult
from prognobench.results.store import ResultsStore

LOADING = 20.0
"""Seconds that a worker takes to load a backbone and images."""

MEAN_SECONDS = 120.0
"""Mean time of a run on a worker of speed 1."""

STORED = 2000
"""Results that are written to measure what a store costs."""


class Nowhere:
    """A ledger that keeps nothing."""

    def claim(self, runs: Sequence[str], count: int) -> Claimed:
        """Give out what is asked for."""
        return Claimed(tuple(runs[:count]))

    def start(self, *_runs: str) -> None:
        """Note nothing."""

    def finish(self, results: Mapping[str, RunResult], _environment: dict[str, Any]) -> set[str]:
        """Keep nothing."""
        return set(results)

    def fail(self, run: str, reason: str, _environment: dict[str, Any]) -> bool:
        """Refuse: nothing can fail here."""
        raise RuntimeError(f"{run}: {reason}")

    def look(self, runs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Say that nobody else works."""
        return [], list(runs)


class VirtualPool:
    """Workers in virtual time.

    Attributes:
        now: The time.
        busy: Seconds that all workers have trained.
        driver: Seconds that the driver has taken for its answers.
    """

    def __init__(
        self, speeds: Sequence[float], seconds: Mapping[str, float], homes: Mapping[str, str]
    ) -> None:
        self.now = self.busy = self.driver = 0.0
        self._seconds, self._homes = seconds, homes
        self._speeds = {f"worker {number}": speed for number, speed in enumerate(speeds)}
        self._loaded: dict[str, str] = {}
        self._events: list[tuple[float, int, Event]] = []
        self._number = itertools.count()
        for name in self._speeds:
            self._at(0.0, Joined(name, {}))

    def begin(self, worker: str, runs: Sequence[str]) -> None:
        """Let a worker do runs from now on."""
        moment, home = self.now, self._homes[runs[0]]
        if self._loaded.get(worker) != home:
            self._loaded[worker] = home
            moment += LOADING
        for run in runs:
            self._at(moment, Started(worker, run))
            took = self._seconds[run] / self._speeds[worker]
            moment += took
            self.busy += took
            self._at(moment, Ended(worker, run, cast(RunResult, None), took))
        self._at(moment, Free(worker))

    def events(self) -> Iterator[Event]:
        """Yield the next event, and add the time that the driver takes for it."""
        moment, _, event = heapq.heappop(self._events)
        self.now = max(self.now, moment)
        began = time.perf_counter()
        yield event
        took = time.perf_counter() - began
        self.now += took
        self.driver += took

    def _at(self, moment: float, event: Event) -> None:
        heapq.heappush(self._events, (moment, next(self._number), event))


def measure(runs: int, workers: int, store_seconds: float) -> dict[str, Any]:
    """Have workers do a plan in virtual time.

    Args:
        runs: How many runs at least.
        workers: How many workers; their speeds differ up to four times.
        store_seconds: What keeping a result takes, from :func:`store_cost`.
    """
    made, _ = expanded(load_spec(runs))
    batches = batches_of(made)
    known = {run.id: run for run in made}
    seconds = durations(batches, MEAN_SECONDS)
    speeds = generator("load", "speeds").uniform(0.5, 2.0, size=workers).tolist()
    return {
        "workers": workers,
        "mean_seconds_a_run": MEAN_SECONDS,
        "seconds_to_load_a_backbone": LOADING,
        "worker_speeds": [0.5, 2.0],
        **{
            name: _simulated(batches, known, seconds, speeds, cost)
            for name, cost in (("loop_alone", 0.0), ("with_store", store_seconds))
        },
    }


def _simulated(
    batches: Sequence[Batch],
    known: Mapping[str, Run],
    seconds: Mapping[str, float],
    speeds: Sequence[float],
    store_seconds: float,
) -> dict[str, Any]:
    homes = {run: batch.home for batch in batches for run in batch.runs}
    began = time.perf_counter()
    scheduler = Scheduler(batches, shared=True)
    queued = time.perf_counter() - began
    pool = VirtualPool(speeds, seconds, homes)
    done = 0

    def tell(state: Progress) -> None:
        nonlocal done
        done = state.finished
        pool.now += store_seconds
        pool.driver += store_seconds

    runs = {run: known[run] for run in homes}
    failed = Drive(scheduler, runs, pool, cast(Ledger, Nowhere()), tell).work()
    if failed or done != len(homes):
        raise RuntimeError("not every run was done")
    return {
        "runs": done,
        "utilisation": round(pool.busy / (len(speeds) * pool.now), 4),
        "virtual_hours": round(pool.now / 3600, 2),
        "queue_seconds": round(queued, 2),
        "driver_ms_a_run": round(1000 * pool.driver / done, 3),
        "driver_busy": round(pool.driver / pool.now, 4),
    }


def store_cost() -> dict[str, Any]:
    """Write results into a store on this disk, and return what one of them takes."""
    random = generator("load", "store")
    names = [f"patient{number:04}" for number in range(PATIENTS)]
    logits = random.normal(size=PATIENTS)
    predictions = pd.DataFrame(
        {
            "patient_id": names,
            "image_id": names,
            "part": ["test"] * 40 + ["val"] * 32 + ["train"] * 128,
            "target": (np.arange(PATIENTS) % 4 == 0).astype(int),
            "logit": logits,
            "probability": 1 / (1 + np.exp(-logits)),
        }
    )
    result = RunResult(predictions, 0.5, 0.0, 0.5, 1000, 1.0, {"precision": "float32"})
    made, _ = expanded(load_spec(1))
    runs = made[:STORED]
    with tempfile.TemporaryDirectory() as folder:
        store = ResultsStore(Path(folder))
        store.register([run.record() for run in runs], [run.info() for run in runs])
        began, used = time.perf_counter(), time.process_time()
        for run in runs:
            store.start(run.id)
            store.finish({run.id: result}, {"python": "3"})
        took, spent = time.perf_counter() - began, time.process_time() - used
        store.close()
    return {
        "results": len(runs),
        "milliseconds_a_result": round(1000 * took / len(runs), 3),
        "processor_milliseconds_a_result": round(1000 * spent / len(runs), 3),
    }
