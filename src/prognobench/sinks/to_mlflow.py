"""MLflow: a run for the benchmark, and nested in it one for each of the benchmark's runs.

Where it goes is MLflow's own setting (``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``). The
client is used without its global state, so that it gets in nobody's way.
"""

from __future__ import annotations

import os
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from prognobench.sinks.records import Benchmark, Ended, Record

EXPERIMENT = "prognobench"

IDENTITY = "prognobench.benchmark"
RUN = "prognobench.run"
"""Tags by which what was begun before is found again."""

PAGE = 1000


class MlflowSink:
    """A benchmark in MLflow."""

    def __init__(self) -> None:
        self._client = MlflowClient()
        self._experiment, self._parent = "", ""

    def begin(self, benchmark: Benchmark) -> None:
        """Find the benchmark's run, or make it."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        known = self._client.get_experiment_by_name(name)
        self._experiment = known.experiment_id if known else self._client.create_experiment(name)
        asked = f"tags.`{IDENTITY}` = '{benchmark.identity}'"
        found = self._client.search_runs([self._experiment], asked, max_results=1)
        if found:
            self._parent = found[0].info.run_id
            self._client.update_run(self._parent, status=_status(RunStatus.RUNNING))
            return
        tags = {IDENTITY: benchmark.identity}
        made = self._client.create_run(self._experiment, run_name=benchmark.name, tags=tags)
        self._parent = made.info.run_id
        parameters = [Param(key, value) for key, value in benchmark.parameters.items()]
        self._client.log_batch(self._parent, params=parameters)

    def progress(self, finished: int, total: int, failed: int) -> None:
        """Log how far it is."""
        now = _now()
        values = {"finished": finished, "to_do": total, "failed": failed}
        metrics = [Metric(name, float(value), now, finished) for name, value in values.items()]
        self._client.log_batch(self._parent, metrics=metrics)

    def end(self, ended: Ended) -> None:
        """Log each run that is not there yet, and the report."""
        there = self._known()
        for record in ended.records:
            if there.get(record.run) != _status(_of(record)):
                self._log(record)
        for path in ended.files:
            self._client.log_artifact(self._parent, str(path))

    def close(self, whole: bool) -> None:
        """Say how the benchmark ended."""
        if self._parent:
            status = RunStatus.FINISHED if whole else RunStatus.KILLED
            self._client.set_terminated(self._parent, _status(status))

    def _known(self) -> dict[str, str]:
        """Return the runs that are nested already, with their status."""
        asked = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self._parent}'"
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], asked, max_results=PAGE, page_token=token
            )
            found |= {str(run.data.tags[RUN]): str(run.info.status) for run in page}
            token = page.token
            if not token:
                return found

    def _log(self, record: Record) -> None:
        told = record.parameters
        made = self._client.create_run(
            self._experiment,
            run_name=f"{told['backbone']} {told['strategy']} {told['split']}",
            tags={MLFLOW_PARENT_RUN_ID: self._parent, RUN: record.run},
        )
        now = _now()
        self._client.log_batch(
            made.info.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in record.metrics.items()],
            params=[Param(name, str(value)) for name, value in told.items()],
        )
        self._client.set_terminated(made.info.run_id, _status(_of(record)))


def _of(record: Record) -> int:
    return int(RunStatus.FINISHED if record.done else RunStatus.FAILED)


def _status(status: int) -> str:
    return str(RunStatus.to_string(status))


def _now() -> int:
    """Return the milliseconds that MLflow orders values by."""
    return time.time_ns() // 1_000_000


SINK = MlflowSink
