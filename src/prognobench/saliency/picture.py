"""A radiograph with its map beside it, as a small PNG that says nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import colormaps
from PIL import Image
from torch.nn import functional

SIDE = 224
"""Pixels of the radiograph, and of the map beside it."""

COLOURS = "inferno"
"""Of even steps in lightness, also to those who are blind to some colours."""

STRONGEST = 0.65
"""Share of the map's colour where it is strongest; where it is nothing, the image alone is seen."""


def overlay(
    image: npt.NDArray[np.uint8], own: torch.Tensor, covered: float
) -> npt.NDArray[np.uint8]:
    """Return the radiograph and, beside it, the same under its map.

    Args:
        image: Grey levels [S, S].
        own: The map [h, w], 0 or more; it is scaled to its own largest value.
        covered: Share of the side that the model sees, from the middle, in (0, 1].

    Returns:
        RGB [SIDE, 2 SIDE, 3].
    """
    grey = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    seen = round(SIDE * covered)
    large = functional.interpolate(
        own[None, None].float().cpu(), (seen, seen), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    margin = (SIDE - seen) // 2
    values = np.zeros((SIDE, SIDE), dtype=np.float64)
    values[margin : margin + seen, margin : margin + seen] = large
    values /= max(float(values.max()), np.finfo(np.float64).tiny)
    plain = np.repeat(grey[..., None], 3, axis=2).astype(np.float64)
    colour = 255 * colormaps[COLOURS](values)[..., :3]
    share = STRONGEST * values[..., None]
    mixed = (1 - share) * plain + share * colour
    return np.concatenate([plain, mixed], axis=1).round().astype(np.uint8)


def write_overlay(
    temporary: Path, image: npt.NDArray[np.uint8], own: torch.Tensor, covered: float
) -> None:
    """Write what :func:`overlay` returns; the folder is one that appears when it is whole."""
    Image.fromarray(overlay(image, own, covered)).save(temporary, format="PNG", optimize=True)
