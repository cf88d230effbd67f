"""Cloudy random textures, made once and cropped for every image."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prognobench.randomness import generator

Image = NDArray[np.float32]
"""A picture as float32, shape [height, width]."""

TILE = 512
"""Side of a texture tile in pixels; crops must not be larger."""

TILES = 6
"""Number of different tiles for each roughness."""

CLOUD = 4.0
"""Spectral slope of large soft patches, such as consolidations."""

MOTTLE = 1.8
"""Spectral slope of fine structure, such as small vessels."""


def as_image(values: NDArray[np.floating[Any]]) -> Image:
    """Return values as an image, without a copy where they are float32 already."""
    return np.asarray(values, dtype=np.float32)


@functools.lru_cache(maxsize=2 * TILES)
def tile(slope: float, index: int) -> Image:
    """Return a seamless tile of noise whose values are uniform on [0, 1].

    Args:
        slope: How fast the power spectrum falls with frequency; larger is smoother.
        index: Which of the tiles of this slope, from 0 to ``TILES - 1``.

    Returns:
        Shape [TILE, TILE]. Uniform values make a threshold equal to the share of the area that
        lies below it, so that the severity of a patchy opacity is what its area says.
    """
    noise = generator("demo", "texture", slope, index).standard_normal((TILE, TILE))
    frequency = np.fft.fftfreq(TILE)
    # Waves longer than a quarter of the tile would make crops differ in their mean.
    radius = np.maximum(np.hypot(frequency[:, None], frequency[None, :]), 6 / TILE)
    smooth = np.fft.ifft2(np.fft.fft2(noise) * radius ** (-slope / 2)).real
    rank = np.empty(TILE * TILE, dtype=np.float32)
    rank[np.argsort(smooth, axis=None)] = np.linspace(0, 1, TILE * TILE, dtype=np.float32)
    return rank.reshape(TILE, TILE)


def texture(slope: float, seed: int, height: int, width: int) -> Image:
    """Return a crop of a tile, chosen by ``seed``.

    Args:
        slope: ``CLOUD`` or ``MOTTLE``.
        seed: Any integer of at least 0; equal seeds give equal crops.
        height: Rows, at most ``TILE``.
        width: Columns, at most ``TILE``.

    Returns:
        Values in [0, 1], shape [height, width]; do not write to it.
    """
    seed, index = divmod(seed, TILES)
    seed, top = divmod(seed, TILE - height + 1)
    seed, left = divmod(seed, TILE - width + 1)
    crop = tile(slope, index)[top : top + height, left : left + width]
    seed, mirrored = divmod(seed, 2)
    return crop[::-1] if mirrored else crop
