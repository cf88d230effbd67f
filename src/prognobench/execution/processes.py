"""Several processes of this machine that do runs, each on one thread.

On a CPU, two threads are far from twice as fast as one in training steps; two processes with a run
each are. They are forked, so that libraries, images and plan are there at once and lie in memory
once.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import torch

from prognobench.errors import UserError
from prognobench.execution.drive import Ended, Event, Free, Joined, Left, Started, timed
from prognobench.execution.environment import describe_environment
from prognobench.execution.groups import Group
from prognobench.results.records import RunResult

PROCESSES_VARIABLE = "PROGNOBENCH_PROCESSES"
"""Environment variable: how many processes train on a CPU; by default one a core (fewer
where ``OMP_NUM_THREADS`` says so)."""

_LAST_WORDS = 0.5
"""Seconds in which a process that has nothing more to do ends by itself."""

Work = Callable[[Group, Callable[..., None]], Iterator[tuple[str, RunResult | Exception]]]
"""Does a group: calls back with the ids of runs that begin, yields each run's outcome."""


def processes_for(device: torch.device, groups: Sequence[Group]) -> int:
    """Return how many processes shall work on some groups; 1 where this one does best alone.

    There are as many as torch would use threads (or as ``PROGNOBENCH_PROCESSES`` says), on Linux
    and a CPU. Where there are runs for fewer than half of the cores, one run at a time with all of
    them is faster.

    Raises:
        UserError: When the variable holds no number.
    """
    if device.type != "cpu" or sys.platform != "linux":
        return 1
    asked = os.environ.get(PROCESSES_VARIABLE, "")
    if asked and not (asked.isdecimal() and int(asked) > 0):
        raise UserError(f"{PROCESSES_VARIABLE} is '{asked}': give a number of processes, 1 or more")
    cores = int(asked) if asked else torch.get_num_threads()
    runs = sum(len(group) for group in groups)
    return min(cores, runs) if runs > 1 and (asked or 2 * runs >= cores) else 1


def spread(groups: Sequence[Group], processes: int) -> list[Group]:
    """Return groups cut into a part for each process; runs of a part can share a pass."""
    cut: list[Group] = []
    for group in groups:
        size = -(-len(group) // processes)
        cut += [group[start : start + size] for start in range(0, len(group), size)]
    return cut


class ProcessPool:
    """Workers in processes that are forked from this one, and end with it.

    When one is killed, as the system does when memory runs out, half as many go on.
    """

    def __init__(self, work: Work, groups: Sequence[Group], count: int) -> None:
        """Make ready to work; the processes are started when events are first asked for.

        Args:
            work: Does a group; it is called in the processes.
            groups: All that may be given to them.
            count: Number of processes.
        """
        self._work, self._wanted = work, count
        self._runs = {run.id: run for group in groups for run in group}
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._given: dict[str, Sequence[str]] = {}
        self._started = 0

    def begin(self, worker: str, runs: Sequence[str]) -> None:
        """Have a process that is free do runs that belong together."""
        self._given[worker] = runs
        with contextlib.suppress(OSError):  # it was killed: that will be seen as an event
            self._running[worker][1].send(list(runs))

    def events(self) -> Iterator[Event]:
        """Wait until a process says something, and yield what it says."""
        if not self._started:
            # The collector writes into all it looks at, which would make the processes' common
            # memory their own, some 150 MB each.
            gc.collect()
            gc.freeze()
        while len(self._running) < self._wanted:
            yield self._start()
        names = {connection: name for name, (_, connection) in self._running.items()}
        for connection in wait(list(names)):
            name = names[cast(Connection, connection)]
            if name not in self._running:
                continue
            try:
                what, run, content = cast(Connection, connection).recv()
            except (EOFError, OSError):
                yield self._lost(name)
                continue
            if what == "stopped":
                raise as_error(*content)
            if what == "free":
                self._given.pop(name)
                if len(self._running) > self._wanted:
                    self._end(name)
                    yield Left(name, "there are fewer processes now", blame=False)
                else:
                    yield Free(name)
            elif what == "began":
                yield Started(name, run)
            else:
                outcome, seconds = content
                ended = as_error(*outcome) if what == "failed" else outcome
                yield Ended(name, run, ended, seconds)

    def close(self) -> None:
        """End all processes, at once: there may be many, and Ctrl-C was pressed."""
        for _, connection in self._running.values():
            connection.close()
        until = time.monotonic() + _LAST_WORDS
        for name in list(self._running):
            self._end(name, until - time.monotonic())
        gc.unfreeze()

    def _start(self) -> Joined:
        self._started += 1
        name = f"process {self._started}"
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        arguments = (theirs, self._work, self._runs)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._running[name] = process, ours
        return Joined(name, describe_environment(torch.device("cpu")))

    def _lost(self, name: str) -> Left:
        self._wanted = max(1, len(self._running) // 2)
        busy = name in self._given
        code = self._end(name)
        signalled = signal.Signals(-code).name if code is not None and code < 0 else f"code {code}"
        return Left(name, f"it was ended by {signalled}: memory may have run out", blame=busy)

    def _end(self, name: str, patience: float = _LAST_WORDS) -> int | None:
        """End a process, by force when patience is over, and return its exit code."""
        process, connection = self._running.pop(name)
        self._given.pop(name, None)
        connection.close()
        process.join(timeout=max(0.0, patience))
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode


def _serve(connection: Connection, work: Work, runs: Mapping[str, Any]) -> None:
    """Do groups, by the ids of their runs, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to interruptions
    _end_with_parent()
    # When memory runs out, the system shall end this process before the one that keeps results.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    # No threads: OpenMP's do not survive a fork.
    torch.set_num_threads(1)

    def began(*runs: str) -> None:
        for run in runs:
            connection.send(("began", run, None))

    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent has no more to do
        while True:
            group = tuple(runs[run] for run in connection.recv())
            try:
                for run, outcome, seconds in timed(work(group, began)):
                    if isinstance(outcome, Exception):
                        connection.send(("failed", run, (in_words(outcome), seconds)))
                    else:
                        connection.send(("done", run, (outcome, seconds)))
            except BrokenPipeError:
                raise
            except Exception as error:
                connection.send(("stopped", "", in_words(error)))
            connection.send(("free", "", None))


def in_words(error: Exception) -> tuple[str, str]:
    """Return an error's kind and text: not every error can be sent as it is."""
    return type(error).__name__, str(error)


def as_error(kind: str, text: str) -> Exception:
    """Return an error of a process with the name of its kind."""
    if kind == UserError.__name__:
        return UserError(text)
    return cast(Exception, type(kind, (RuntimeError,), {})(text))


def _end_with_parent() -> None:
    """End this process when its parent ends, even in the middle of a run."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
