"""Several models of one structure as one: one pass through their shared frozen weights.

What the models do not share (what is trained, masks of dropout, frozen random projections) is
stacked along a new first dimension, and ``torch.vmap`` over ``torch.func.functional_call`` runs
all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call

from prognobench.training.dropout import MaskedDropout


class Stack:
    """Models whose own tensors are stacked.

    The models stay usable: their trained parameters become views of the stacked ones, so that an
    optimiser of one model's parameters changes what the pass of all of them computes with.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        """Stack models.

        Args:
            models: Models of one structure, equal but for the values of their tensors.

        Raises:
            RuntimeError: When one parameter has two names in a model.
        """
        self.models = list(models)
        self._template = models[0]
        if any(_has_tied_parameters(model) for model in models):
            raise RuntimeError("models with tied parameters cannot be stacked")
        named = [dict(model.named_parameters()) for model in models]
        self._masks = [
            f"{name}.mask"
            for name, module in self._template.named_modules()
            if isinstance(module, MaskedDropout)
        ]
        self.trained: dict[str, torch.Tensor] = {}
        for name, parameter in named[0].items():
            if parameter.requires_grad:
                stacked = torch.stack([own[name].detach() for own in named])
                for own, view in zip(named, stacked.unbind(), strict=True):
                    own[name].data = view
                    own[name].grad = None
                self.trained[name] = stacked.requires_grad_()
        self._fixed: dict[str, torch.Tensor] = {}
        frozen = [_frozen(model) for model in models]
        for name, first in frozen[0].items():
            each = [tensors[name] for tensors in frozen]
            if name not in self._masks and not all(_same(first, other) for other in each[1:]):
                self._fixed[name] = torch.stack(each)

    def logits(self, inputs: torch.Tensor, chosen: Sequence[int] | None = None) -> torch.Tensor:
        """Return the logits [models, B] of inputs [models, B, ...].

        Args:
            inputs: Each model's inputs.
            chosen: The numbers of the models that are meant; None for all.
        """
        own = {**self.trained, **self._fixed}
        models = self.models if chosen is None else [self.models[number] for number in chosen]
        if chosen is not None and len(chosen) < len(self.models):
            index = torch.as_tensor(chosen, device=inputs.device)
            own = {name: tensor[index] for name, tensor in own.items()}
        if self._template.training:
            for name in self._masks:
                own[name] = torch.stack([model.get_buffer(name) for model in models])

        # Buffers may be in one container that several layers hold (VeRA's projections); torch would
        # take that for tied tensors, and put back the wrong one.
        def one(tensors: dict[str, torch.Tensor], given: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = functional_call(
                self._template, tensors, (given,), tie_weights=False
            )
            return logits

        together: torch.Tensor = torch.vmap(one, randomness="error")(own, inputs)
        return together

    def train(self, mode: bool) -> None:
        """Set the mode of the pass."""
        self._template.train(mode)

    def spread_gradients(self) -> None:
        """Give each model's parameters their part of the stacked gradients."""
        for name, stacked in self.trained.items():
            for number, model in enumerate(self.models):
                gradient = None if stacked.grad is None else stacked.grad[number]
                model.get_parameter(name).grad = gradient

    def clear_gradients(self) -> None:
        """Forget the stacked gradients."""
        for stacked in self.trained.values():
            stacked.grad = None

    def release(self) -> None:
        """Give the models memory of their own again."""
        for name in self.trained:
            for model in self.models:
                parameter = model.get_parameter(name)
                parameter.data = parameter.data.clone()
                parameter.grad = None


def _frozen(model: nn.Module) -> dict[str, torch.Tensor]:
    parameters = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    return {**parameters, **dict(model.named_buffers())}


def _has_tied_parameters(model: nn.Module) -> bool:
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return len(names) > len(list(model.parameters()))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return one.shape == other.shape
    return torch.equal(one, other)
