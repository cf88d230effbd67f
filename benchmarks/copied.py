"""What collections do to radiographs that they take from elsewhere, for ``near_duplicates.py``."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.uint8]

SIDE = 256
"""Side of what is resized to a square."""


def _windowed(image: Grey) -> Grey:
    share = np.clip((image / 255.0 - 0.05) / 0.88, 0.0, 1.0) ** 0.75
    return np.round(share * 255).astype(np.uint8)


def _as_jpeg(image: Grey) -> Grey:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=75)
    return np.array(Image.open(stream))


def _stretched(image: Grey, across: float, down: float) -> Grey:
    height, width = image.shape
    size = (round(width * across), round(height * down))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _to_square(image: Grey) -> Grey:
    height, width = image.shape
    return _stretched(image, SIDE / width, SIDE / height)


def _cropped(image: Grey, share: float) -> Grey:
    """Cut a share off the height and another off the width, not alike on both sides."""
    height, width = image.shape
    top, bottom = round(height * share * 0.6), round(height * (1 - share * 0.4))
    left, right = round(width * share * 0.3), round(width * (1 - share * 0.7))
    return image[top:bottom, left:right]


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "cropped by 15 %": lambda image: _cropped(image, 0.15),
    "resized to a square": _to_square,
    "16 % wider": lambda image: _stretched(image, 1.16, 1.0),
    "16 % higher": lambda image: _stretched(image, 1.0, 1.16),
    "30 % wider": lambda image: _stretched(image, 1.3, 1.0),
    "cropped by 8 % and resized to a square": lambda image: _to_square(_cropped(image, 0.08)),
    "cropped by 15 % and resized to a square": lambda image: _to_square(_cropped(image, 0.15)),
    "cropped by 30 % and resized to a square": lambda image: _to_square(_cropped(image, 0.3)),
}
"""Each change by its name; all are windowed otherwise and saved as JPEG as well."""


def changed(image: Grey, name: str) -> Grey:
    """Return a copy of an image, changed by one of :data:`CHANGES`."""
    return _as_jpeg(_windowed(CHANGES[name](image)))
