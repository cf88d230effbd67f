"""What the modules of a network do, read off their names and types in timm."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_ATTENTION = r"(.*\.)?(attn|attention)(_\w+)?"
"""The name of an attention module in timm's networks."""

_BY_NAME = {
    "attention_in": rf"{_ATTENTION}\.(qkv|[qkv]_proj|[qkv])",
    "attention_out": rf"{_ATTENTION}\.(proj|out_proj)",
    "mlp_in": r"(.*\.)?mlp\.fc1(_[gx])?",
    "mlp_out": r"(.*\.)?mlp\.fc2",
}


def has_attention(network: Any) -> bool:
    """Say whether a network has attention with projections that adapters can attach to."""
    return any(
        re.fullmatch(_BY_NAME["attention_in"], name) and _has_parameters(module)
        for name, module in network.named_modules()
    )


def inferred_roles(network: Any) -> dict[str, str]:
    """Return the roles of a network's modules.

    With attention: its projections and those of the MLPs. Without: every convolution of full
    depth (neither grouped nor the first of all) and the linear layers that stand for pointwise
    ones. Normalisations in either case. Pooling heads and patch embeddings are left alone.

    Args:
        network: A network of timm, without classifier; its tensors may be without values.

    Returns:
        For each role the network has, a regular expression that matches the full names.
    """
    from torch import nn

    modules = [(name, m) for name, m in network.named_modules() if name and _has_parameters(m)]
    inside = [(n, m) for n, m in modules if not re.match(r"(patch_embed|attn_pool|head)\b", n)]
    found: dict[str, list[str]] = {}
    if has_attention(network):
        for role, pattern in _BY_NAME.items():
            found[role] = [name for name, _ in inside if re.fullmatch(pattern, name)]
    else:
        dense = (nn.Conv2d, nn.Linear)
        layers = [
            name
            for name, module in inside
            if isinstance(module, dense) and getattr(module, "groups", 1) == 1
        ]
        found["convolution"] = layers[1:]
    found["normalisation"] = [n for n, m in modules if "norm" in type(m).__name__.lower()]
    return {role: _either(names) for role, names in found.items() if names}


def _has_parameters(module: Any) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _either(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in names)
