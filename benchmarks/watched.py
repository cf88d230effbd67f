"""Commands of prognobench that can be watched and killed, and what is to be found after it.

A command is forked from this process, so that its libraries are there at once: what is killed is
work and not the loading of libraries. It is the command line's own ``main``; the functions in which
its phases begin only say so beforehand, through a pipe.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import os
import select
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from prognobench.files import WRITING, file_digest

PHASES = (
    *("starting", "decoding", "splits", "training", "writing", "evaluation", "saliency", "report"),
)
"""What a driver goes through; it writes a run's result in the midst of training."""

LONGEST = 240.0
"""Seconds after which a command that says nothing is taken to hang."""


@dataclass(frozen=True)
class Mark:
    """What a driver said: ``enter`` or ``back`` with a phase, or ``finished`` with a run."""

    kind: str
    what: str
    at: float


class Driver:
    """A command in a process of its own, which says where it is.

    Attributes:
        pid: Its process.
        marks: What it has said so far.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Start a command.

        Args:
            arguments: What would stand after ``prognobench``.
            log: Where its output goes.
            environment: Variables set beside those of this process.
            before: Called in the process before the command begins.
        """
        pipe = self._reading, writing = os.pipe()
        target = functools.partial(
            _command, list(arguments), log, dict(environment or {}), before, pipe
        )
        self._process = multiprocessing.get_context("fork").Process(target=target)
        self._process.start()
        os.close(writing)
        self.pid: int = self._process.pid or 0
        self.marks: list[Mark] = [Mark("enter", "starting", time.perf_counter())]
        self._rest, self._silent = b"", False

    @property
    def phase(self) -> str:
        """The phase in which it is, or was when it ended."""
        return next(mark.what for mark in reversed(self.marks) if mark.kind != "finished")

    @property
    def finished(self) -> list[str]:
        """The runs that it said it had finished, in order."""
        return [mark.what for mark in self.marks if mark.kind == "finished"]

    def wait_for(self, phase: str, times: int = 1) -> bool:
        """Wait until it enters a phase for the n-th time; False when it ends before."""
        wanted = ("enter", phase)
        return self._read(
            LONGEST, lambda: sum((m.kind, m.what) == wanted for m in self.marks) >= times
        )

    def linger(self, seconds: float) -> bool:
        """Let it go on for some seconds; return whether it still goes then."""
        self._read(seconds, lambda: False)
        return not self._silent

    def send(self, number: int, *, group: bool = False) -> None:
        """Send it a signal, or to all its processes, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def children(self) -> dict[str, list[int]]:
        """Return its processes that train and those that decode."""
        found: dict[str, list[int]] = {"workers": [], "decoders": []}
        for pid in _children(self.pid):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                found["decoders" if b"decoder_process" in command else "workers"].append(pid)
        return found

    def end(self, seconds: float = LONGEST) -> int:
        """Wait until it and all its processes have ended; return its exit code.

        Raises:
            TimeoutError: When they do not.
        """
        if not self._read(seconds, lambda: self._silent):
            self.send(signal.SIGKILL, group=True)
            raise TimeoutError(f"a command has not ended {seconds:.0f} s later")
        self._process.join()
        os.close(self._reading)
        return self._process.exitcode or 0

    def kill(self) -> str:
        """End it by SIGKILL, and return the phase in which that met it."""
        self.send(signal.SIGKILL)
        self.end(30)
        return self.phase

    def _read(self, seconds: float, enough: Callable[[], bool]) -> bool:
        """Take in what it says until that is enough, it has ended, or time is up."""
        until = time.perf_counter() + seconds
        while not enough():
            left = until - time.perf_counter()
            if self._silent or left < 0:
                return False
            # Waiting for nothing may be late by a millisecond: the last one is waited for awake.
            if not select.select([self._reading], [], [], max(0.0, left - 0.001))[0]:
                continue
            said = os.read(self._reading, 1 << 16)
            self._silent = not said  # its processes that train hold the pipe as well
            *lines, self._rest = (self._rest + said).split(b"\n")
            for line in lines:
                kind, what = line.decode().split(" ", 1)
                self.marks.append(Mark(kind, what, time.perf_counter()))
        return True


def _command(
    arguments: list[str],
    log: Path,
    environment: dict[str, str],
    before: Callable[[], None] | None,
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    os.close(reading)
    os.setsid()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where a test runner looks on, standard output is no file.
    with log.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
    _tell_phases(writing)
    if before:
        before()
    from prognobench.cli import main

    sys.argv = ["prognobench", *arguments]
    main()


def _tell_phases(writing: int) -> None:
    """Have the functions in which phases begin say so."""
    from prognobench.execution import benchmark, prepare
    from prognobench.report import build
    from prognobench.results.store import ResultsStore
    from prognobench.saliency import write

    inside = ["starting"]

    def tell(kind: str, what: str) -> None:
        os.write(writing, f"{kind} {what}\n".encode())

    def told(act: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @functools.wraps(act)
        def telling(*given: Any, **named: Any) -> Any:
            inside.append(phase)
            tell("enter", phase)
            try:
                found = act(*given, **named)
            finally:
                inside.pop()
            if phase == "writing":
                for run in found:
                    tell("finished", run)
            tell("back", inside[-1])
            return found

        return telling

    places: list[tuple[Any, str, str]] = [
        (prepare, "build_store", "decoding"),
        (prepare, "make_splits", "splits"),
        (benchmark, "write_preparation", "splits"),
        (benchmark, "register", "splits"),
        (benchmark, "run_benchmark", "training"),
        (ResultsStore, "finish", "writing"),
        (build, "evaluate", "evaluation"),
        (write, "write_saliency", "saliency"),
        (build, "write_report", "report"),
    ]
    for owner, name, phase in places:
        setattr(owner, name, told(getattr(owner, name), phase))


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []


@dataclass(frozen=True)
class Kept:
    """A finished run as an output folder has it."""

    sha256: str
    finished: str
    attempts: int
    changed: int


def finished_runs(output: Path, scratch: Path) -> dict[str, Kept]:
    """Return the finished runs of an output folder that nobody works on.

    The database is copied first: looking at what a killed process left would mend it.

    Raises:
        AssertionError: When predictions of a finished run are missing or are not those of the
            database.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for path in output.glob("results.db*"):
        shutil.copy(path, scratch)
    if not (scratch / "results.db").is_file():
        return {}
    with contextlib.closing(sqlite3.connect(scratch / "results.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchall():
            return {}
        rows = connection.execute(
            "SELECT run, predictions_sha256, finished, attempts FROM runs WHERE state = 'done'"
        ).fetchall()
    found = {}
    for run, digest, finished, attempts in rows:
        path = output / "predictions" / f"{run}.parquet"
        if not path.is_file() or file_digest(path) != digest:
            raise AssertionError(f"the predictions of the finished run {run} are not there")
        found[run] = Kept(digest, finished, attempts, path.stat().st_mtime_ns)
    return found


def broken_files(folder: Path) -> list[str]:
    """Return the files of an output folder that are not whole, temporary ones apart."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".parquet": lambda path: pd.read_parquet(io.BytesIO(path.read_bytes())),
        ".csv": pd.read_csv,
        ".png": lambda path: Image.open(path).load(),
        ".html": lambda path: path.read_text().rstrip().endswith("</html>") or 1 / 0,
        ".svg": lambda path: path.read_text().rstrip().endswith("</svg>") or 1 / 0,
    }
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(WRITING) for part in path.parts):
            try:
                readers.get(path.suffix, lambda _: None)(path)
            except pd.errors.EmptyDataError:
                continue  # a table without columns
            except Exception as error:
                found.append(f"{path.relative_to(folder)}: {type(error).__name__}")
    return found


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files and folders below a folder."""
    return [str(path) for path in folder.rglob(f"{WRITING}*")]


def differences(output: Path, expected: Path, tolerance: float = 1e-4) -> tuple[list[str], float]:
    """Compare the results of two output folders.

    Args:
        output: One.
        expected: The other.
        tolerance: How much logits may differ: what is trained in one pass differs by rounding.

    Returns:
        What differs by more, in words, and the largest difference between logits.
    """
    own, other = (finished_runs(one, one.parent / "compared") for one in (output, expected))
    if own.keys() != other.keys():
        return [f"runs: {sorted(own.keys() ^ other.keys())}"], float("nan")
    found, largest = [], 0.0
    for run in own:
        one, two = (
            pd.read_parquet(at / "predictions" / f"{run}.parquet") for at in (output, expected)
        )
        words = ["patient_id", "image_id", "part", "target"]
        if not one[words].equals(two[words]):
            found.append(f"the rows of {run}")
            continue
        gap = float(np.abs(one["logit"] - two["logit"]).max())
        largest = max(largest, gap)
        if gap > tolerance:
            found.append(f"the logits of {run}: {gap:.2g}")
    for name in ("results.csv", "leaderboard.csv", "ranks.csv", "curves.csv", "subgroups.csv"):
        one, two = (_table(at / name) for at in (output, expected))
        if not (one.shape == two.shape and list(one.columns) == list(two.columns)):
            found.append(f"the shape of {name}")
            continue
        for column in one.columns:
            numbers = pd.api.types.is_numeric_dtype(one[column])
            if numbers:
                same = np.allclose(one[column], two[column], atol=1e-3, equal_nan=True)
            else:
                same = one[column].equals(two[column])
            if not same and not any(word in column for word in ("seconds", "memory")):
                found.append(f"{column} in {name}")
    return found, largest


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
