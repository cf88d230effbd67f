"""Augmentation suited to chest radiographs, in batches, on the device that holds the images."""

from __future__ import annotations

import torch
from torch.nn import functional

SHIFT = 0.05
"""Largest shift, as a share of the side."""
ROTATION = 7.0
"""Largest rotation, in degrees."""
SCALE = 0.1
"""Largest relative change of size."""
CONTRAST = 0.15
"""Largest relative change of contrast about the image's mean."""
BRIGHTNESS = 0.1
"""Largest shift of brightness, as a share of the range 0 to 255."""


def chest_draws(count: int, random: torch.Generator) -> torch.Tensor:
    """Return what :func:`augment_chest` shall do with images, float32 [count, 6] in [-1, 1].

    Args:
        count: Number of images.
        random: A generator on the CPU, so that draws do not depend on the device.
    """
    return 2 * torch.rand((6, count), generator=random).T - 1


def augment_chest(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Shift, rotate, scale and re-expose each image a little, each by its own draw.

    There is no flip here (see :func:`flip_drawn`). All ranges are symmetric and uniform.

    Args:
        images: uint8 of shape [B, 1, S, S].
        draws: float32 [B, 6] from :func:`chest_draws`: for each image its rotation, scaling, two
            shifts, contrast and brightness, as shares of the largest.

    Returns:
        uint8 of the same shape and device; what comes in from outside is black.
    """
    draws = draws.T
    angle = torch.deg2rad(draws[0] * ROTATION)
    zoom = 1 + draws[1] * SCALE
    # grid_sample maps output to input on coordinates from -1 to 1: a share is twice as much there.
    affine = torch.stack(
        [
            torch.stack(
                [torch.cos(angle) / zoom, -torch.sin(angle) / zoom, draws[2] * 2 * SHIFT], 1
            ),
            torch.stack(
                [torch.sin(angle) / zoom, torch.cos(angle) / zoom, draws[3] * 2 * SHIFT], 1
            ),
        ],
        dim=1,
    ).to(images.device)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    pixels = functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    contrast = (1 + draws[4] * CONTRAST).to(images.device).view(-1, 1, 1, 1)
    brightness = (255 * draws[5] * BRIGHTNESS).to(images.device).view(-1, 1, 1, 1)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * contrast + mean + brightness
    return pixels.round().clamp(0, 255).to(torch.uint8)


def flip_draws(count: int, random: torch.Generator) -> torch.Tensor:
    """Return which images :func:`flip_drawn` shall mirror, bool [count], each with probability 1/2.

    Off by default: a mirrored chest has its heart on the wrong side and its side marker reversed,
    which no patient's radiograph shows, and the size and side of heart and effusions carry
    prognosis. Many chest X-ray recipes mirror all the same, so a recipe can ask for it.

    Args:
        count: Number of images.
        random: A generator on the CPU, as for :func:`chest_draws`.
    """
    return torch.rand(count, generator=random) < 0.5


def flip_drawn(images: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Mirror images left to right.

    Args:
        images: uint8 of shape [B, 1, S, S].
        mirrored: bool [B], which of them.

    Returns:
        uint8 of the same shape and device.
    """
    return torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
