"""Full fine-tuning: every parameter of the backbone is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prognobench.strategies.strategy import GradientOptions, Strategy, anywhere

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


def _attach(backbone: Backbone, _: GradientOptions) -> None:
    backbone.network.requires_grad_(True)


STRATEGY = Strategy(
    name="full",
    title="Full fine-tuning",
    source="common practice",
    options=GradientOptions,
    defaults={
        # Fine-tuning of pretrained transformers is stable only at small learning rates;
        # convolutional networks take somewhat higher ones and little decay.
        "vit": {"lr": 5e-5, "weight_decay": 0.05},
        "cnn": {"lr": 1e-4, "weight_decay": 1e-4},
    },
    unsuitable=anywhere,
    attach=_attach,
    trains_normalisation=True,
)
