"""A process that decodes, seen from the one that asks it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from prognobench.images.decoder_process import LENGTH, SECONDS
from prognobench.own_process import own_command, own_environment

PIPE_BYTES = 1 << 20
"""Room for an answer that nobody has taken yet, so that its process goes on with the next file."""

KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""How much freed memory glibc keeps in a process (mallopt(3)), from the start what it comes to by
itself after a file of 32 MB: the pixels of the next file then need no new pages of the system."""

TOO_LONG = f"decoding takes more than {SECONDS} s"
BROKE_DOWN = "the decoder broke down on it"
STOPPED = "decoding was stopped"

_CLOCK_SECONDS = 10.0 * SECONDS

Request = Mapping[str, Any]
"""What to do with a file: ``sizes``, and if wanted ``percentiles`` and ``box``; or ``lungs``, to
have the box of a lung mask."""


class DecoderEndedError(Exception):
    """The process ended while it had a file; the message says why."""


class Decoder:
    """One process, started when it is first asked and again after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ahead: Request | None = None
        self._lock = threading.Lock()
        self.closed = False
        self.deadline: float | None = None
        self.late = False
        self.last_used = 0.0

    def ask(
        self, request: Request, after: Request | None = None
    ) -> tuple[dict[str, Any], list[npt.NDArray[np.uint8]]]:
        """Return the answer to a request, and its images.

        Args:
            request: What is asked.
            after: What will be asked next, if that is known: the process has it at hand when it
                has answered, and does not wait meanwhile.

        Raises:
            DecoderEndedError: When the process ended instead.
        """
        process = self._started()
        told, self._ahead = self._ahead, after
        self.late, self.deadline = False, time.monotonic() + _CLOCK_SECONDS
        try:
            if told is not request:
                _write(process, request)
            if after is not None:
                _write(process, after)
            (length,) = LENGTH.unpack(_read(process, LENGTH.size))
            answer: dict[str, Any] = json.loads(_read(process, length))
            images = [
                np.frombuffer(_read(process, height * width), dtype=np.uint8).reshape(height, width)
                for height, width in answer.get("shapes", [])
            ]
        except (OSError, EOFError, ValueError) as error:
            raise DecoderEndedError(self._end()) from error
        finally:
            self.deadline = None
        return answer, images

    def stop(self) -> None:
        """End the process for good."""
        with self._lock:
            self.closed = True
            self.kill()
        self._end()

    def kill(self) -> None:
        """End the process; whoever waits for its answer is told."""
        if self._process is not None:
            self._process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.closed:
                raise DecoderEndedError(STOPPED)
            if self._process is None:
                self._process = _start()
            return self._process

    def _end(self) -> str:
        process, self._process = self._process, None
        self._ahead = None
        if process is None:
            return STOPPED
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        code = process.wait()
        if self.late or code == -getattr(signal, "SIGXCPU", 0):
            return TOO_LONG
        return BROKE_DOWN


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  a module of this program
        own_command("prognobench.images.decoder_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # native code prints there, and may quote the file
        pipesize=PIPE_BYTES,
        env={**KEPT_MEMORY, **own_environment()},
    )


def _write(process: subprocess.Popen[bytes], request: Request) -> None:
    assert process.stdin is not None  # noqa: S101
    message = json.dumps(dict(request)).encode()
    process.stdin.write(LENGTH.pack(len(message)) + message)
    process.stdin.flush()


def _read(process: subprocess.Popen[bytes], count: int) -> bytes:
    assert process.stdout is not None  # noqa: S101
    data = process.stdout.read(count)
    if len(data) < count:
        raise EOFError
    return data
