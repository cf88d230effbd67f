"""Parts of an image by which copies of it find each other, whatever their margins and window.

Copies are often cropped: to a square, or to the lungs. So an image is looked at as a whole, at the
square in its middle, and at the inner part of that; two images are as near as their nearest parts.
Grey values are replaced by their ranks, which no window changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn

from prognobench.images.geometry import to_square

PARTS = (None, 1.0, 0.8)
"""Shares of the middle square's side; None is the whole image, padded to a square."""

HASH_BITS = 64
_HASH_SIDE = 32

_BLACK = 2
_FILLED = 0.02
_Grey = npt.NDArray[np.uint8]


def content_box(image: _Grey) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of an image without its black margins.

    It is the whole image where all is black.
    """
    filled = image > _BLACK
    rows, columns = (np.flatnonzero(filled.mean(axis) > _FILLED) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return 0, image.shape[0], 0, image.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def content(image: _Grey) -> _Grey:
    """Return an image without its black margins; all of it where it is black."""
    top, bottom, left, right = content_box(image)
    return image[top:bottom, left:right]


def ranked(image: _Grey) -> _Grey:
    """Return an image whose grey values are equally frequent, in the same order."""
    counts = np.bincount(image.ravel(), minlength=256)
    below = np.cumsum(counts) - counts / 2
    return np.floor(below / image.size * 255).astype(np.uint8)[image]


def parts_of(image: _Grey, side: int) -> _Grey:
    """Return the parts of an image, one for each of :data:`PARTS`.

    Args:
        image: uint8 [S, S], padded with black.
        side: Side of the parts in pixels.

    Returns:
        uint8 [P, side, side].
    """
    own = content(image)
    found = []
    for share in PARTS:
        if share is None:
            found.append(to_square(ranked(own), side))
            continue
        length = max(1, int(min(own.shape) * share))
        top, left = ((size - length) // 2 for size in own.shape)
        square = ranked(own[top : top + length, left : left + length])
        found.append(to_square(square, side))
    return np.stack(found)


def perceptual_hash(image: _Grey) -> npt.NDArray[np.bool_]:
    """Return the 64 bits of a perceptual hash of an image without its margins.

    The image is made 32 pixels wide and high; each bit says whether one of the 64 lowest
    frequencies of its cosine transform is above their median (Zauner 2010, Implementation and
    Benchmarking of Perceptual Image Hash Functions, section 3.2.1).
    """
    small = Image.fromarray(content(image)).resize(
        (_HASH_SIDE, _HASH_SIDE), Image.Resampling.LANCZOS
    )
    low = dctn(np.asarray(small, dtype=np.float64))[:8, :8].ravel()
    bits: npt.NDArray[np.bool_] = low > np.median(low[1:])
    return bits
