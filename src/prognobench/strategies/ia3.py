"""IA3: trained vectors that scale keys, values and the hidden layer of each MLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from prognobench.strategies.adapters import (
    HIDDEN_PROJECTIONS,
    AdapterOptions,
    Role,
    exactly,
    must_have_gradients,
    own_roles,
    target_names,
    without_roles,
)
from prognobench.strategies.strategy import Cell, Strategy, always

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


class Ia3Options(AdapterOptions):
    """Options of IA3, named as in peft.

    Attributes:
        target_modules: The roles of the layers whose activations are scaled: what goes into the
            layers of ``mlp_out`` (peft's ``feedforward_modules``), what comes out of all others.
    """

    target_modules: tuple[Role, ...] = Field(default=(), min_length=1)


def _attach(backbone: Backbone, options: Ia3Options) -> None:
    from peft import IA3Config, get_peft_model

    names = target_names(backbone, options.target_modules)
    inputs = own_roles(backbone.entry, [r for r in options.target_modules if r == "mlp_out"])
    scaled_inputs = backbone.modules_of(*inputs)
    config = IA3Config(
        target_modules=exactly(names),
        # None given would be an error: peft wants it said that there are none.
        feedforward_modules=exactly(scaled_inputs) if scaled_inputs else [],
    )
    backbone.network = get_peft_model(backbone.network, config)


# Decay would pull the vectors from 1 to 0.
_COMMON = {"lr": 5e-3, "weight_decay": 0.0}

STRATEGY = Strategy(
    name="ia3",
    title="IA3",
    source="Liu et al. 2022, arXiv 2205.05638",
    options=Ia3Options,
    defaults={
        "vit": {**_COMMON, "target_modules": ("key", "value", "mlp_out")},
        "cnn": {**_COMMON, "target_modules": ("convolution",)},
    },
    cells={
        "vit": Cell(
            True,
            "scales keys, values and the input of the second MLP layer; key and value are "
            "separated where they are fused, since the query would be scaled too",
        ),
        "vit_hidden_projections": Cell(False, HIDDEN_PROJECTIONS),
        "cnn": Cell(
            True,
            "scales the output channels of the convolutions: peft's extension, which the paper "
            "does not have",
        ),
    },
    unsuitable=without_roles,
    attach=_attach,
    after_step=must_have_gradients,
    trains_together=always,
    imports=("peft",),
)
