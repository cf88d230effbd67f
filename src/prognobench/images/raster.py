"""An image as its file stores it, and the one rule from there to 8-bit grey.

The values of a file fall into 256 equal bins from black to white. What is black and what is white
is said by the file (its depth, or the window or lookup table of a DICOM file), or, with
percentiles, by the image: values below the lower one are black and above the upper one white.
Padding that a file tells from its image is black and plays no part in what white is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_PIXELS = 80_000_000
"""Largest image that is decoded; the largest radiographs have about 20 million pixels."""

MAX_SIDE = 65_535
"""Longest side that is decoded, which is also the longest of a JPEG or DICOM file."""

DEPTHS = (8, 10, 12, 14, 16)
"""Numbers of bits that detectors have."""

_CHUNK = 1 << 20


class ImageError(Exception):
    """An image file cannot be used; the message is a short reason without any identifier."""


@dataclass(frozen=True)
class Raster:
    """An image of at most 16 bits, by the codes that its file stores.

    Attributes:
        codes: uint8 or uint16 [H, W].
        display: uint8, the grey of each code that the file itself asks for; None where a code of
            8 bits is its grey.
        values: float64, what each code means, greater values being brighter; None where that is
            the code.
        padding: bool, which codes stand for padding, of which ``display`` is black; None where
            none does. Other codes are there too.
    """

    codes: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    display: npt.NDArray[np.uint8] | None = None
    values: npt.NDArray[np.float64] | None = None
    padding: npt.NDArray[np.bool_] | None = None


def check_size(width: int, height: int) -> None:
    """Raise :class:`ImageError` unless an image of this size is worth decoding."""
    if width < 1 or height < 1:
        raise ImageError("the image has no pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"the image has {width} x {height} pixels, more than {MAX_SIDE:,} on a side"
        )


def to_eight_bits(values: npt.NDArray[np.generic], low: int, depth: int) -> npt.NDArray[np.uint8]:
    """Return integer values in 256 equal bins of the range of ``depth`` bits from ``low`` on.

    Args:
        values: Integers; those outside the range are taken to its ends.
        low: The lowest value of the range.
        depth: Number of bits of the range; the highest value is ``low + 2**depth - 1``.
    """
    above = np.clip(values.astype(np.int64) - low, 0, 2**depth - 1)
    shifted = above >> (depth - 8) if depth >= 8 else above * 255 // (2**depth - 1)
    return shifted.astype(np.uint8)


def used_depth(brightest: int) -> int:
    """Return the least number of bits, of those that detectors have, that holds a value."""
    return next((depth for depth in DEPTHS if brightest < 2**depth), DEPTHS[-1])


def count_codes(codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    """Return how many pixels have each code, of all that the type of the codes has."""
    size = 256**codes.dtype.itemsize
    counts = np.zeros(size, dtype=np.int64)
    flat = codes.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=size)
    return counts


def to_grey(
    raster: Raster, percentiles: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Return an image as 8-bit grey, height by width.

    Args:
        raster: The image.
        percentiles: Two of its values' percentiles, in [0, 100]: what is black and what is white,
            whatever the file says. None goes by the file.
    """
    table = raster.display
    if percentiles is not None:
        table = _by_percentiles(raster, *percentiles)
    if table is None:
        return np.asarray(raster.codes, dtype=np.uint8)
    codes = np.ascontiguousarray(raster.codes)
    grey = np.empty(codes.shape, dtype=np.uint8)
    # In parts, because NumPy makes eight bytes of every index.
    flat, out = codes.reshape(-1).view(f"u{codes.dtype.itemsize}"), grey.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        np.take(table, flat[part], out=out[part], mode="clip")
    return grey


def _by_percentiles(raster: Raster, lower: float, upper: float) -> npt.NDArray[np.uint8]:
    counts = count_codes(raster.codes)
    size = counts.size
    values = np.arange(size, dtype=np.float64) if raster.values is None else raster.values
    if raster.padding is not None:
        counts[raster.padding] = 0
    order = np.argsort(values, kind="stable")
    order = order[counts[order] > 0]
    present, reached = values[order], np.cumsum(counts[order])
    black, white = (_percentile(present, reached, share) for share in (lower, upper))
    if not white > black:
        black, white = float(present[0]), float(present[-1])
    if not white > black:
        return np.zeros(size, dtype=np.uint8)
    share = (np.clip(values, black, white) - black) / (white - black)
    grey = np.minimum(np.floor(share * 256.0), 255).astype(np.uint8)
    if raster.padding is not None:
        grey[raster.padding] = 0
    return grey


def _percentile(
    present: npt.NDArray[np.float64], reached: npt.NDArray[np.int64], share: float
) -> float:
    """Return a percentile of values with counts, by linear interpolation as in NumPy.

    Args:
        present: The values in ascending order.
        reached: How many pixels have this value or a lesser one.
        share: The percentile, in [0, 100].
    """
    rank = share / 100.0 * float(reached[-1] - 1)
    below = int(np.floor(rank))
    ranks = np.array([below, min(below + 1, int(reached[-1]) - 1)])
    low, high = present[np.searchsorted(reached, ranks, side="right")]
    return float(low + (high - low) * (rank - below))
