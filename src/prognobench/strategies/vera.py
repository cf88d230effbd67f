"""VeRA: frozen random projections shared by all layers, scaled by two trained vectors a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from prognobench.strategies.adapters import (
    HIDDEN_PROJECTIONS,
    NO_LINEAR_LAYERS,
    AdapterOptions,
    LinearRole,
    attach_adapter,
    must_have_gradients,
    without_roles,
)
from prognobench.strategies.strategy import Cell, Strategy, always

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


class VeraOptions(AdapterOptions):
    """Options of VeRA, named as in peft.

    Attributes:
        r: Rank of the shared projections; costs one parameter a layer, so it is large.
        d_initial: What the vector between the projections begins with.
        vera_dropout: Dropout before the update, in [0, 1).
        target_modules: The roles of the linear layers that get an update.
    """

    r: int = Field(default=256, ge=1)
    d_initial: float = Field(default=0.1, gt=0)
    vera_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[LinearRole, ...] = Field(default=("query", "value"), min_length=1)


def _attach(backbone: Backbone, options: VeraOptions) -> None:
    import torch
    from peft import VeraConfig

    attach_adapter(
        backbone,
        VeraConfig,
        options.target_modules,
        r=options.r,
        d_initial=options.d_initial,
        vera_dropout=options.vera_dropout,
        # peft draws the projections by this key alone. From the run's own stream, so that they
        # differ from seed to seed like everything else that is drawn.
        projection_prng_key=int(torch.randint(2**31, ())),
        # Without them a saved adapter would depend on how this version of torch draws.
        save_projection=True,
    )


STRATEGY = Strategy(
    name="vera",
    title="VeRA",
    source="Kopiczko et al. 2024, arXiv 2310.11454",
    options=VeraOptions,
    # Query and value, r 256 and d_initial 0.1 are the paper's for vision transformers. Decay would
    # pull the scaling vectors to 0.
    defaults={kind: {"lr": 5e-3, "weight_decay": 0.0} for kind in ("vit", "cnn")},
    cells={
        "vit": Cell(True, "updates of query and value, separated where they are fused"),
        "vit_hidden_projections": Cell(False, HIDDEN_PROJECTIONS),
        "cnn": Cell(False, NO_LINEAR_LAYERS),
    },
    unsuitable=without_roles,
    attach=_attach,
    after_step=must_have_gradients,
    trains_together=always,
    imports=("peft",),
)
