"""Query, key and value as layers of their own, where timm computes them in one.

An adapter on a fused projection means something else than its paper says: LoRA's first matrix is
shared by the three, and IA3 scales the query too. Separated, they give the same features, and the
roles ``query``, ``key`` and ``value`` exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.backbones.entry import PROJECTIONS

_SEPARATE_NAMES = dict(zip(PROJECTIONS, ("q_proj", "k_proj", "v_proj"), strict=True))
"""What timm calls the layers where it does not fuse them."""


class SeparateQKV(nn.Module):
    """Three linear layers in the place of a fused one, with the same output.

    Attributes:
        query: The first third of the rows.
        key: The second.
        value: The last.
    """

    def __init__(self, fused: nn.Linear, biases: Sequence[torch.Tensor | None]) -> None:
        """Take the weights of ``fused``, and for each of the three a bias or none."""
        super().__init__()
        for name, weight, bias in zip(PROJECTIONS, fused.weight.chunk(3), biases, strict=True):
            self.add_module(name, _linear(weight, bias))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return query, key and value [..., 3 D] of tokens [..., C], one behind the other."""
        return torch.cat([layer(tokens) for layer in self.children()], dim=-1)


def separate_qkv(backbone: Backbone) -> None:
    """Give a backbone the roles ``query``, ``key`` and ``value``, in place.

    Fused projections are separated; where timm has them apart, only the roles are added. A
    backbone that has these roles is left alone. Features change by rounding only.

    Raises:
        ValueError: When a module of the role ``attention_in`` is neither.
    """
    roles = backbone.entry.roles
    if all(role in roles for role in PROJECTIONS):
        return
    names = backbone.modules_of("attention_in")
    pattern = roles["attention_in"]
    if {name.rpartition(".")[2] for name in names} <= set(_SEPARATE_NAMES.values()):
        added = {role: rf"(?=(?:{pattern})$).*\.{own}" for role, own in _SEPARATE_NAMES.items()}
    else:
        for name in names:
            parent, child, fused = _place(backbone.network, name)
            if not isinstance(fused, nn.Linear) or fused.out_features % 3:
                raise ValueError(f"{name} of {backbone.entry.name} is no fused linear projection")
            biases: Sequence[torch.Tensor | None] | None = _take_biases(parent)
            if biases is None:
                biases = [None] * 3 if fused.bias is None else fused.bias.chunk(3)
            setattr(parent, child, SeparateQKV(fused, biases))
        added = {role: rf"(?:{pattern})\.{role}" for role in PROJECTIONS}
        added["attention_in"] = rf"(?:{pattern})\.(?:{'|'.join(PROJECTIONS)})"
    backbone.entry = replace(backbone.entry, roles={**roles, **added})


def unite_biases(backbone: Backbone) -> None:
    """Give fused projections the biases that their attention keeps apart, in place.

    timm's EVA, BEiT and Swin v2 read ``qkv.weight`` and never call ``qkv`` when they have biases:
    an adapter on ``qkv`` would be passed by, with no gradient and no error.
    """
    for name in backbone.modules_of("attention_in"):
        parent, child, fused = _place(backbone.network, name)
        if isinstance(fused, nn.Linear) and (biases := _take_biases(parent)) is not None:
            setattr(parent, child, _linear(fused.weight, torch.cat(biases)))


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    rows, columns = weight.shape
    layer = nn.Linear(columns, rows, bias=bias is not None, device="meta")
    trained = weight.requires_grad
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=trained)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=trained)
    return layer


def _take_biases(attention: nn.Module) -> list[torch.Tensor] | None:
    """Take the biases of query, key and value off an attention that keeps them apart."""
    names = ("q_bias", "k_bias", "v_bias")
    found = [getattr(attention, name, None) for name in names]
    biases = [bias for bias in found if isinstance(bias, torch.Tensor)]
    if len(biases) < len(names):
        return None
    for name in names:
        setattr(attention, name, None)
    return biases


def _place(network: nn.Module, name: str) -> tuple[nn.Module, str, nn.Module]:
    """Return a module with the one that holds it and its name in there."""
    holder, _, child = name.rpartition(".")
    return network.get_submodule(holder), child, network.get_submodule(name)
