"""Ctrl-C that cannot be lost.

Python drops an exception that is raised while an object is being destroyed, and a library whose
objects wait for an answer when they go (as Ray's client has) is likely to be interrupted there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


@contextlib.contextmanager
def heard() -> Iterator[Callable[[], None]]:
    """Remember a Ctrl-C for as long as the block runs; it is raised at once all the same.

    Yields:
        To be called in every round of a loop: raises ``KeyboardInterrupt`` when a Ctrl-C came,
        also one that was raised already and got lost.
    """
    came = threading.Event()
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook

    def interrupted(number: int, frame: FrameType | None) -> None:
        came.set()
        if callable(before):
            before(number, frame)

    def lost(about: UnraisableHookArgs) -> None:
        if not isinstance(about.exc_value, KeyboardInterrupt):
            hook(about)

    def check() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield check  # no signals reach this thread, or whoever started the process wants none
        return
    signal.signal(signal.SIGINT, interrupted)
    sys.unraisablehook = lost
    try:
        yield check
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)
