"""From an image of any shape to a square of one size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

GEOMETRY_VERSION = 1
"""Version of the rule; results of different versions are not the same data."""


def to_square(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return an image as a square: padded with black on both sides alike, then resized.

    Nothing is cut off and nothing is distorted. Resizing is Pillow's bicubic, which smooths in
    proportion when it makes an image smaller, so that fine lines do not alias.

    Args:
        image: Height by width.
        size: Side of the square in pixels.
    """
    height, width = image.shape
    side = max(height, width)
    if height != width:
        padded = np.zeros((side, side), dtype=np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        padded[top : top + height, left : left + width] = image
        image = padded
    if side == size:
        return np.array(image, dtype=np.uint8)
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.array(resized, dtype=np.uint8)
