"""Pillow's bicubic resizing to the last bit, in less time.

Pillow (``Resample.c``) resizes along rows and then along columns. Each result is a sum of 8-bit
values with weights in fixed point of 22 bits, rounded and cut off to 8 bits. Here the sums are
matrix products in float32, of a band of results at a time, since only few values matter to each.
Float32 cannot tell how a sum is rounded that is very near to the middle between two integers; these
few sums are made again without any error, so that the library that multiplies makes no difference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BITS = 22
_BAND = 16
_CHUNK = 1 << 19
_UNIT = 2.0**-24  # relative error of a float32


class _Weights(NamedTuple):
    """What to sum along a side of a square.

    Attributes:
        first: int64 [size], the first value that matters to each result.
        exact: float64 [size, taps], the weights of the values from there on, whole numbers.
        starts: The first value that matters to each band of results.
        bands: float32 [bands, span, results], the same weights in units of one, of the values from
            there on.
        length: How many values the weights reach over, some of which may be beyond the side.
        doubt: How far the products may be from the sums, in grey levels.
    """

    first: npt.NDArray[np.int64]
    exact: npt.NDArray[np.float64]
    starts: list[int]
    bands: npt.NDArray[np.float32]
    length: int
    doubt: float


def resize_square(image: npt.NDArray[np.uint8], side: int, size: int) -> npt.NDArray[np.uint8]:
    """Return the image in the middle of a black square, resized.

    Args:
        image: Height by width.
        side: Side of the square, not less than height and width.
        size: Side of the result.
    """
    weights = _weights(side, size)
    height, width = image.shape
    turned = _summed(image, weights, (side - width) // 2)
    return _summed(turned, weights, (side - height) // 2)


def _summed(values: npt.NDArray[np.uint8], weights: _Weights, offset: int) -> npt.NDArray[np.uint8]:
    """Return the sums along the rows of an image, turned: a row of results a column.

    Args:
        values: Rows by columns; the columns stand in a longer row of zeros, from ``offset`` on.
        weights: Of the longer row.
        offset: Where the columns begin.
    """
    count, columns = values.shape
    found = np.empty((len(weights.first), count), dtype=np.uint8)
    step = max(1, _CHUNK // weights.length)
    for top in range(0, count, step):
        part = values[top : top + step]
        rows = np.empty((len(part), weights.length), dtype=np.float32)
        rows[:, :offset] = 0.0
        rows[:, offset : offset + columns] = part
        rows[:, offset + columns :] = 0.0
        found[:, top : top + step] = _rounded_sums(rows, weights)
    return found


def _rounded_sums(rows: npt.NDArray[np.float32], weights: _Weights) -> npt.NDArray[np.float32]:
    """Return whole numbers of 0 to 255: results by rows."""
    sums = np.empty((len(weights.first), len(rows)), dtype=np.float32)
    span = weights.bands.shape[1]
    for band, start in enumerate(weights.starts):
        own = sums[band * _BAND : (band + 1) * _BAND]
        of_band = weights.bands[band, :, : len(own)]
        np.matmul(of_band.T, rows[:, start : start + span].T, out=own)
    rounded = np.rint(sums)
    sums -= rounded
    np.abs(sums, out=sums)
    unsure = np.flatnonzero(sums > 0.5 - weights.doubt)
    at_once = max(1, _CHUNK // weights.exact.shape[1])
    for begin in range(0, len(unsure), at_once):
        some = unsure[begin : begin + at_once]
        rounded.reshape(-1)[some] = _exactly(rows, weights, *np.divmod(some, len(rows)))
    return np.clip(rounded, 0, 255, out=rounded)


def _exactly(
    rows: npt.NDArray[np.float32],
    weights: _Weights,
    results: npt.NDArray[np.intp],
    lines: npt.NDArray[np.intp],
) -> npt.NDArray[np.float64]:
    # Whole numbers below 2**53, which float64 multiplies and adds without any error.
    start = lines * weights.length + weights.first[results]
    values = rows.reshape(-1)[start[:, None] + np.arange(weights.exact.shape[1])]
    sums: npt.NDArray[np.float64] = np.einsum("ij,ij->i", values, weights.exact[results])
    sums *= 2.0**-_BITS
    sums += 0.5
    return np.floor(sums, out=sums)


@lru_cache(maxsize=128)
def _weights(side: int, size: int) -> _Weights:
    scale = side / size
    stretch = max(scale, 1.0)
    reach = 2.0 * stretch
    centre = (np.arange(size) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), side)
    place = np.arange(int((last - first).max()))
    away = (place + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch)
    share = np.where(place < (last - first)[:, None], _cubic(np.abs(away)), 0.0)
    # One after the other, as Pillow adds them: the last bit may decide how a weight is rounded.
    share /= np.add.accumulate(share, axis=1)[:, -1:]
    exact = np.trunc(share * (1 << _BITS) + np.where(share < 0, -0.5, 0.5))

    starts = first[::_BAND]
    band, result = np.divmod(np.arange(size), _BAND)
    within = first - starts[band]
    span = int(within.max()) + len(place)
    bands = np.zeros((len(starts), span, _BAND), dtype=np.float32)
    bands[band[:, None], within[:, None] + place, result[:, None]] = exact * 2.0**-_BITS
    largest = 255.0 * float(np.abs(exact).sum(axis=1).max()) * 2.0**-_BITS
    doubt = min(0.5, (len(place) + 1) * _UNIT * largest)
    return _Weights(first, exact, starts.tolist(), bands, int(starts[-1]) + span, doubt)


def _cubic(away: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Keys's kernel (1981, eq. 15) with a = -1/2 at distances that are not negative."""
    near = (1.5 * away - 2.5) * away * away + 1.0
    far = (((away - 5.0) * away + 8.0) * away - 4.0) * -0.5
    return np.where(away < 1.0, near, np.where(away < 2.0, far, 0.0))
