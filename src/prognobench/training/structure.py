"""What a pass through a model shows of it: who sees every image, and what dropouts are given."""

from __future__ import annotations

from collections import Counter
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
        batched: Names of the modules that are called once, with inputs and outputs whose rows are
            those of the images, one after another.
    """

    shapes: Shapes
    batched: frozenset[str]


def structure(model: nn.Module, example: torch.Tensor) -> Structure:
    """Find the structure of a model by passes of one image and of two, in evaluation mode.

    Args:
        model: The model.
        example: Inputs of one image, [1, ...].

    Raises:
        RuntimeError: When a dropout is passed more than once.
    """
    one, two = (_rows(model, inputs) for inputs in (example, torch.cat([example, example])))
    batched = frozenset(
        name
        for name, (calls, rows, _) in one.items()
        if calls == 1 and rows and all(rows) and two[name][1] == [2 * own for own in rows]
    )
    shapes: Shapes = {}
    for name, (calls, _, shape) in one.items():
        if isinstance(model.get_submodule(name), MaskedDropout):
            if calls > 1:
                raise RuntimeError(f"the dropout {name} is passed more than once")
            shapes[name] = shape
    return Structure(shapes, batched)


def _rows(
    model: nn.Module, inputs: torch.Tensor
) -> dict[str, tuple[int, list[int], tuple[int, ...]]]:
    """Return how often each module is called, the rows of what goes in and out, the first's shape.

    A tensor without dimensions has 0 rows. In the order of the first calls.
    """
    calls: Counter[str] = Counter()
    rows: dict[str, list[int]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []

    def note(name: str, module: nn.Module) -> None:
        def before(_module: nn.Module, given: tuple[object, ...]) -> None:
            calls[name] += 1
            rows[name] = _first_dimensions(given)
            shapes[name] = next(
                (tuple(own.shape) for own in tree_leaves(given) if isinstance(own, torch.Tensor)),
                (),
            )

        def after(_module: nn.Module, _given: tuple[object, ...], result: object) -> None:
            rows[name] += _first_dimensions(result)

        handles.append(module.register_forward_pre_hook(before))
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
    return {name: (calls[name], rows[name], shapes[name]) for name in calls}


def _first_dimensions(values: object) -> list[int]:
    tensors = [own for own in tree_leaves(values) if isinstance(own, torch.Tensor)]
    return [own.shape[0] if own.ndim else 0 for own in tensors]
