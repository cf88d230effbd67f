"""What the codes of a grey DICOM image stand for: the stored value of each, and which are padding.

A code is what lies in the container of a pixel, of 8 or 16 bits. Its value is the number of those
bits that the file says are stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.multival import MultiValue

from prognobench.images.raster import count_codes


def all_codes(stored: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return every code that the container of these pixels has, in ascending order."""
    return np.arange(256**stored.dtype.itemsize, dtype=np.int64)


def stored_values(dataset: Any, stored: npt.NDArray[Any], packed: bool) -> npt.NDArray[np.int64]:
    """Return the stored value that each code of the container stands for.

    Args:
        dataset: The header.
        stored: The pixels.
        packed: Whether the container is the file's own, whose unused bits may hold anything, such
            as an overlay. A decoder's has none.
    """
    codes, bits = all_codes(stored), int(dataset.BitsStored)
    if packed and int(dataset.BitsAllocated) > 1:
        codes = codes >> max(0, int(dataset.get("HighBit", bits - 1)) + 1 - bits)
        codes = codes & (2**bits - 1)
    if not int(dataset.PixelRepresentation):
        return codes
    if not packed and _has_signs(stored):
        bits = 8 * stored.dtype.itemsize
    return _with_sign(codes, bits)


def possible_values(values: npt.NDArray[np.int64], dataset: Any) -> npt.NDArray[np.bool_]:
    """Return which values the depth of the file allows; a decoder's container may have more."""
    bits, signed = int(dataset.BitsStored), bool(int(dataset.PixelRepresentation))
    low = -(2 ** (bits - 1)) if signed else 0
    return np.asarray((values >= low) & (values < low + 2**bits))


def padding_codes(
    codes: npt.NDArray[Any], values: npt.NDArray[np.int64], dataset: Any
) -> npt.NDArray[np.bool_] | None:
    """Return which codes are padding, None where the image has none (DICOM PS3.3, C.7.5.1.1.2).

    By the standard no pixel of the image itself has a value of padding, and padding lies beyond
    them all. Many files name one of which that is not so, such as 0 where the darkest pixels are 0
    as well. So it counts only where it would cost the image more than one of 256 greys.

    Args:
        codes: The pixels, unsigned.
        values: The stored value of each code.
        dataset: The header.
    """
    ends = _ends_of_padding(dataset)
    if ends is None:
        return None
    padding = np.asarray((values >= ends[0]) & (values <= ends[1]))
    there = count_codes(codes) > 0
    padded, others = values[there & padding], values[there & ~padding]
    if not padded.size or not others.size:
        return None
    # Where the image has values on either side of the padding, both are negative.
    beyond = max(others.min() - padded.min(), padded.max() - others.max())
    whole = values[there].max() - values[there].min()
    return padding if beyond > max(1, whole / 255) else None


def first_number(value: Any) -> float | None:
    """Return the first number of an element, None where there is none or it is not finite."""
    if value is None or value == "":
        return None
    if isinstance(value, list | tuple | MultiValue):
        return first_number(value[0]) if len(value) else None
    number = float(value)
    return number if np.isfinite(number) else None


def _has_signs(stored: npt.NDArray[Any]) -> bool:
    """Say whether any code is negative in its container.

    JPEG lossless and JPEG-LS know no signs (DICOM PS3.5, 8.2). What a decoder gives has them where
    the encoder was given the whole container, and lacks them where it was given the stored bits.
    """
    return bool(stored.view(f"i{stored.dtype.itemsize}").min() < 0)


def _with_sign(codes: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
    """Return the signed numbers that the lowest bits of codes are."""
    codes = codes & (2**bits - 1)
    return np.asarray(np.where(codes >= 2 ** (bits - 1), codes - 2**bits, codes))


def _ends_of_padding(dataset: Any) -> tuple[int, int] | None:
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    try:
        value, limit = (first_number(dataset.get(name)) for name in names)
    except Exception:
        return None  # pydicom raises much for a broken value, and no image is lost for this one
    if value is None:
        return None
    # US or SS is often a guess: as of a pixel the stored bits count, with the sign of pixels.
    bits = int(dataset.BitsStored)
    ends = np.array([int(end) % 2**bits for end in (value, value if limit is None else limit)])
    if int(dataset.PixelRepresentation):
        ends = _with_sign(ends, bits)
    return int(ends.min()), int(ends.max())
