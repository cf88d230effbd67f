"""The sealed interface: 8-bit grey images in, feature vectors out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import timm
import torch
from timm.layers.drop import DropPath
from torch import nn
from torch.nn import functional

from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.weights import load_weights


class Backbone(nn.Module):
    """A vision encoder with its own preprocessing.

    Attributes:
        entry: What the catalog knows of it.
        network: The timm model without a classifier; strategies adapt it in place or wrap it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, entry: BackboneEntry, network: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.network = network
        channels = len(entry.mean)
        self.register_buffer("mean", 255 * torch.tensor(entry.mean).view(1, channels, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(entry.std).view(1, channels, 1, 1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the feature vectors of images; preprocessing cannot be skipped.

        Grey is repeated over the channels that the pretraining had, the side is resized to
        ``entry.input_size`` (bilinear, antialiased) where it differs, and the pretraining's mean
        and standard deviation are applied.

        Args:
            images: uint8 of shape [B, 1, H, W] with H = W, 0 black and 255 white.

        Returns:
            float32 of shape [B, ``entry.feature_dim``]. Gradients flow to the parameters that
            require them.

        Raises:
            ValueError: When the images have another type or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1:
            raise ValueError(
                f"expected uint8 images [B, 1, H, W], got {images.dtype} {tuple(images.shape)}"
            )
        if images.shape[2] != images.shape[3]:
            raise ValueError(f"expected square images, got {tuple(images.shape[2:])}")
        pixels = images.float()
        size = self.entry.input_size
        whole = self.entry.image_size
        if pixels.shape[-1] != whole:
            pixels = functional.interpolate(
                pixels, (whole, whole), mode="bilinear", align_corners=False, antialias=True
            )
        margin = (whole - size) // 2
        pixels = pixels[..., margin : margin + size, margin : margin + size]
        return self._pooled((pixels - self.mean) / self.std).float()

    def _pooled(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's own pooled feature, or that of several blocks.

        The latter is what DINOv2 (Oquab et al. 2024, appendix B.3) evaluates linearly: the
        class tokens of the last blocks, each after the final normalisation, from the earlier to
        the last, then the mean of the last block's patch tokens.
        """
        if self.entry.blocks == 1 and not self.entry.patches:
            return cast(torch.Tensor, self.network(inputs))
        blocks = cast(Any, self.network).forward_intermediates(
            inputs,
            indices=self.entry.blocks,
            return_prefix_tokens=True,
            norm=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        parts = [prefix[:, 0] for _, prefix in blocks]
        if self.entry.patches:
            parts.append(blocks[-1][0].mean(dim=1))
        return torch.cat(parts, dim=1)

    def modules_of(self, *roles: str) -> list[str]:
        """Return the full names of the modules that have one of ``roles``, in network order.

        Roles that the backbone does not have give no names, nor do modules without parameters
        of their own (timm leaves identities where an architecture has no layer).
        """
        patterns = [self.entry.roles[role] for role in roles if role in self.entry.roles]
        return [
            name
            for name, module in self.network.named_modules()
            if any(re.fullmatch(pattern, name) for pattern in patterns)
            and next(module.parameters(recurse=False), None) is not None
        ]


def create_network(entry: BackboneEntry) -> nn.Module:
    """Return an entry's network without classifier, at random weights, in evaluation mode.

    Stochastic depth is off, which timm has on by default in some architectures: candidates are
    compared under one regularisation, and a step is a function of its images.
    """
    options = {"num_classes": 0, **entry.architecture_options}
    network: nn.Module = timm.create_model(entry.architecture, pretrained=False, **options)
    for module in network.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
    return network.eval()


def load_backbone(entry: BackboneEntry) -> Backbone:
    """Return a backbone with its pretrained weights, frozen, in evaluation mode, on the CPU.

    Raises:
        UserError: When the weights are missing or are not the published ones.
    """
    network = create_network(entry)
    load_weights(network, entry)
    _resize(network, entry)
    return _frozen(network, entry)


def backbone_of_state(entry: BackboneEntry, state: Mapping[str, torch.Tensor]) -> Backbone:
    """Return a backbone with tensors that are already in hand, every one of its network or none.

    Args:
        entry: The entry; its file of weights is not looked for.
        state: The network's tensors by their names, at the entry's input size.

    Raises:
        ValueError: When names or shapes do not match.
    """
    network = create_network(entry)
    _resize(network, entry)
    wanted = network.state_dict()
    if wanted.keys() != state.keys() or any(
        wanted[name].shape != own.shape for name, own in state.items()
    ):
        raise ValueError(f"these are not the tensors of {entry.name}")
    network.load_state_dict(dict(state))
    return _frozen(network, entry)


def _resize(network: nn.Module, entry: BackboneEntry) -> None:
    resize = getattr(network, "set_input_size", None)
    if entry.weights_size is not None and callable(resize):
        resize(img_size=(entry.input_size, entry.input_size))


def _frozen(network: nn.Module, entry: BackboneEntry) -> Backbone:
    if entry.kind == "cnn":
        # Convolutions are up to twice as fast with channels last (two CPU cores, AMD EPYC).
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Backbone(entry, network).requires_grad_(False).eval()
