"""Full fine-tuning: every parameter of the backbone is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from prognobench.strategies.strategy import Cell, GradientOptions, Strategy, anywhere

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


class FullOptions(GradientOptions):
    """Options of full fine-tuning.

    Attributes:
        layer_decay: Each layer's learning rate is that of the layer above it times this, in
            (0, 1]; 1 trains all layers alike.
    """

    layer_decay: float = Field(default=1.0, gt=0, le=1)


def _attach(backbone: Backbone, _: FullOptions) -> None:
    backbone.network.requires_grad_(True)


STRATEGY = Strategy(
    name="full",
    title="Full fine-tuning",
    source="common practice",
    options=FullOptions,
    defaults={
        # Fine-tuning of pretrained transformers is stable only at small learning rates, smallest
        # in the first layers (He et al. 2022, arXiv 2111.06377; for chest radiographs arXiv
        # 2401.12215); convolutional networks take somewhat higher ones and little decay.
        "vit": {"lr": 5e-5, "weight_decay": 0.05, "layer_decay": 0.75},
        "cnn": {"lr": 1e-4, "weight_decay": 1e-4},
    },
    cells={
        "vit": Cell(True, "every parameter"),
        "vit_hidden_projections": Cell(True, "every parameter"),
        "cnn": Cell(True, "every parameter, and the statistics of batch normalisation"),
    },
    unsuitable=anywhere,
    attach=_attach,
    trains_normalisation=True,
)
