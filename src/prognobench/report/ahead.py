"""Candidates are evaluated while others still train, so that the report has little left to do.

A process of its own does it, beside the run and after everything else that wants the processor. It
writes nothing but what :mod:`prognobench.report.kept_candidates` keeps. Without it, or where it
fails, the report evaluates the same candidates to the same numbers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from prognobench.own_process import own_command, own_environment
from prognobench.report.evaluating import ended, evaluate_ahead
from prognobench.results.store import ResultsStore
from prognobench.spec import load_spec

LEAST_RUNS = 1500
"""Runs from which on it pays: fewer are evaluated in a moment when all have ended."""

PAUSE = 60.0
"""Seconds between two looks at what has ended, at least."""

PATIENCE = 30.0
"""How many times as long as the last look took the next is waited for: looking reads all runs."""

NICENESS = 10
"""How far it steps back behind the training, on the scale of the system from 0 to 19."""

GRACE = 2.0
"""Seconds in which it ends the candidate that it is at, when nobody needs it any more: an
interruption must end within five."""


@contextlib.contextmanager
def evaluating_ahead(output: Path, runs: int, pause: float = PAUSE) -> Iterator[None]:
    """Evaluate what has ended while the block goes on.

    Args:
        output: The output folder of a run.
        runs: How many runs the block will do; of few nothing is evaluated.
        pause: Seconds between two looks, at least.
    """
    if runs < LEAST_RUNS:
        yield
        return
    process = subprocess.Popen(  # noqa: S603  a module of this program, and a folder
        own_command("prognobench.report.ahead", str(output.resolve()), str(pause)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=own_environment(),
    )
    try:
        yield
    finally:
        # However this process ends, the other one's input ends with it.
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(output: Path, pause: float) -> None:
    """Look again and again at what has ended, until the input ends.

    Args:
        output: The output folder.
        pause: Seconds between two looks, at least.
    """
    # Ctrl-C is for the run; its end ends the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    over = threading.Event()

    def listen() -> None:
        sys.stdin.buffer.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    asked = load_spec(output / "benchmark.yaml").evaluation
    with contextlib.closing(ResultsStore(output)) as store:
        wait = pause
        while not over.wait(wait):
            began = time.monotonic()
            candidates = ended(output, store, asked)
            wait = max(pause, PATIENCE * (time.monotonic() - began))
            evaluate_ahead(output, store, candidates, over.is_set)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
