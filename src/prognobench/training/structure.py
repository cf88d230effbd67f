"""What a pass through a model shows of it: who sees every image, and what dropouts are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from prognobench.training.dropout import MaskedDropout, Shapes


@dataclass(frozen=True)
class Structure:
    """What is the same for all models of one structure.

    Attributes:
        shapes: What each dropout is given for one image, in the order of the forward pass.
        batched: The modules that are called once and whose outputs' rows are those of the images,
            one after another; for each, by its name, which leaves of its positional and keyword
            arguments have such rows. The others are the same for all images, as positions are.
    """

    shapes: Shapes
    batched: Mapping[str, tuple[bool, ...]]


def structure(model: nn.Module, example: torch.Tensor) -> Structure:
    """Find the structure of a model by passes of one image and of two, in evaluation mode.

    Args:
        model: The model.
        example: Inputs of one image, [1, ...].

    Raises:
        RuntimeError: When a dropout is passed more than once.
    """
    one, two = (_calls(model, inputs) for inputs in (example, torch.cat([example, example])))
    batched = {}
    shapes: Shapes = {}
    for name, own in one.items():
        rows = _rows_of_images(own, two[name])
        if rows is not None:
            batched[name] = rows
        if isinstance(model.get_submodule(name), MaskedDropout):
            if own.count > 1:
                raise RuntimeError(f"the dropout {name} is passed more than once")
            shapes[name] = next((shape for shape in own.given if shape is not None), ())
    return Structure(shapes, batched)


_Shape = tuple[int, ...]


@dataclass
class _Calls:
    """How often a module is called, and the shapes of the last call; None for no tensor."""

    count: int = 0
    given: tuple[_Shape | None, ...] = ()
    result: tuple[_Shape | None, ...] = ()


def _rows_of_images(one: _Calls, two: _Calls) -> tuple[bool, ...] | None:
    """Return which arguments have the images' rows; None where it cannot be computed by run.

    Args:
        one: The module's calls in a pass of one image.
        two: Those in a pass of two.
    """
    if one.count > 1 or [len(one.given), len(one.result)] != [len(two.given), len(two.result)]:
        return None
    given = list(zip(one.given, two.given, strict=True))
    rows = tuple(_doubled(*own) for own in given)
    alike = all(own[0] == own[1] for own, doubled in zip(given, rows, strict=True) if not doubled)
    results = [own for own in zip(one.result, two.result, strict=True) if own != (None, None)]
    return rows if any(rows) and alike and all(_doubled(*own) for own in results) else None


def _doubled(one: _Shape | None, two: _Shape | None) -> bool:
    """Return whether the second shape has twice the rows of the first, and is the same besides."""
    return bool(one and two and one[0] and two == (2 * one[0], *one[1:]))


def _calls(model: nn.Module, inputs: torch.Tensor) -> dict[str, _Calls]:
    """Return how each module is called in a pass, in the order of the first calls."""
    calls: dict[str, _Calls] = {}
    handles = []

    def note(name: str, module: nn.Module) -> None:
        def before(_module: nn.Module, given: tuple[object, ...], named: dict[str, object]) -> None:
            own = calls.setdefault(name, _Calls())
            own.count += 1
            own.given = _shapes((given, named))

        def after(_module: nn.Module, _given: tuple[object, ...], result: object) -> None:
            calls[name].result = _shapes(result)

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))

    for name, module in model.named_modules():
        note(name, module)
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(inputs)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return calls


def _shapes(values: object) -> tuple[_Shape | None, ...]:
    """Return the shapes of a tree's leaves; None for what is no tensor."""
    return tuple(
        tuple(own.shape) if isinstance(own, torch.Tensor) else None for own in tree_leaves(values)
    )
