"""Files decoded in processes of their own, several at a time.

A process that is free waits a moment for more work, since cohorts come one after another.

Every file is read once: a process reads it and tells its digest; it decodes what it has read only
where that is wanted, at once where that does not hang on the digest. A process that a file ends is
started anew, and the file is tried once more in it, since a process may also be ended by the system
for want of memory; then it is given up with a reason. A file whose decoding takes too long is given
up at once.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from prognobench.images.decoder import BROKE_DOWN, Decoder, DecoderEndedError, Request
from prognobench.images.geometry import Box

FILES_A_PROCESS = 16
"""Fewer files than this are not worth another process, which takes half a second to start."""

IDLE_SECONDS = 10.0
"""How long a process that has nothing to do is kept."""

_WATCH_EVERY = 0.5

Wanted = Callable[[str, str | None], Request | None]
"""From a file's name and digest to what shall be made of it. It is asked first without a digest;
None then says that it hangs on that."""


@dataclass
class Outcome:
    """What became of one file.

    Attributes:
        name: Its name.
        digest: SHA-256 of its bytes; None where it could not be read.
        images: uint8 squares, one a size asked for; None where none was wanted or could be made.
        lungs: The box of a lung mask, where that was asked for and there is one.
        failure: Why there are none, in words.
        lasting: Whether the file itself is the cause, so that it need not be tried again.
        unexpected: Name of an error that should have been a reason.
        seconds: How long it took by the clock.
    """

    name: str
    digest: str | None = None
    images: list[npt.NDArray[np.uint8]] | None = None
    lungs: Box | None = None
    failure: str | None = None
    lasting: bool = False
    unexpected: str | None = None
    seconds: float = 0.0


def decode_files(
    files: Mapping[str, Path],
    wanted: Wanted,
    processes: int | None = None,
) -> Iterator[Outcome]:
    """Read files and decode those that are wanted, in any order.

    Large files come first, so that the last of them does not keep the other cores waiting.

    Args:
        files: The files by name.
        wanted: What shall be made of a file; called from several threads.
        processes: How many processes; by default one a core, and fewer for few files.

    Yields:
        One outcome a file.
    """
    count = processes or min(_cores(), -(-len(files) // FILES_A_PROCESS))
    if not files:
        return
    # In classes of like size, within which neighbours on the disk stay neighbours.
    large_first = sorted(files.items(), key=lambda entry: -_bytes(entry[1]).bit_length())
    todo, turn = deque(large_first), threading.Lock()
    finished: queue.SimpleQueue[Outcome | Future[None]] = queue.SimpleQueue()
    # What is finished waits in memory until it is taken.
    room, stopping = threading.Semaphore(4 * count), threading.Event()

    def take(left: int) -> _Asked | None:
        with turn:
            entry = todo.popleft() if len(todo) > left else None
        return None if entry is None else _Asked(*entry, wanted(entry[0], None))

    def work(decoder: Decoder) -> None:
        asked = take(0)
        while asked is not None and room.acquire() and not stopping.is_set():
            # The last files are taken by whoever is free.
            after = take(count)
            finished.put(_decoded(decoder, asked, wanted, after))
            asked = after or take(0)

    with _Decoders(count) as decoders, ThreadPoolExecutor(count) as threads:
        working = [threads.submit(work, decoder) for decoder in decoders.all]
        for ended in working:
            ended.add_done_callback(finished.put)
        try:
            while working:
                outcome = finished.get()
                if isinstance(outcome, Outcome):
                    yield outcome
                else:
                    outcome.result()
                    working.remove(outcome)
                room.release()
        except BaseException:
            stopping.set()
            room.release(count)
            decoders.stop()
            raise


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # why it cannot be read is told when it is its turn
        return 0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Spare:
    """Processes that have nothing to do for the moment."""

    def __init__(self) -> None:
        self.forget()
        atexit.register(self.stop, 0.0)
        if hasattr(os, "register_at_fork"):
            # A copy of this process must not talk to the same decoders.
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Start without any."""
        self._decoders: list[Decoder] = []
        self._lock = threading.Lock()

    def take(self, count: int) -> list[Decoder]:
        """Return so many decoders, the spare ones first."""
        with self._lock:
            taken, self._decoders = self._decoders[:count], self._decoders[count:]
        return [*taken, *(Decoder() for _ in range(count - len(taken)))]

    def put(self, decoders: list[Decoder]) -> None:
        """Keep decoders for a while."""
        for decoder in decoders:
            decoder.last_used = time.monotonic()
        with self._lock:
            first = not self._decoders
            self._decoders += [decoder for decoder in decoders if not decoder.closed]
        if first:
            threading.Thread(target=self._sweep, daemon=True).start()

    def stop(self, idle: float) -> bool:
        """End those that have been idle for so many seconds; say whether any are left."""
        with self._lock:
            now = time.monotonic()
            old = [one for one in self._decoders if now - one.last_used >= idle]
            self._decoders = [one for one in self._decoders if one not in old]
            left = bool(self._decoders)
        for decoder in old:
            decoder.stop()
        return left

    def _sweep(self) -> None:
        while self.stop(IDLE_SECONDS):
            time.sleep(1.0)


_SPARE = _Spare()


def stop_decoders() -> None:
    """End the processes that wait for more work, at once and not after a while."""
    _SPARE.stop(0.0)


class _Decoders:
    """Some processes, and a watch over how long they take."""

    def __init__(self, count: int) -> None:
        self.all = _SPARE.take(count)
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._stop_late, daemon=True)

    def __enter__(self) -> _Decoders:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()
        _SPARE.put(self.all)

    def stop(self) -> None:
        """End all processes."""
        for decoder in self.all:
            decoder.stop()

    def _stop_late(self) -> None:
        while not self._over.wait(_WATCH_EVERY):
            for decoder in self.all:
                deadline = decoder.deadline
                if deadline is not None and time.monotonic() > deadline:
                    decoder.late = True
                    decoder.kill()


@dataclass(frozen=True)
class _Asked:
    """A file, and what is wanted of it before its digest is known."""

    name: str
    path: Path
    wanted: Request | None

    @cached_property
    def read(self) -> Request:
        """The request to read it."""
        return {"read": str(self.path.absolute())}

    @cached_property
    def request(self) -> Request:
        """The first request: to read it, and to make of it what is wanted."""
        return {**self.read, **(self.wanted or {})}


def _decoded(decoder: Decoder, asked: _Asked, wanted: Wanted, after: _Asked | None) -> Outcome:
    began = time.monotonic()
    outcome = _try(decoder, asked, wanted, after)
    if outcome.failure == BROKE_DOWN:
        outcome = _try(decoder, asked, wanted, None)
    outcome.seconds = time.monotonic() - began
    return outcome


def _try(decoder: Decoder, asked: _Asked, wanted: Wanted, after: _Asked | None) -> Outcome:
    name, digest, request = asked.name, None, asked.wanted
    try:
        # A file that is asked for again when its digest is known has nothing sent after it.
        ahead = after.request if after is not None and request is not None else None
        answer, images = decoder.ask(asked.request, ahead)
        digest = answer.get("digest")
        if request is None and digest is not None:
            request = wanted(name, digest)
            if request is None:
                return Outcome(name, digest)
            answer, images = decoder.ask(request)
        if "failure" not in answer:
            lungs = answer.get("lungs")
            return Outcome(name, digest, images, None if lungs is None else Box(*lungs))
    except DecoderEndedError as error:
        return Outcome(name, digest or _digest(decoder, asked.read), failure=str(error))
    return Outcome(
        name,
        digest,
        failure=str(answer["failure"]),
        lasting=bool(answer.get("lasting", False)),
        unexpected=answer.get("unexpected"),
    )


def _digest(decoder: Decoder, read: Request) -> str | None:
    """Return the digest of a file that ended the process which should have decoded it too."""
    try:
        answer, _ = decoder.ask(read)
    except DecoderEndedError:
        return None
    return answer.get("digest")
