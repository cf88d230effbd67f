"""LoRA: a trained low-rank update beside frozen weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from prognobench.strategies.adapters import (
    HIDDEN_PROJECTIONS,
    AdapterOptions,
    Role,
    attach_adapter,
    must_have_gradients,
    without_roles,
)
from prognobench.strategies.strategy import Cell, Strategy, always

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


class LoraOptions(AdapterOptions):
    """Options of LoRA, named as in peft.

    Attributes:
        r: Rank of the update.
        lora_alpha: The update is scaled by ``lora_alpha / r``.
        lora_dropout: Dropout before the update, in [0, 1).
        target_modules: The roles of the layers that get an update.
    """

    r: int = Field(default=8, ge=1)
    lora_alpha: int = Field(default=16, ge=1)
    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    target_modules: tuple[Role, ...] = Field(default=(), min_length=1)


def _attach(backbone: Backbone, options: LoraOptions) -> None:
    from peft import LoraConfig

    attach_adapter(
        backbone,
        LoraConfig,
        options.target_modules,
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
    )


_COMMON = {"lr": 5e-4, "weight_decay": 0.0}

STRATEGY = Strategy(
    name="lora",
    title="LoRA",
    source="Hu et al. 2022, arXiv 2106.09685",
    options=LoraOptions,
    defaults={
        # The paper's own choice (its sections 4.2 and 7.1).
        "vit": {**_COMMON, "target_modules": ("query", "value")},
        "cnn": {**_COMMON, "target_modules": ("convolution",)},
    },
    cells={
        "vit": Cell(True, "updates of query and value, separated where they are fused"),
        "vit_hidden_projections": Cell(False, HIDDEN_PROJECTIONS),
        "cnn": Cell(
            True, "updates of the convolutions: peft's extension, which the paper does not have"
        ),
    },
    unsuitable=without_roles,
    attach=_attach,
    after_step=must_have_gradients,
    trains_together=always,
    imports=("peft",),
)
