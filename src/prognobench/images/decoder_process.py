"""A process that decodes: what a file can do to a decoder stays in here.

Decoders are native code, and files come from anywhere. A file that crashes one, hangs it or makes
it ask for all memory ends this process and no other. It is held to so much memory for all and so
much computing time for each file, and imports nothing heavy.

It is asked on its standard input and answers on its standard output, one message at a time: a
length of four bytes, and JSON. An answer with pixels has their bytes after it. Nothing in either
direction is code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from prognobench.images.decode import decode_bytes, read_bytes
from prognobench.images.geometry import Box, crop_square, to_square
from prognobench.images.raster import ImageError

MEMORY_BYTES = 3 << 30
"""Address space of the process, most of which is never used."""

SECONDS = 60
"""Computing time for one file; the largest radiographs take two seconds."""

LENGTH = struct.Struct("<I")


class _BoxError(Exception):
    """A box has no pixel of its image in it."""


def main() -> None:
    """Answer requests until there are no more."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # native code prints where answers go
    # The one who asks decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    data = b""
    while (request := _receive(requests)) is not None:
        answer: dict[str, Any] = {}
        payload = b""
        try:
            _limit_time()
            if "read" in request:
                data = b""
                data = read_bytes(Path(request["read"]))
                answer["digest"] = hashlib.sha256(data).hexdigest()
            if "lungs" in request:
                answer["lungs"] = _lungs(data)
            elif "sizes" in request:
                arrays = _decode(data, request)
                answer["shapes"] = [array.shape for array in arrays]
                payload = b"".join(array.tobytes() for array in arrays)
        except ImageError as error:
            answer |= {"failure": str(error), "lasting": True}
        except _BoxError:
            # The cause is the box, and with another one the file is well.
            answer["failure"] = "the lung box has no pixel of the image in it"
        except MemoryError:
            answer["failure"] = f"decoding takes more than {MEMORY_BYTES >> 30} GB of memory"
        except Exception as error:
            # A fault of ours, but one file's fault shall not stop the others.
            kind = type(error).__name__
            answer |= {"failure": f"the image cannot be decoded ({kind})", "unexpected": kind}
        message = json.dumps(answer).encode()
        answers.write(LENGTH.pack(len(message)) + message + payload)
        answers.flush()


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    message: dict[str, Any] = json.loads(stream.read(LENGTH.unpack(head)[0]))
    return message


def _decode(data: bytes, request: dict[str, Any]) -> list[npt.NDArray[np.uint8]]:
    percentiles = request.get("percentiles")
    image = decode_bytes(data, None if percentiles is None else (percentiles[0], percentiles[1]))
    if (box := request.get("box")) is not None:
        try:
            image = crop_square(image, Box(*box))
        except ValueError as error:
            raise _BoxError from error
    return [to_square(image, size) for size in request["sizes"]]


def _lungs(data: bytes) -> Box | None:
    from prognobench.images.lung_masks import box_of_mask  # SciPy is slow to import

    return box_of_mask(decode_bytes(data))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    # Computing time and not time by the clock, which a busy machine takes more of for the same.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
