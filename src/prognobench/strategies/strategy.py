"""What a strategy is, and how the strategies at hand are found.

To add a strategy, add one module to ``prognobench/strategies`` that defines ``STRATEGY``, or point
an entry point of the group ``prognobench.strategies`` at one in a package of your own.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from prognobench import strategies
from prognobench.backbones.entry import BackboneEntry
from prognobench.errors import UserError, nearest

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone

ENTRY_POINT_GROUP = "prognobench.strategies"

PEFT_PREFIX = "peft "
"""What the names of peft's own methods begin with, so that ``peft LORA`` is not ``lora``."""

KINDS: Final[Mapping[str, str]] = {
    "vit": "vision transformers as timm has them (ViT, DINOv2, CLIP, EVA, Swin)",
    "vit_hidden_projections": (
        "vision transformers whose attention cannot be taken apart (torch.nn.MultiheadAttention)"
    ),
    "cnn": "convolutional networks (ResNet, DenseNet, EfficientNet)",
}
"""The kinds of backbone in the compatibility matrix, in words."""


_NO_STRATEGIES = {"strategy", "adapters", "peft_methods", "trial", "compatibility", "saving"}
"""The modules of this package that hold what strategies share."""


class StrategyOptions(BaseModel):
    """Options that every strategy takes; a strategy's own model adds to them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GradientOptions(StrategyOptions):
    """Options of a strategy that trains by gradient descent.

    Attributes:
        lr: Peak learning rate of the backbone's trainable parameters (the head has its own).
            None takes the strategy's default for the kind of backbone.
        weight_decay: Decoupled weight decay of the same parameters. None likewise.
    """

    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Cell:
    """A cell of the compatibility matrix: a strategy, with its defaults, on a kind of backbone.

    Attributes:
        possible: Whether the strategy applies.
        words: What it comes to there; where it does not apply, the reason.
    """

    possible: bool
    words: str


def never(_options: Any) -> bool:
    """Return False (for ``Strategy.trains_together``)."""
    return False


def always(_options: Any) -> bool:
    """Return True (for ``Strategy.trains_together``)."""
    return True


@dataclass(frozen=True)
class Strategy:
    """A way of adapting a backbone.

    Attributes:
        name: Its name in specs and results.
        title: The name in words.
        source: The paper it comes from.
        options: The model of its options. With :class:`GradientOptions` it is trained by gradient
            descent, with :class:`~prognobench.strategies.linear.LinearOptions` as a probe.
        defaults: For each kind of backbone, the options that stand where the spec says none,
            such as ``{"vit": {"lr": 5e-4}}``.
        cells: Its row of the compatibility matrix, by the kinds in
            :data:`KINDS`.
        unsuitable: Returns why the strategy with resolved options cannot apply to a backbone, or
            None when it can. Nothing is loaded for it.
        attach: Adapts a frozen backbone in place, so that exactly the parameters to be trained
            require gradients; at attachment its features are unchanged.
        trains_normalisation: Whether running statistics of batch normalisation move in training.
        after_step: Called after each optimiser step, gradients still there, with the adapted
            backbone, the number of the step (from 1) and of all steps; for methods that move
            their budget between layers in training.
        trains_together: Returns whether, with these options, several runs can be trained in one
            pass through the weights that they do not train: ``attach`` changes none of these in
            place, and the forward pass draws nothing at random but dropout.
        imports: Modules that ``attach`` imports and that take long to: where several processes
            train, they are imported once for all.
    """

    name: str
    title: str
    source: str
    options: type[StrategyOptions]
    defaults: Mapping[str, Mapping[str, Any]]
    unsuitable: Callable[[BackboneEntry, Any], str | None]
    attach: Callable[[Backbone, Any], None]
    cells: Mapping[str, Cell] = field(default_factory=dict)
    trains_normalisation: bool = False
    after_step: Callable[[Backbone, int, int], None] | None = None
    trains_together: Callable[[Any], bool] = never
    imports: tuple[str, ...] = ()

    def resolve(self, given: Mapping[str, Any], kind: str) -> StrategyOptions:
        """Return the options for a kind of backbone: those given, then the defaults.

        An option that is given as None stands for its default, where it has one there.

        Raises:
            pydantic.ValidationError: When an option is unknown or out of range.
        """
        own = self.defaults.get(kind, {})
        said = {
            name: value for name, value in given.items() if value is not None or name not in own
        }
        return self.options.model_validate({**own, **said})


def _modules() -> list[str]:
    names = {module.name for module in pkgutil.iter_modules(strategies.__path__)}
    return sorted(names - _NO_STRATEGIES)


def strategy_names() -> list[str]:
    """Return the names of all strategies, without importing any of them."""
    return sorted({*_modules(), *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_strategy(name: str) -> Strategy:
    """Return a strategy by its name; ``peft DORA`` is peft's method DORA.

    Raises:
        UserError: When there is none of that name; the sentence names the nearest.
    """
    if name.startswith(PEFT_PREFIX):
        from prognobench.strategies.peft_methods import peft_strategy

        return peft_strategy(name.removeprefix(PEFT_PREFIX))
    found: object = None
    if name in _modules():
        found = importlib.import_module(f"{strategies.__name__}.{name}").STRATEGY
    # Looking through all installed packages takes a while, and most strategies are our own.
    for point in entry_points(group=ENTRY_POINT_GROUP) if found is None else ():
        if found is None and point.name == name:
            found = point.load()
    if found is None:
        raise UserError(f"unknown strategy '{name}': {nearest(name, strategy_names())}")
    if not isinstance(found, Strategy):
        raise TypeError(f"the entry point '{name}' of {ENTRY_POINT_GROUP} is no Strategy")
    return found


def anywhere(_entry: BackboneEntry, _options: StrategyOptions) -> str | None:
    """Say that a strategy suits every backbone (for ``Strategy.unsuitable``)."""
    return None
