"""Lookup tables of DICOM files, from a value to what is meant by it or shown for it.

A table says of itself how many entries it has, which value the first is for, and how many bits an
entry has (``LUTDescriptor``; DICOM PS3.3, C.11.1.1 and C.11.2.1.1). A value below the first has the
first entry, one beyond the last has the last.

Entries of 8 bits lie two in a word, the first of them in the lower byte, as PS3.5 packs pixels.
Some makers give each a word of its own, which is told by the length. A depth of 16 bits is not
believed, since many tables of fewer say 16: it is the least of those that detectors have which
holds the brightest entry, as it is the brightest pixel of a PNG. What counts is the whole table, so
that a dark image stays dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prognobench.images.raster import ImageError, used_depth

_ALL_WORDS = 2**16


@dataclass(frozen=True)
class LookupTable:
    """A lookup table.

    Attributes:
        entries: int64 [N], none of them negative.
        first: The value that the first entry is for.
        depth: Number of bits of the range of the entries, which begins at 0.
    """

    entries: npt.NDArray[np.int64]
    first: int
    depth: int

    def look_up(
        self, values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Return the entry of each value; fractions are cut off, towards zero."""
        last = self.first + self.entries.size - 1
        return self.entries[np.clip(values, self.first, last).astype(np.int64) - self.first]


def read_table(item: Any, signed: bool, big_endian: bool) -> LookupTable:
    """Read an item of a Modality LUT Sequence or VOI LUT Sequence.

    Args:
        item: The item, as pydicom has it.
        signed: Whether the values that are looked up can be negative. The first of them is then a
            signed number; what the file says of that (US or SS) is often a guess of who wrote or
            read it.
        big_endian: Whether the file is.

    Raises:
        ImageError: When the table is broken.
    """
    try:
        count, first, depth = (int(value) for value in item.get("LUTDescriptor"))
    except (TypeError, ValueError):
        raise ImageError("a lookup table of the DICOM file has no valid descriptor") from None
    if not 1 <= depth <= 16:
        raise ImageError("a lookup table of the DICOM file has entries of a depth that cannot be")
    count, first = count % _ALL_WORDS or _ALL_WORDS, first % _ALL_WORDS
    # A table that would go on beyond all values of 16 bits begins at a negative one as well.
    if first >= _ALL_WORDS // 2 and (signed or first + count > _ALL_WORDS):
        first -= _ALL_WORDS
    words = _words(item, big_endian)
    if words.size < count and depth <= 8:
        words = np.stack([words & 255, words >> 8], axis=-1).reshape(-1)
    if words.size < count:
        raise ImageError("a lookup table of the DICOM file has fewer entries than it says")
    entries = words[:count].astype(np.int64)
    return LookupTable(entries, first, used_depth(int(entries.max())) if depth == 16 else depth)


def _words(item: Any, big_endian: bool) -> npt.NDArray[Any]:
    data = item.get("LUTData")
    if isinstance(data, bytes):
        # In bytes (OB) the order of a word's two is that of the entries, whatever the file is.
        order = ">" if big_endian and item["LUTData"].VR != "OB" else "<"
        return np.frombuffer(data + bytes(len(data) % 2), dtype=f"{order}u2")
    numbers = [] if data is None else [data] if isinstance(data, int) else list(data)
    return np.array(numbers, dtype=np.int64) % _ALL_WORDS
