"""Progress: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

LINES = ((60.0, 10.0), (600.0, 60.0), (float("inf"), 300.0))
"""Seconds between two lines where there is no terminal: until when, and how many."""

Step = Callable[[int, int, str, float | None], None]
"""Takes how many are done, of how many, what was last, and the estimated seconds left; where these
are None, they follow from the pace so far."""


@contextlib.contextmanager
def progress(title: str, console: Console) -> Iterator[Step]:
    """Show progress while the block runs.

    Args:
        title: What is being done.
        console: Where to show it.

    Yields:
        The function to call after each step.
    """
    began = time.monotonic()
    if not console.is_terminal:
        yield _lines(title, console, began)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[last]}", markup=False),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, left="", last="")

        def step(done: int, total: int, last: str, left: float | None) -> None:
            seconds = _left(done, total, left, time.monotonic() - began)
            shown = "" if seconds is None else f"{duration(seconds)} left"
            bar.update(task, completed=done, total=total, left=shown, last=last)

        yield step


def _lines(title: str, console: Console, began: float) -> Step:
    shown = began

    def step(done: int, total: int, _: str, left: float | None) -> None:
        nonlocal shown
        now = time.monotonic()
        every = next(every for until, every in LINES if now - began < until)
        # What is over at once needs no line.
        if now - shown < every and (done < total or shown == began):
            return
        shown = now
        seconds = _left(done, total, left, now - began)
        tail = "" if seconds is None or done >= total else f", about {duration(seconds)} left"
        console.print(
            f"{title}: {done} of {total} after {duration(now - began)}{tail}",
            highlight=False,
            soft_wrap=True,
        )

    return step


def _left(done: int, total: int, known: float | None, gone: float) -> float | None:
    """Return the seconds left, by the pace so far where they are not known."""
    if known is not None or not done:
        return known
    return gone / done * (total - done)


def duration(seconds: float) -> str:
    """Return seconds in words, such as ``1 h 02 min``, ``3 min 05 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"
