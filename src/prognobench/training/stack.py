"""Several models of one structure as one: one pass through what they share.

The images of all runs go through the shared frozen layers as one batch. Layers of which each run
has tensors of its own (what is trained, masks of dropout, frozen random projections) see them by
run: ``torch.vmap`` over ``torch.func.functional_call`` computes such a layer for all runs at once,
whatever it is, with its tensors stacked along a new first dimension.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from prognobench.training.attention import set_attention
from prognobench.training.dropout import MaskedDropout

Tensors = Mapping[str, torch.Tensor]

COMPILED_LAYERS = 3
"""As many layers of one class in a row are compiled, once for all of them."""

COMPILATIONS = 64
"""How often one layer's code may be compiled, for other shapes and strategies, before it no longer
is: torch stops at 8, which a worker that trains for days would reach."""


class ByRun(nn.Module):
    """A layer of which every run has tensors of its own; inputs and outputs are [runs * n, ...]."""

    def __init__(
        self,
        layer: nn.Module,
        names: Mapping[str, str],
        by_image: Sequence[bool] | None = None,
    ) -> None:
        """Wrap a layer.

        Args:
            layer: The layer.
            names: The names of the stacked tensors, in the layer and in the whole model.
            by_image: Which leaves of its arguments have rows for each image; the others are the
                same for all runs. None where all tensors have.
        """
        super().__init__()
        self.layer, self.names = layer, dict(names)
        self.own: dict[str, torch.Tensor] = {}
        self.runs = 1
        self._by_image = by_image

    def forward(self, *given: object, **named: object) -> object:
        """Compute the layer by run: ``own`` has tensors [runs, ...] in the place of the layer's.

        Raises:
            RuntimeError: When it is given other arguments than when the model was looked at.
        """
        layer, runs = self.layer, self.runs
        leaves, form = tree_flatten((given, named))
        by_image = self._by_image or [isinstance(own, torch.Tensor) for own in leaves]
        if len(by_image) != len(leaves):
            raise RuntimeError("a layer that is given other arguments in training is not stacked")

        # Buffers may be in one container that several layers hold (VeRA's projections); torch would
        # take that for tied tensors, and put back the wrong one.
        def one(tensors: dict[str, torch.Tensor], *own: object) -> object:
            inputs, keywords = tree_unflatten(own, form)
            return functional_call(layer, tensors, inputs, keywords, tie_weights=False)

        split = [
            torch.unflatten(own, 0, (runs, -1)) if by_run and isinstance(own, torch.Tensor) else own
            for own, by_run in zip(leaves, by_image, strict=True)
        ]
        dims = [0 if by_run else None for by_run in by_image]
        computed = torch.vmap(one, in_dims=(0, *dims), randomness="error")(self.own, *split)
        return tree_map(lambda own: own.flatten(0, 1), computed)


class Stack:
    """Models whose own tensors are stacked.

    The models stay usable: their trained parameters become views of the stacked ones, so that an
    optimiser of one model's parameters changes what the pass of all of them computes with. One
    model alone keeps its parameters.

    Attributes:
        trained: The stacked parameters that are trained, by their names in a model; none where
            there is one model only.
        parameters: The models' own parameters of each of these names.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        batched: Mapping[str, Sequence[bool]] | None = None,
        *,
        fused_attention: bool = True,
        low: bool = False,
        compiled: bool = False,
    ) -> None:
        """Stack models.

        Args:
            models: Models of one structure, equal but for the values of their tensors.
            batched: The modules that are called with one row or more for each image, and which of
                their arguments have these rows
                (:class:`prognobench.training.structure.Structure`); None where all are.
            fused_attention: Whether attention is one operator of torch in training steps; in
                evaluation mode it always is.
            low: Whether frozen weights are kept in bfloat16 for training steps, which are computed
                in it, so that they are not cast in every step.
            compiled: Whether layers that repeat are compiled for training steps.

        Raises:
            RuntimeError: When one parameter has two names in a model.
        """
        self.models = list(models)
        template = models[0]
        if any(_has_tied_parameters(model) for model in models):
            raise RuntimeError("models with tied parameters cannot be stacked")
        self._several = len(models) > 1
        self.parameters: dict[str, list[nn.Parameter]] = {}
        self.trained: dict[str, torch.Tensor] = {}
        self._fixed: dict[str, torch.Tensor] = {}
        masks: set[str] = set()
        if self._several:
            self._stack_trained()
            masks = {f"{name}.mask" for name in _dropouts(template)}
            frozen = [_frozen(model) for model in models]
            for name, first in frozen[0].items():
                each = [tensors[name] for tensors in frozen]
                if name not in masks and not all(_same(first, other) for other in each[1:]):
                    self._fixed[name] = torch.stack(each)
        stacked = {*self.trained, *self._fixed, *masks}
        apart = low or compiled
        model = _copied(template) if self._several else template
        self._judging = self._stepping = _Skeleton(model, template, stacked, batched)
        if apart:
            self._stepping = _Skeleton(_copied(template), template, stacked, batched)
        if low:
            _keep_in_bfloat16(self._stepping.model)
        if compiled:
            _compile_layers(self._stepping.model)
        self._fused_attention = fused_attention
        self._checked = not self._several

    def train_logits(self, inputs: torch.Tensor, masks: Tensors) -> torch.Tensor:
        """Return the logits [models, B] of a training step's inputs [models, B, ...].

        Args:
            inputs: Each model's inputs.
            masks: The masks of the models' dropouts, [models, ...], by the names of the dropouts.

        Raises:
            RuntimeError: When a layer that the models share draws from torch's global stream.
        """
        self._stepping.model.train()
        set_attention(self._stepping.model, self._fused_attention)
        own = {**self.trained, **self._fixed}
        for name, mask in masks.items():
            own[f"{name}.mask"] = mask
            if not self._several:
                self._stepping.dropouts[name].mask = mask[0]
        if self._checked:
            return self._stepping.logits(own, inputs)
        before = _random_states(inputs.device)
        logits = self._stepping.logits(own, inputs)
        after = _random_states(inputs.device)
        if not all(torch.equal(*states) for states in zip(before, after, strict=True)):
            raise RuntimeError("models that draw from torch's global stream cannot be stacked")
        self._checked = True
        return logits

    def logits(self, inputs: torch.Tensor, chosen: Sequence[int] | None = None) -> torch.Tensor:
        """Return the logits [models, B] of inputs [models, B, ...], in evaluation mode.

        Args:
            inputs: Each model's inputs.
            chosen: The numbers of the models that are meant; None for all.
        """
        own = {**self.trained, **self._fixed}
        if self._several and chosen is not None and len(chosen) < len(self.models):
            index = torch.as_tensor(chosen, device=inputs.device)
            own = {name: tensor[index] for name, tensor in own.items()}
        self._judging.model.eval()
        set_attention(self._judging.model, fused=True)
        return self._judging.logits(own, inputs)

    def set_gradients(self, rows: torch.Tensor) -> None:
        """Put other gradients in the place of those that are there, and give them to the models.

        Args:
            rows: float [models, M], the gradients of all trained tensors side by side.
        """
        for name, own in self._split(rows).items():
            if self.trained[name].grad is not None:
                self.trained[name].grad = own
                for parameter, gradient in zip(self.parameters[name], own.unbind(), strict=True):
                    parameter.grad = gradient

    def set_trained(self, rows: torch.Tensor) -> None:
        """Set all trained tensors of the models, float [models, M] side by side."""
        into = [own.detach() for own in self.trained.values()]
        torch._foreach_copy_(into, list(self._split(rows).values()))

    def _split(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        sizes = [own[0].numel() for own in self.trained.values()]
        parts = zip(self.trained.items(), torch.split(rows, sizes, dim=1), strict=True)
        return {name: part.reshape(own.shape) for (name, own), part in parts}

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for name, stacked in self.trained.items():
            stacked.grad = None
            for parameter in self.parameters[name]:
                parameter.grad = None
        if not self._several:
            self.models[0].zero_grad()

    def release(self) -> None:
        """Give the models memory of their own again."""
        for parameters in self.parameters.values():
            for parameter in parameters:
                parameter.data = parameter.data.clone()
                parameter.grad = None

    def _stack_trained(self) -> None:
        named = [dict(model.named_parameters()) for model in self.models]
        for name, parameter in named[0].items():
            if parameter.requires_grad:
                each = [own[name] for own in named]
                stacked = torch.stack([own.detach() for own in each])
                for own, view in zip(each, stacked.unbind(), strict=True):
                    own.data = view
                    own.grad = None
                self.trained[name] = stacked.requires_grad_()
                self.parameters[name] = each


class _Skeleton:
    """A model whose layers are computed by run where models differ."""

    def __init__(
        self,
        model: nn.Module,
        template: nn.Module,
        stacked: Collection[str],
        batched: Mapping[str, Sequence[bool]] | None,
    ) -> None:
        """Make it of a copy that shares the template's tensors, or of the template itself."""
        self.model = model
        self.dropouts = _dropouts(self.model)
        self._places: list[ByRun] = []
        tensors = _all_tensors(template)
        names = {id(tensors[name]): name for name in stacked}
        for place in sorted(_places(template, stacked, batched)):
            layer = self.model.get_submodule(place)
            local = {
                own: names[id(tensor)]
                for own, tensor in _all_tensors(layer).items()
                if id(tensor) in names
            }
            self._places.append(ByRun(layer, local, (batched or {}).get(place)))
            if place:
                self.model.set_submodule(place, self._places[-1])
            else:
                self.model = self._places[-1]

    def logits(self, tensors: Tensors, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits [runs, B] of inputs [runs, B, ...], with stacked tensors by name."""
        for place in self._places:
            # Masks are there in training mode only.
            place.own = {own: tensors[name] for own, name in place.names.items() if name in tensors}
            place.runs = len(inputs)
        logits: torch.Tensor = self.model(inputs.flatten(0, 1))
        return logits.view(len(inputs), -1)


def _copied(model: nn.Module) -> nn.Module:
    """Return a copy of a model's modules that has the model's own tensors."""
    kept: dict[int, object] = {id(own): own for own in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        if isinstance(module, MaskedDropout):
            kept[id(module.random)] = module.random
    return copy.deepcopy(model, kept)


def _places(
    model: nn.Module, stacked: Collection[str], batched: Collection[str] | None
) -> set[str]:
    """Return the names of the modules to be computed by run: adapted layers, or owners of tensors.

    peft's layers read the tensors of the modules inside them, which are therefore not on their own.
    """
    adapted = {name for name, module in model.named_modules() if _is_adapted(module)}
    found = set()
    for name in stacked:
        place = name.rpartition(".")[0]
        while place and batched is not None and place not in batched:
            place = place.rpartition(".")[0]
        above = [place[:end] for end in range(len(place) + 1) if place[end : end + 1] in ("", ".")]
        found.add(next((own for own in above if own in adapted), place))
    return {
        place
        for place in found
        if not any(place != own and (not own or place.startswith(f"{own}.")) for own in found)
    }


def _is_adapted(module: nn.Module) -> bool:
    """Return whether a module is a layer of peft, which needs not be imported for it."""
    return hasattr(type(module), "adapter_layer_names")


def _keep_in_bfloat16(model: nn.Module, kinds: tuple[type, ...] = (nn.Linear, nn.Conv2d)) -> None:
    """Keep frozen weights in bfloat16 that autocast would cast in every step, with equal results.

    Those in adapted layers stay: a method may compute something else with them in float32.
    """
    if _is_adapted(model):
        return
    if type(model) in kinds:
        for name, own in list(model.named_parameters(recurse=False)):
            if not own.requires_grad:
                setattr(model, name, nn.Parameter(own.to(torch.bfloat16), requires_grad=False))
    for child in model.children():
        # autocast leaves convolutions under vmap as they are.
        _keep_in_bfloat16(child, (nn.Linear,) if isinstance(model, ByRun) else kinds)


def _compile_layers(model: nn.Module) -> None:
    """Compile the layers that repeat: one compilation serves all layers of the same structure."""
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, COMPILATIONS)
    for module in model.modules():
        children = list(module.children())
        if (
            isinstance(module, nn.Sequential | nn.ModuleList)
            and len(children) >= COMPILED_LAYERS
            and len({type(child) for child in children}) == 1
            and any(True for _ in children[0].children())
        ):
            for child in children:
                child.compile(dynamic=False)


def _dropouts(model: nn.Module) -> dict[str, MaskedDropout]:
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, MaskedDropout)}


def _all_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return all tensors by name; one that has two names is there twice."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


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


def _random_states(device: torch.device) -> list[torch.Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
