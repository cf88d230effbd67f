"""What the strategies that are built on peft share: targets by role, and the attachment."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from prognobench.backbones.entry import BackboneEntry
from prognobench.strategies.strategy import GradientOptions

if TYPE_CHECKING:
    from peft import PeftConfig

    from prognobench.backbones.backbone import Backbone

LinearRole = Literal["query", "key", "value", "attention_in", "attention_out", "mlp_in", "mlp_out"]
Role = Literal[LinearRole, "convolution"]
AnyRole = Literal[Role, "normalisation"]

BLOCK_ROLES: tuple[LinearRole, ...] = ("attention_in", "attention_out", "mlp_in", "mlp_out")
"""Every linear layer of a transformer's blocks."""

PROJECTION_ROLES = frozenset({"query", "key", "value"})

HIDDEN_PROJECTIONS = (
    "its attention hides the projections to query, key and value, as torch.nn.MultiheadAttention "
    "does"
)
NO_LINEAR_LAYERS = "its layers are convolutions, and this adapts linear layers only"


class AdapterOptions(GradientOptions):
    """Options of a strategy that is built on peft.

    Attributes:
        target_modules: The roles of the layers that are adapted. ``query``, ``key`` and ``value``
            are separated where the backbone has them in one layer; ``attention_in`` is that layer.
            Roles of the other kind of backbone are passed over, so that one list may serve both.
    """

    target_modules: tuple[AnyRole, ...] = Field(default=(), min_length=1)


def own_roles(entry: BackboneEntry, roles: Sequence[str]) -> tuple[str, ...]:
    """Return those of ``roles`` that make sense on a backbone's kind, whether it has them or not.

    A convolutional network may lack any role. A transformer has no convolutions to adapt, and of
    its other roles none may silently be missing: the method would be another one.
    """
    if entry.kind == "cnn":
        return tuple(role for role in roles if role in entry.roles)
    return tuple(role for role in roles if role != "convolution")


def without_roles(entry: BackboneEntry, options: AdapterOptions) -> str | None:
    """Return why a backbone lacks what ``options`` ask to adapt, or None when it does not."""
    roles = own_roles(entry, options.target_modules)
    known = {*entry.roles, *(PROJECTION_ROLES if entry.has_projections else ())}
    missing = [role for role in roles if role not in known]
    if not roles and entry.kind == "cnn" and "convolution" not in options.target_modules:
        return NO_LINEAR_LAYERS
    if {"attention_in", *PROJECTION_ROLES} & set(missing):
        return HIDDEN_PROJECTIONS
    if missing or not roles:
        return f"it has no layers of the role {(missing or options.target_modules)[0]}"
    return None


def target_names(backbone: Backbone, roles: Sequence[str]) -> list[str]:
    """Return the names of the layers of ``roles``, made ready to be adapted one by one.

    Where a role needs it, fused projections are separated, in place; features are unchanged.
    """
    from prognobench.backbones.separate_qkv import separate_qkv, unite_biases

    if PROJECTION_ROLES & set(own_roles(backbone.entry, roles)):
        separate_qkv(backbone)
    else:
        unite_biases(backbone)
    return backbone.modules_of(*own_roles(backbone.entry, roles))


def must_have_gradients(backbone: Backbone, step: int, _steps: int) -> None:
    """Raise where an adapter got no gradient in the first step (for ``Strategy.after_step``).

    A network that reads a layer's weight without calling the layer passes by an adapter in silence.
    """
    if step > 1:
        return
    named = backbone.network.named_parameters()
    without = [name for name, p in named if p.requires_grad and p.grad is None]
    if without:
        raise RuntimeError(
            f"{without[0]} and {len(without) - 1} more trained tensors of {backbone.entry.name} "
            "got no gradient: the network passes by the layers they are attached to"
        )


def exactly(names: Sequence[str]) -> str:
    """Return the regular expression that matches these names in full and no others.

    peft takes a list of names for ends of names: ``norm`` would match ``blocks.0.norm`` too.
    """
    return "|".join(re.escape(name) for name in names)


def attach_adapter(
    backbone: Backbone, configure: Callable[..., PeftConfig], roles: Sequence[str], **keys: Any
) -> None:
    """Wrap a backbone's network in a peft model whose adapters sit on the layers of ``roles``.

    Args:
        backbone: The frozen backbone.
        configure: The class of the method's configuration, or what makes one.
        roles: The roles.
        **keys: Keys of the configuration.
    """
    from peft import get_peft_model

    names = target_names(backbone, roles)
    backbone.network = get_peft_model(
        backbone.network, configure(target_modules=exactly(names), **keys)
    )
