"""Ctrl-C that cannot be lost.

Python drops an exception that is raised while an object is being destroyed, in the callback of a
weak reference or in a call from C; libraries written in C clear any error of some calls without a
word, and objects that wait for an answer when they go (as those of Ray's client) are likely to be
interrupted there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN = 0.2
"""Seconds after which a Ctrl-C that ends nothing is raised once more."""


@contextlib.contextmanager
def heard() -> Iterator[Callable[[], None]]:
    """Remember a Ctrl-C for as long as the block runs; it is raised at once all the same.

    It is raised again every :data:`AGAIN` seconds until something is being ended by it. A block
    inside another shares what the outer one remembers.

    Yields:
        To be called between steps of the work: raises ``KeyboardInterrupt`` when a Ctrl-C came.
    """
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if isinstance(before, _Interruption):
        yield before.check
        return
    interruption = _Interruption(before)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield interruption.check  # no signals come to this thread, or none are wanted
        return

    def dropped(about: UnraisableHookArgs) -> None:
        if not isinstance(about.exc_value, KeyboardInterrupt):
            hook(about)

    signal.signal(signal.SIGINT, interruption)
    sys.unraisablehook = dropped
    try:
        yield interruption.check
    finally:
        interruption.end()
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


class _Interruption:
    """A handler of SIGINT that remembers it."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self._came = False
        self._alarm: tuple[Any, float] | None = None

    def __call__(self, number: int, frame: Any) -> None:
        self._came = True
        if sys.platform != "win32" and not self._alarm:  # there the checks have to do
            handler = signal.signal(signal.SIGALRM, self._raise_again)
            self._alarm = handler, signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)[0]
        self._before(number, frame)

    def check(self) -> None:
        if self._came:
            raise KeyboardInterrupt

    def end(self) -> None:
        """Give the alarm back to whoever had it."""
        if sys.platform != "win32" and self._alarm:
            handler, seconds_left = self._alarm
            signal.setitimer(signal.ITIMER_REAL, seconds_left)
            signal.signal(signal.SIGALRM, handler)

    def _raise_again(self, *_: object) -> None:
        # A handler runs amid what the main thread does: what is handled there is seen here.
        error = sys.exc_info()[1]
        while error is not None and not isinstance(error, KeyboardInterrupt):
            error = error.__cause__ or error.__context__
        if error is None:
            raise KeyboardInterrupt
