"""DICOM files whose data set is deflated, inflated no further than is asked.

pydicom inflates the whole of it at once, which a small file can make as large as it likes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from pydicom import uid

META_BYTES = 4096
"""Where the transfer syntax is looked for: the first part of a file has a few hundred bytes."""

_DEFLATED = str(uid.DeflatedExplicitVRLittleEndian).encode()
_SYNTAX = b"\x02\x00\x10\x00UI" + len(_DEFLATED).to_bytes(2, "little") + _DEFLATED
_PLAIN_SYNTAX = _SYNTAX[:8] + str(uid.ExplicitVRLittleEndian).encode().ljust(len(_DEFLATED), b"\0")
_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"


@dataclass(frozen=True)
class Inflated:
    """A deflated file as a plain one.

    Attributes:
        data: The file with an explicit transfer syntax, and the data set as far as it was inflated.
        whole: Whether that is the whole data set.
        more: Whether there is more than was asked for; the file is cut off if it is not whole
            either.
    """

    data: bytes
    whole: bool
    more: bool


def is_deflated(beginning: bytes) -> bool:
    """Say whether a file is of the deflated transfer syntax, by its first :data:`META_BYTES`."""
    return _SYNTAX in beginning[:META_BYTES]


def inflated(data: bytes, most: int) -> Inflated | None:
    """Return a deflated file as a plain one.

    Args:
        data: The file, or its beginning.
        most: How much of the data set is inflated at most, in bytes.

    Returns:
        The file; None where it does not say how long its first part is.

    Raises:
        zlib.error: When it cannot be inflated.
    """
    if data[132:140] != _LENGTH:
        return None
    # The length of the first part is the value of its first element, which ends at byte 144.
    start = 144 + int.from_bytes(data[140:144], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data[start:], most)
    head = data[:start].replace(_SYNTAX, _PLAIN_SYNTAX, 1)
    return Inflated(head + plain, inflater.eof, bool(inflater.unconsumed_tail))
