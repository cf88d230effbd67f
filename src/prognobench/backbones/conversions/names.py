"""Renaming tensors, and putting separate projections together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

Tensor = TypeVar("Tensor")


def same_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint that has timm's names already."""
    return state


def below(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Return the tensors under the first prefix that the checkpoint has, the prefix taken off.

    Without any of the prefixes the whole checkpoint is returned, so that loading names what
    does not fit.
    """
    for prefix in prefixes:
        own = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        if own:
            return own
    return state


def renamed(
    state: dict[str, Tensor], rules: Iterable[tuple[str, str]], dropped: str = r"(?!)"
) -> dict[str, Tensor]:
    """Return a checkpoint with other names.

    Args:
        state: The tensors.
        rules: Regular expressions with what replaces them, all applied to each name in turn.
        dropped: A regular expression; tensors whose whole name it matches are left out.
    """
    compiled = [(re.compile(pattern), by) for pattern, by in rules]
    found = {}
    for key, value in state.items():
        if re.fullmatch(dropped, key):
            continue
        name = key
        for pattern, by in compiled:
            name = pattern.sub(by, name)
        found[name] = value
    return found


def fused(state: dict[str, Any], parts: tuple[str, str, str]) -> dict[str, Any]:
    """Put query, key and value projections together, as timm has them.

    Args:
        state: Tensors, among them such as ``blocks.0.attn.query.weight``.
        parts: The names of query, key and value, such as ``("query", "key", "value")``.

    Returns:
        The others, and for each complete triple one ``blocks.0.attn.qkv.weight``. Incomplete
        ones are kept, so that loading names them.
    """
    import torch

    found = dict(state)
    for key in state:
        match = re.fullmatch(rf"(.*\.){parts[0]}\.(weight|bias)", key)
        if match is None:
            continue
        names = [f"{match[1]}{part}.{match[2]}" for part in parts]
        if all(name in state for name in names):
            found[f"{match[1]}qkv.{match[2]}"] = torch.cat([found.pop(name) for name in names])
    return found
