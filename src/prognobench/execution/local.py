"""This machine's device works off the pending runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from prognobench.execution.drive import Drive, Ended, Event, Free, Joined, Pool, Progress, timed
from prognobench.execution.environment import describe_environment
from prognobench.execution.groups import Group, as_batches, grouped, is_trained
from prognobench.execution.processes import ProcessPool, processes_for, spread
from prognobench.execution.scheduler import Scheduler
from prognobench.execution.task_images import TaskImages
from prognobench.execution.worker import Worker
from prognobench.plan import ControlRun, Run
from prognobench.results.ledger import Ledger
from prognobench.results.records import RunResult

NAME = "local"


class LocalPool:
    """The one worker of this process; waiting for an event is doing its work."""

    def __init__(
        self,
        worker: Worker,
        runs: Mapping[str, Run | ControlRun],
        images: Mapping[tuple[str, int], TaskImages],
        started: Callable[..., None],
    ) -> None:
        self._worker, self._runs, self._images, self._started = worker, runs, images, started
        self._given: tuple[str, Sequence[str]] | None = None
        self._joined = False

    def begin(self, worker: str, runs: Sequence[str]) -> None:
        """Take runs that belong together; they are done while :meth:`events` is read."""
        self._given = worker, runs

    def events(self) -> Iterator[Event]:
        """Do what was given, and yield what comes of it as it comes."""
        if not self._joined:
            self._joined = True
            yield Joined(NAME, describe_environment(self._worker.device))
        if self._given is None:
            return
        (name, given), self._given = self._given, None
        group = tuple(self._runs[run] for run in given)
        own = self._images[group[0].task.name, group[0].entry.image_size]
        left = 0 if is_trained(group[0]) else len(group)  # what is solved is there all at once
        for run, outcome, seconds in timed(self._worker.work(group, own, self._started)):
            left -= 1
            yield Ended(name, run, outcome, seconds, more=left > 0)
        yield Free(name)


def execute(
    pending: Sequence[Run | ControlRun],
    images: Mapping[tuple[str, int], TaskImages],
    ledger: Ledger,
    worker: Worker,
    report: Callable[[Progress], None],
) -> int:
    """Do runs, those that belong together at once; a failure is noted and stops nothing.

    First comes what is solved on cached features, with all cores; then what is trained, on a CPU
    in several processes.

    Args:
        pending: The runs to do, in order.
        images: Images of each task by its name and the input size.
        ledger: Where results go, each as soon as it is there.
        worker: What does them.
        report: Called after each run.

    Returns:
        How many runs failed.
    """
    groups = grouped(pending, images)

    def work(
        group: Group, started: Callable[..., None]
    ) -> Iterator[tuple[str, RunResult | Exception]]:
        own = images[group[0].task.name, group[0].entry.image_size]
        yield from worker.work(group, own, started)

    def drive(own: Sequence[Group], pool: Pool) -> int:
        scheduler = Scheduler(as_batches(own, images))
        runs = {run.id: run for group in own for run in group}
        done = total - len(runs) if own is apart else 0

        def tell(state: Progress) -> None:
            report(replace(state, finished=done + state.finished, total=total))

        return Drive(scheduler, runs, pool, ledger, tell).work()

    total = len(pending)
    trained = [group for group in groups if is_trained(group[0])]
    count = processes_for(worker.device, trained)
    apart = spread(trained, count) if count > 1 else []
    here = [group for group in groups if count == 1 or not is_trained(group[0])]
    known = {run.id: run for run in pending}
    failed = drive(here, LocalPool(worker, known, images, ledger.start)) if here else 0
    if apart:
        first = apart[0]
        worker.make_ready(apart, images[first[0].task.name, first[0].entry.image_size])
        with contextlib.closing(ProcessPool(work, apart, count)) as pool:
            failed += drive(apart, pool)
    return failed
