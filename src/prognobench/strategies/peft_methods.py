"""Any other method of peft by its name: ``{peft: DORA, r: 8}``.

Keys of a spec are passed to the method's own configuration; what is not given is peft's default.
Whether a method can adapt a backbone is found by trying it on one layer of each shape.
"""

from __future__ import annotations

import functools
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pydantic import (
    ConfigDict,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)

from prognobench.backbones.entry import BackboneEntry
from prognobench.errors import UserError, nearest
from prognobench.strategies.adapters import (
    BLOCK_ROLES,
    AdapterOptions,
    attach_adapter,
    exactly,
    must_have_gradients,
    target_names,
    without_roles,
)
from prognobench.strategies.strategy import PEFT_PREFIX, Cell, Strategy

if TYPE_CHECKING:
    from peft import PeftConfig

    from prognobench.backbones.backbone import Backbone

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {"DORA": ("LORA", {"use_dora": True})}
"""Methods that peft has as a switch of another."""

DEFAULT_ROLES: Mapping[str, tuple[str, ...]] = {"LN_TUNING": ("normalisation",)}
"""Methods that adapt something else than weight matrices."""

TOGETHER = {"LORA", "DORA"}
"""Methods whose runs can be trained in one pass, as tests have shown."""

CHANGES_WEIGHTS = {"init_lora_weights", "modules_to_save", "bias"}
"""Keys with which they may change the backbone's own weights in place."""

CELLS: Mapping[str, Cell] = {
    "vit": Cell(True, "every method for linear layers; others are n/a, in peft's own words"),
    "vit_hidden_projections": Cell(
        True, "with target_modules that leave attention out; LN_TUNING does by itself"
    ),
    "cnn": Cell(True, "every method for convolutions; others are n/a, in peft's own words"),
}

_OURS = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "inference_mode"),
    *("base_model_name_or_path", "revision"),
    "modules_to_save",  # the head stands outside peft
    *("target_modules", "exclude_modules"),  # by role
    *("layers_to_transform", "layers_pattern"),  # peft refuses them beside exact names
    "total_step",  # known to the training
}
"""Keys of peft's configurations that are not for a spec to give."""

_LONGEST = 200
"""Letters of peft's own words that are shown; some name whole modules."""

_UNKNOWN_STEPS = 2**31
"""Stands for the number of steps until training begins."""


class PeftOptions(AdapterOptions):
    """Options of a method of peft: its configuration's keys, and the roles it attaches to."""

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a spec does not say is peft's to choose, and no part of a run's identity.
        return {key: value for key, value in handler(self).items() if value is not None}

    def keys(self) -> dict[str, Any]:
        """Return the keys of peft's configuration that a spec gives."""
        given = self.model_fields_set - AdapterOptions.model_fields.keys()
        return {key: getattr(self, key) for key in given}


@functools.cache
def peft_methods() -> dict[str, tuple[type[PeftConfig], Mapping[str, Any]]]:
    """Return peft's methods that adapt layers: their configuration, and keys that are fixed."""
    from peft import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS

    found: dict[str, tuple[type[PeftConfig], Mapping[str, Any]]] = {
        kind.name: (config, {})
        for kind, config in CONFIGS.items()
        if not issubclass(config, PromptLearningConfig)
        and "target_modules" in {field.name for field in fields(config)}
    }
    return {**found, **{name: (found[base][0], keys) for name, (base, keys) in VARIANTS.items()}}


@functools.cache
def peft_strategy(method: str) -> Strategy:
    """Return a method of peft as a strategy.

    Args:
        method: Its name in peft, in capital or small letters, such as ``DORA`` or ``oft``.

    Raises:
        UserError: When peft has no such method for the layers of a network; the sentence names
            the nearest.
    """
    name = method.strip().upper()
    methods = peft_methods()
    if name not in methods:
        raise UserError(
            f"strategies: peft has no method '{method}' that adapts layers: "
            f"{nearest(name, methods)}"
        )
    config, fixed = methods[name]

    def check(options: PeftOptions) -> PeftOptions:
        try:
            _configure(config, fixed, options)(target_modules="layer")
        except (TypeError, ValueError, AssertionError) as error:
            raise ValueError(f"peft refuses it: {_sentence(error)}") from error
        return options

    def unsuitable(entry: BackboneEntry, options: PeftOptions) -> str | None:
        reason = without_roles(entry, options)
        configure = _configure(config, fixed, options)
        return reason or _trial(entry, configure, options.target_modules)

    def attach(backbone: Backbone, options: PeftOptions) -> None:
        attach_adapter(backbone, _configure(config, fixed, options), options.target_modules)

    def together(options: PeftOptions) -> bool:
        return name in TOGETHER and not CHANGES_WEIGHTS & options.keys().keys()

    hints = typing.get_type_hints(config)
    keys: dict[str, Any] = {
        field.name: (hints[field.name] | None, None)
        for field in fields(config)
        if field.name not in _OURS and field.name not in fixed
    }
    options_model = create_model(
        f"{name}Options",
        __base__=PeftOptions,
        __validators__={"check": model_validator(mode="after")(check)},  # type: ignore[dict-item]
        **keys,
    )
    common = {"lr": 5e-4, "weight_decay": 0.0}
    roles = DEFAULT_ROLES.get(name)
    return Strategy(
        name=f"{PEFT_PREFIX}{name}",
        title=f"{name} (peft)",
        source=f"peft.{config.__name__}",
        options=options_model,
        defaults={
            "vit": {**common, "target_modules": roles or BLOCK_ROLES},
            "cnn": {**common, "target_modules": roles or ("convolution",)},
        },
        cells=CELLS,
        unsuitable=unsuitable,
        attach=attach,
        after_step=_after_step,
        trains_together=together,
        imports=("peft",),
    )


def _configure(
    config: type[PeftConfig], fixed: Mapping[str, Any], options: PeftOptions
) -> Callable[..., PeftConfig]:
    """Return what makes the configuration, given ``target_modules``."""
    keys: dict[str, Any] = {**fixed, **options.keys()}
    if "total_step" in _names(config):
        keys["total_step"] = _UNKNOWN_STEPS
    return functools.partial(config, **keys)


def _after_step(backbone: Backbone, step: int, steps: int) -> None:
    """Let methods that move their budget between layers do so (AdaLoRA, AdaMSS)."""
    must_have_gradients(backbone, step, steps)
    tuner: Any = backbone.network.base_model
    if not hasattr(tuner, "update_and_allocate"):
        return
    for config in tuner.peft_config.values():
        if step == 1 and "total_step" in _names(config):
            replace(config, total_step=steps)  # checks that the schedule fits into the steps
            config.total_step = steps
    tuner.update_and_allocate(step)


def _trial(
    entry: BackboneEntry, configure: Callable[..., PeftConfig], roles: Sequence[str]
) -> str | None:
    """Return why a method cannot adapt a backbone, found by trying one layer of each shape.

    Pretrained weights are not needed for it, nor memory for more than those layers.
    """
    import torch
    from peft import get_peft_model

    from prognobench.backbones.backbone import Backbone, create_network
    from prognobench.strategies.trial import one_of_each

    with torch.device("meta"):
        shapes = Backbone(entry, create_network(entry))
    names = target_names(shapes, roles)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(0)
        warnings.simplefilter("ignore")
        try:
            layers = one_of_each(shapes.network, names)
            model = get_peft_model(layers, configure(target_modules=exactly(names)))
            model().backward()
        except Exception as error:  # whatever peft raises is its way of saying no
            return f"peft refuses: {_sentence(error)}"
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters or any(p.grad is None for p in parameters):
        return "peft's adapter gets no gradient on these layers"
    return None


def _names(config: Any) -> set[str]:
    return {field.name for field in fields(config)}


def _sentence(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
