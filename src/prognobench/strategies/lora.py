"""LoRA: a trained low-rank update beside frozen weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field

from prognobench.backbones.entry import BackboneEntry
from prognobench.strategies.strategy import GradientOptions, Strategy

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone

TARGET_ROLES = ("attention_in", "attention_out", "mlp_in", "mlp_out", "convolution")
"""Roles that get an update: every weight matrix of the blocks, or every pointwise convolution."""


class LoraOptions(GradientOptions):
    """Options of LoRA, named as in peft.

    Attributes:
        r: Rank of the update.
        lora_alpha: The update is scaled by ``lora_alpha / r``.
        lora_dropout: Dropout before the update, in [0, 1).
    """

    r: int = Field(default=8, ge=1)
    lora_alpha: int = Field(default=16, ge=1)
    lora_dropout: float = Field(default=0.1, ge=0, lt=1)


def _unsuitable(entry: BackboneEntry) -> str | None:
    if not any(role in entry.roles for role in TARGET_ROLES):
        return f"{entry.name} has no linear layer or convolution that LoRA could attach to"
    return None


def _attach(backbone: Backbone, options: LoraOptions) -> None:
    from peft import LoraConfig, get_peft_model

    names = backbone.modules_of(*TARGET_ROLES)
    config = LoraConfig(
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules="|".join(re.escape(name) for name in names),
    )
    backbone.network = get_peft_model(backbone.network, config)


STRATEGY = Strategy(
    name="lora",
    title="LoRA",
    source="Hu et al. 2022, arXiv 2106.09685",
    options=LoraOptions,
    defaults={kind: {"lr": 5e-4, "weight_decay": 0.0} for kind in ("vit", "cnn")},
    unsuitable=_unsuitable,
    attach=_attach,
)
