"""YAML that is data and nothing else: no code, no environment, no text that grows without end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prognobench.errors import UserError

MOST_BYTES = 1 << 20
MOST_VALUES = 10_000
"""Values, keys, lists and mappings of a file after each alias (``*name``) is replaced by what it
stands for."""

MOST_CHARACTERS = 4096
"""Of one value: no path that Linux takes is longer."""

MOST_DIGITS = 100
"""Of a whole number: with thousands it takes seconds to read and cannot be printed."""

_REFERENCE = "${"
"""How OmegaConf's interpolations begin, which could read the environment and call resolvers."""


def read_data(path: Path, overrides: Sequence[str] = ()) -> Any:
    """Read a YAML file, with values that take precedence over it.

    Args:
        path: The file.
        overrides: ``key=value`` pairs, such as ``recipe.epochs=3``; values are YAML too.

    Returns:
        Plain data: mappings, lists, strings, numbers, None.

    Raises:
        UserError: When it is no YAML, asks for objects or interpolations, or is too large.
    """
    override = ""
    try:
        text = _text(path)
        _check(text, str(path))
        loaded = OmegaConf.create(text) if text.strip() else OmegaConf.create()
        for override in overrides:
            key, _, given = override.partition("=")
            _check(given, override[:60])
            _check_value(key, override[:60])
            value = OmegaConf.select(OmegaConf.from_dotlist([override]), key)
            # A mapping replaces the file's: keys of another cohort source would not fit.
            OmegaConf.update(loaded, key, value, merge=False)
        return OmegaConf.to_container(loaded)
    except RecursionError as error:
        raise UserError(f"{override or path} is nested too deeply to be read") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, OSError) as error:
        sentence = " ".join(str(error).split())
        raise UserError(f"{override or path} cannot be read as YAML: {sentence}") from error


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES >> 20} MiB, which no benchmark needs")
    return data.decode("utf-8")


def _check(text: str, where: str) -> None:
    """Look at the nodes of a YAML text before anything is made of them."""
    # Only nodes are composed: the loader says no more than how they are written.
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None and _values(root, where, {}) > MOST_VALUES:
        raise UserError(f"{where} holds more than {MOST_VALUES} values, with aliases written out")


def _values(node: yaml.Node, where: str, known: dict[int, int]) -> int:
    """Count what a node stands for, each node of the text once."""
    if id(node) in known:
        if not known[id(node)]:
            raise UserError(f"{where} has an alias that stands for something it is part of")
        return known[id(node)]
    known[id(node)] = 0
    if isinstance(node, yaml.ScalarNode):
        _check_value(node.value, where)
        if node.tag.endswith(":int") and len(node.value) > MOST_DIGITS:
            raise UserError(f"{where} has a number of more than {MOST_DIGITS} digits")
        parts = []
    elif isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value
    known[id(node)] = 1 + sum(_values(part, where, known) for part in parts)
    return known[id(node)]


def _check_value(text: str, where: str) -> None:
    if _REFERENCE in text:
        raise UserError(
            f"{where} has '{text[:60]}': a spec is data and refers to nothing, the environment "
            "included; write the value itself"
        )
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"{where} has a value of more than {MOST_CHARACTERS} characters")
