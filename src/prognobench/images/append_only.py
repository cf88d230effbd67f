"""Text files that only grow by whole lines, and by several processes at once.

Each line ends in a digest of the rest of it. One that is torn or altered, or of which a part was
exchanged with another's, is passed over when it is read: what it said is found out again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock

_SEAL = 16


def read_lines(path: Path, pattern: re.Pattern[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Give the groups of each sound line that matches; none when there is no such file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n"):
        body, _, seal = line.rpartition(b" ")
        if seal == _seal(body) and (found := pattern.fullmatch(body)):
            yield found.groups()


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines at the end of a file, made if need be."""
    bodies = [line.encode() for line in lines]
    if not bodies:
        return
    added = b"".join(body + b" " + _seal(body) + b"\n" for body in bodies)
    with locked(path), path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, 2)
            # What an interrupted process left of a line must not join the next one.
            added = added if stream.read(1) == b"\n" else b"\n" + added
        stream.write(added)


def locked(path: Path) -> filelock.BaseFileLock:
    """Return the lock that all processes take before they write to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(f"{path}.lock")


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_SEAL].encode()
