"""From an image of any shape to a square of one size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prognobench.images.bicubic import resize_square

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
    return resize_square(image, max(image.shape), size)


class Box(NamedTuple):
    """A part of an image; it may reach beyond the image.

    Attributes:
        left: Where it begins, from the left.
        top: Where it begins, from above.
        right: Where it ends, from the left.
        bottom: Where it ends, from above.
        unit: ``share`` of the image's width and height, or ``pixel`` of the upright image.
    """

    left: float
    top: float
    right: float
    bottom: float
    unit: str = "share"

    def widened(self, margin: float) -> Box:
        """Return the box with a margin on each side, in shares of its width and height."""
        across, down = margin * (self.right - self.left), margin * (self.bottom - self.top)
        return Box(
            self.left - across, self.top - down, self.right + across, self.bottom + down, self.unit
        )


def crop_square(image: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """Return the square around a box, filled with what the image shows beside it.

    The longer side of the box is the side of the square, which has the box in its middle, or as
    near to it as keeps the square inside the image. Where the image is smaller than that there is
    less of it, and :func:`to_square` pads the rest.

    Args:
        image: Height by width.
        box: What to show; its part inside the image must not be empty.

    Raises:
        ValueError: When no pixel of the image is in the box.
    """
    height, width = image.shape
    across, down = (1, 1) if box.unit == "pixel" else (width, height)
    left, right = _inside(box.left * across, box.right * across, width)
    top, bottom = _inside(box.top * down, box.bottom * down, height)
    side = max(right - left, bottom - top)
    left, right = _widened(left, right, side, width)
    top, bottom = _widened(top, bottom, side, height)
    return image[top:bottom, left:right]


def _inside(low: float, high: float, size: int) -> tuple[int, int]:
    # Rounded first, because shares of whole pixels may miss them by an error of rounding.
    low, high = round(low, 6), round(high, 6)
    start, stop = max(0, int(np.floor(low))), min(size, int(np.ceil(high)))
    if stop <= start:
        raise ValueError("the box has no pixel of the image in it")
    return start, stop


def _widened(start: int, stop: int, side: int, size: int) -> tuple[int, int]:
    side = min(side, size)
    start = min(max(0, start - (side - (stop - start)) // 2), size - side)
    return start, start + side
