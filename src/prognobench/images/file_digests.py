"""The digests of files that have not changed since they were last read.

A file is taken for the same when its path, device, inode, size and both times (of the content and
of the inode, in nanoseconds) are the same. What is kept is a hash of these, because paths may say
whose image it is.
"""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

from prognobench.images.append_only import append_lines, read_lines

SETTLED = 3.0
"""Seconds that a file must have been left alone: within the finest time that a file system tells,
it could be changed again unseen."""

_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9a-f]{64})")
_LARGEST = 256 << 20


class FileDigests:
    """Digests by what the file system says of each file.

    Args:
        path: Where they are kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.is_file() and path.stat().st_size > _LARGEST:
            path.unlink(missing_ok=True)
        self._known = {key.decode(): digest.decode() for key, digest in read_lines(path, _LINE)}
        self._new: dict[str, str] = {}

    def mark(self, path: Path) -> str | None:
        """Return what tells this state of a file from others, or None when there is no file."""
        try:
            about = path.stat()
        except (OSError, ValueError):
            return None
        parts = (
            path.absolute(),
            about.st_dev,
            about.st_ino,
            about.st_size,
            about.st_mtime_ns,
            about.st_ctime_ns,
        )
        text = "\0".join(map(str, parts)).encode(errors="surrogateescape")
        settled = time.time() - max(about.st_mtime, about.st_ctime) > SETTLED
        return hashlib.sha256(text).hexdigest()[:32] if settled else None

    def get(self, mark: str | None) -> str | None:
        """Return the digest of a file in the state of a mark, if it is known."""
        return None if mark is None else self._known.get(mark)

    def add(self, mark: str | None, digest: str) -> None:
        """Remember the digest of a file that had this mark before it was read."""
        if mark is not None and self._known.get(mark) != digest:
            self._known[mark] = self._new[mark] = digest

    def keep(self) -> None:
        """Write what is new."""
        append_lines(self._path, (f"{mark} {digest}" for mark, digest in self._new.items()))
        self._new.clear()
