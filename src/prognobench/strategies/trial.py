"""A network of one layer of each shape, to try an adapter on before anything is loaded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn


class Layers(nn.Module):
    """Layers under the names that they have in their network, each called on its own."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        """Place layers; names are dotted paths."""
        super().__init__()
        self._samples = {name: _sample(layer) for name, layer in layers.items()}
        for name, layer in layers.items():
            *path, last = name.split(".")
            holder: nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            holder.add_module(last, layer)

    def forward(self) -> torch.Tensor:
        """Return a number that depends on the output of every layer."""
        outputs = [self.get_submodule(name)(x) for name, x in self._samples.items()]
        return torch.stack([output.square().sum() for output in outputs]).sum()


def one_of_each(network: nn.Module, names: Sequence[str]) -> Layers:
    """Return one layer of each class and shape among the named ones, with random weights.

    Args:
        network: The network, which may lie on the device ``meta``.
        names: Names of layers in it.
    """
    chosen: dict[tuple[object, ...], str] = {}
    for name in names:
        chosen.setdefault(_shape(network.get_submodule(name)), name)
    layers = {}
    for name in chosen.values():
        # An empty copy is filled at random: what lies on meta has no values.
        layer = copy.deepcopy(network.get_submodule(name)).to_empty(device="cpu")
        for tensor in [*layer.parameters(), *layer.buffers()]:
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.01, 0.1)
            else:
                tensor.zero_()
        layers[name] = layer
    return Layers(layers).requires_grad_(False).eval()


def _shape(layer: nn.Module) -> tuple[object, ...]:
    shapes = tuple((name, tuple(p.shape)) for name, p in layer.named_parameters())
    return (type(layer), shapes, getattr(layer, "groups", None), getattr(layer, "stride", None))


def _sample(layer: nn.Module) -> torch.Tensor:
    """Return what a layer could be called with: an image of channels, or tokens."""
    if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
        channels = int(layer.in_channels if isinstance(layer, nn.Conv2d) else layer.num_features)
        return torch.randn(2, channels, 8, 8)
    # The last side of a linear layer's or a layer norm's weight is that of its input.
    weight = next(layer.parameters())
    return torch.randn(2, 4, weight.shape[-1])
