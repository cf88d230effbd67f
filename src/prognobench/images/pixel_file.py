"""The pixels of all images that were ever decoded at one size: one file, memory-mapped.

``<size>.pixels`` is one uint8 square after another, without a header; ``<size>.index`` has a line a
square: the key of its content, its row as a hexadecimal number, the SHA-256 of its pixels and a
seal (:mod:`prognobench.images.append_only`). Of two lines for one key the later holds. The files
only grow: what others have mapped stays as it is.

A row counts once its line is written. A killed process, a full disk or a fault of the disk
therefore costs the rows concerned and no others: a row without a line does not exist, and one whose
pixels are not those of its line is made anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from prognobench.images.append_only import append_lines, locked, read_lines

Pixels = npt.NDArray[np.uint8]

_LINE = re.compile(rb"([0-9a-f]{64}) ([0-9a-f]{1,12}) ([0-9a-f]{64})")
_LINES_AT_ONCE = 64


class PixelFile:
    """The squares of one size.

    Args:
        folder: Where the two files are, or shall be.
        size: Side of the squares.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.path = folder / f"{size}.pixels"
        self._index_path = folder / f"{size}.index"
        self._rows: dict[str, tuple[int, str]] = {}
        for key, row, digest in read_lines(self._index_path, _LINE):
            self._rows[key.decode()] = (int(row, 16), digest.decode())
        self._sound: set[str] = set()
        self._mapped = self.mapped()

    def __len__(self) -> int:
        """Return how many contents there are, sound or not."""
        return len(self._rows)

    def mapped(self) -> Pixels:
        """Return the rows that have a line, memory-mapped: rows by size by size."""
        size = self.size
        bytes_there = self.path.stat().st_size if self.path.is_file() else 0
        # Behind the last line is room that another process may give back at any moment.
        lined = 1 + max((row for row, _ in self._rows.values()), default=-1)
        rows = min(lined, bytes_there // (size * size))
        if not rows:  # NumPy cannot map an array without elements
            return np.zeros((0, size, size), dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", shape=(rows, size, size))

    def row(self, key: str) -> int:
        """Return the row of a content that :meth:`is_sound`."""
        return self._rows[key][0]

    def digest(self, key: str) -> str:
        """Return the SHA-256 of the pixels of a content that :meth:`is_sound`."""
        return self._rows[key][1]

    def is_sound(self, key: str) -> bool:
        """Return whether a content is there, and its pixels are those that were written."""
        if key in self._sound:
            return True
        found = self._rows.get(key)
        if found is None or found[0] >= len(self._mapped):
            return False
        if hashlib.sha256(self._mapped[found[0]]).hexdigest() != found[1]:
            return False
        self._sound.add(key)
        return True

    def check(self, keys: Iterable[str], threads: ThreadPoolExecutor) -> None:
        """Look at many contents at once, so that :meth:`is_sound` need not."""
        for _ in threads.map(self.is_sound, keys):
            pass

    def writing(self, names: Sequence[str]) -> _Writing:
        """Return a context in which rows are written, those of ``names`` in their order."""
        return _Writing(self, names)

    def _written(self, entries: dict[str, tuple[int, str]]) -> None:
        append_lines(
            self._index_path,
            (f"{key} {row:x} {digest}" for key, (row, digest) in entries.items()),
        )
        self._rows.update(entries)
        self._sound.update(entries)


class _Writing:
    """Rows kept free at the end of the file, and written in any order."""

    def __init__(self, file: PixelFile, names: Sequence[str]) -> None:
        self._file = file
        self._places = {name: place for place, name in enumerate(names)}
        self._row_bytes = file.size * file.size
        self._new: dict[str, tuple[int, str]] = {}
        self._stream: BinaryIO
        self._first = self._last = 0

    def __enter__(self) -> _Writing:
        path, count = self._file.path, len(self._places)
        with locked(path):
            path.touch()
            self._first = self._last = -(-path.stat().st_size // self._row_bytes)
            self._stream = path.open("r+b")
            # The room is not taken until it is written to.
            self._stream.truncate((self._first + count) * self._row_bytes)
        return self

    def write(self, name: str, key: str, square: Pixels) -> None:
        """Write the square of one of the names, as the content of a key."""
        row = self._first + self._places[name]
        data = np.ascontiguousarray(square).data
        self._stream.seek(row * self._row_bytes)
        self._stream.write(data)
        self._last = max(self._last, row + 1)
        self._new[key] = (row, hashlib.sha256(data).hexdigest())
        if len(self._new) >= _LINES_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._stream.flush()
        self._file._written(self._new)
        self._new = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stream:
            self._flush()
            end = (self._first + len(self._places)) * self._row_bytes
            with locked(self._file.path):
                # Room that was not needed goes back, unless someone has written behind it.
                if self._file.path.stat().st_size == end:
                    self._stream.truncate(self._last * self._row_bytes)
