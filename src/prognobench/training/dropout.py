"""Dropout whose masks are drawn from a run's own stream, before the forward pass.

Masks from torch's global stream would depend on what else is trained in the same pass.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

_LEVELS = 2**16


class MaskedDropout(nn.Module):
    """Dropout by a mask that was drawn before.

    The probability is rounded to a multiple of 2^-16, and the scale to it.

    Attributes:
        mask: bool, whether each element is kept; its shape is that of what is dropped out.
        part: First and last of the step's images that go through, and how many it has; None for
            all of them.
    """

    mask: torch.Tensor

    def __init__(self, p: float, random: torch.Generator) -> None:
        """Make the dropout of a layer.

        Args:
            p: Probability of being set to 0, in (0, 1).
            random: The run's stream, on the device of the inputs.
        """
        super().__init__()
        self._dropped = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
        self._random = random
        self.part: tuple[int, int, int] | None = None
        self.register_buffer("mask", torch.ones((), dtype=torch.bool), persistent=False)

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the next mask of the stream, bool of this shape."""
        count = math.prod(shape)
        # Four elements a draw: on a CPU, draws one by one cost as much as a matrix product.
        words = torch.empty(-(-count // 4), dtype=torch.int64, device=self._random.device)
        words.random_(-(2**63), None, generator=self._random)
        levels = words.view(torch.int16)[:count]
        return (levels >= self._dropped - _LEVELS // 2).view(shape)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs, in training mode with those dropped at 0 and the others scaled up."""
        if not self.training:
            return inputs
        mask = self.mask
        if self.part:
            first, last, images = self.part
            mask = mask[first * len(mask) // images : last * len(mask) // images]
        return inputs * (mask.to(inputs.dtype) * (_LEVELS / (_LEVELS - self._dropped)))


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


def mask_shapes(model: nn.Module, example: torch.Tensor) -> Shapes:
    """Return what the dropouts of a model are given, found by a pass in evaluation mode.

    Args:
        model: The model.
        example: Inputs of one image, [1, ...].

    Raises:
        RuntimeError: When a dropout is passed more than once.
    """
    found: Shapes = {}
    handles = []

    def note(name: str) -> None:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if name in found:
                raise RuntimeError(f"the dropout {name} is passed more than once")
            found[name] = tuple(inputs[0].shape)

        handles.append(model.get_submodule(name).register_forward_pre_hook(hook))

    for name, module in model.named_modules():
        if isinstance(module, MaskedDropout):
            note(name)
    if not handles:
        return found
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(example)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def let_through(model: nn.Module, part: tuple[int, int, int] | None) -> None:
    """Say which of the step's images the next forward pass is of.

    Args:
        model: The model.
        part: As :class:`MaskedDropout` has it.
    """
    for module in model.modules():
        if isinstance(module, MaskedDropout):
            module.part = part


def draw_masks(model: nn.Module, shapes: Shapes, count: int) -> None:
    """Draw the masks of the next training step, in the order of the forward pass.

    Args:
        model: The model; its dropouts keep the masks.
        shapes: From :func:`mask_shapes`.
        count: Number of images in the step.
    """
    for name, (ones, *rest) in shapes.items():
        module = cast(MaskedDropout, model.get_submodule(name))
        module.mask = module.draw((ones * count, *rest))
