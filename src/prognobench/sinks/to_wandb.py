"""Weights & Biases: a run for the benchmark, and in it a table with a record for each of its runs.

A run of its own for each would take seconds to open and close, more than many of the benchmark's
runs take to be trained. Where it goes is the client's own setting (``WANDB_PROJECT``,
``WANDB_MODE=offline``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import wandb

from prognobench.sinks.records import PARAMETERS, Benchmark, Ended, Record

PROJECT = "prognobench"


class WandbSink:
    """A benchmark in Weights & Biases."""

    def __init__(self) -> None:
        self._run: Any = None

    def begin(self, benchmark: Benchmark) -> None:
        """Open the benchmark's run, or the one that was begun before."""
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=benchmark.name,
            id=benchmark.identity,
            resume="allow",
            job_type="benchmark",
            config=dict(benchmark.parameters),
            # Nothing is sent but what is logged here: no output, code, or state of the machine.
            settings=wandb.Settings(
                console="off", save_code=False, disable_git=True, x_disable_stats=True, silent=True
            ),
        )

    def progress(self, finished: int, total: int, failed: int) -> None:
        """Log how far it is."""
        self._run.log({"finished": finished, "to_do": total, "failed": failed})

    def end(self, ended: Ended) -> None:
        """Log the table of runs and the report."""
        metrics = sorted({name for record in ended.records for name in record.metrics})
        columns: list[str | int] = ["run", "state", *PARAMETERS, *metrics]
        rows: list[Iterable[Any]] = [_row(record, metrics) for record in ended.records]
        table = wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
        self._run.log({"runs": table})
        self._run.summary["runs_done"] = sum(record.done for record in ended.records)
        artifact = wandb.Artifact(f"report-{self._run.id}", type="report")
        for path in ended.files:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def close(self, whole: bool) -> None:
        """Say how the benchmark ended, and wait until all is written or sent."""
        if self._run is not None:
            self._run.finish(exit_code=0 if whole else 1)


def _row(record: Record, metrics: list[str]) -> list[Any]:
    told = [record.parameters.get(name) for name in PARAMETERS]
    measured = [record.metrics.get(name) for name in metrics]
    return [record.run, "done" if record.done else "failed", *told, *measured]


SINK = WandbSink
