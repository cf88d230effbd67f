"""Dropout whose masks are drawn from a run's own stream, before the forward pass.

Masks from torch's global stream would depend on what else is trained in the same pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

_LEVELS = 2**16


class MaskedDropout(nn.Module):
    """Dropout by a mask that was drawn before.

    The probability is rounded to a multiple of 2^-16, and the scale to it.

    Attributes:
        mask: bool, whether each element is kept; its shape is that of what is dropped out.
        dropped: The probability of being set to 0, in 2^-16.
        random: The run's stream of masks.
    """

    mask: torch.Tensor

    def __init__(self, p: float, random: torch.Generator) -> None:
        """Make the dropout of a layer.

        Args:
            p: Probability of being set to 0, in (0, 1).
            random: The run's stream, on the device of the inputs.
        """
        super().__init__()
        self.dropped = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
        self.random = random
        self.register_buffer("mask", torch.ones((), dtype=torch.bool), persistent=False)

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the next mask of the stream, bool of this shape."""
        count = math.prod(shape)
        # Four elements a draw: on a CPU, draws one by one cost as much as a matrix product.
        words = torch.empty(-(-count // 4), dtype=torch.int64, device=self.random.device)
        words.random_(-(2**63), None, generator=self.random)
        levels = words.view(torch.int16)[:count]
        return (levels >= self.dropped - _LEVELS // 2).view(shape)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs, in training mode with those dropped at 0 and the others scaled up."""
        if not self.training:
            return inputs
        return inputs * (self.mask.to(inputs.dtype) * (_LEVELS / (_LEVELS - self.dropped)))


Shapes = dict[str, tuple[int, ...]]
"""For each dropout, by its name and in the order of the forward pass, the shape of what it is
given for one image."""


def own_masks(model: nn.Module, seed: int, device: torch.device) -> None:
    """Put a :class:`MaskedDropout` in the place of every dropout that drops something.

    Args:
        model: The model, changed in place.
        seed: Seed of the run's stream of masks.
        device: Where the inputs will lie.
    """
    random = torch.Generator(device).manual_seed(seed)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout and child.p > 0:
                setattr(module, name, MaskedDropout(child.p, random))


def drops_out(model: nn.Module) -> bool:
    """Return whether a model has a :class:`MaskedDropout`, for which masks are to be drawn."""
    return any(isinstance(module, MaskedDropout) for module in model.modules())


def draw_masks(model: nn.Module, shapes: Shapes, count: int) -> torch.Tensor:
    """Draw all masks of a training step, one after another in the order of the forward pass.

    Args:
        model: The model.
        shapes: The shapes of its dropouts.
        count: Number of images in the step.

    Returns:
        bool [M], for :func:`masks_of`.
    """
    parts = []
    given = ((cast(MaskedDropout, model.get_submodule(name)), shapes[name]) for name in shapes)
    # Those of one probability in one go: on a GPU a draw is a launch, whatever its size.
    for _, alike in itertools.groupby(given, lambda own: own[0].dropped):
        modules, sizes = zip(*alike, strict=True)
        parts.append(modules[0].draw((count * sum(map(math.prod, sizes)),)))
    if not parts:
        return torch.empty(0, dtype=torch.bool)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def masks_of(drawn: torch.Tensor, shapes: Shapes, count: int) -> dict[str, torch.Tensor]:
    """Return the masks of each dropout, by its name.

    Args:
        drawn: bool [..., M], from :func:`draw_masks`.
        shapes: The shapes of the dropouts.
        count: Number of images in the step.

    Returns:
        bool [..., rows, ...], with the rows that the dropout is given for all images.
    """
    sizes = [count * math.prod(shape) for shape in shapes.values()]
    return {
        name: torch.unflatten(mask, -1, (shape[0] * count, *shape[1:]))
        for (name, shape), mask in zip(
            shapes.items(), torch.split(drawn, sizes, dim=-1), strict=True
        )
    }


def masks_of_part(
    masks: Mapping[str, torch.Tensor], part: slice, count: int
) -> dict[str, torch.Tensor]:
    """Return the masks [runs, rows, ...] of some of a step's images.

    Args:
        masks: The masks of all of them.
        part: Which images.
        count: Number of images in the step.
    """
    return {
        name: mask[:, part.start * mask.shape[1] // count : part.stop * mask.shape[1] // count]
        for name, mask in masks.items()
    }
