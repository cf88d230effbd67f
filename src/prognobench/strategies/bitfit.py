"""BitFit: only the biases of the backbone are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prognobench.strategies.strategy import Cell, GradientOptions, Strategy, always, anywhere

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone


def _attach(backbone: Backbone, _: GradientOptions) -> None:
    for name, parameter in backbone.network.named_parameters():
        # By its end, not by containing the word: Swin's relative_position_bias_table is no bias.
        parameter.requires_grad_(name.endswith("bias"))
    if not any(parameter.requires_grad for parameter in backbone.network.parameters()):
        raise ValueError(f"{backbone.entry.name} has no biases for BitFit to train")


STRATEGY = Strategy(
    name="bitfit",
    # In convolutional networks the only biases are those of batch normalisation.
    title="BitFit",
    source="Ben Zaken et al. 2022, arXiv 2106.10199",
    options=GradientOptions,
    # Decay would pull pretrained biases towards 0.
    defaults={kind: {"lr": 1e-3, "weight_decay": 0.0} for kind in ("vit", "cnn")},
    cells={
        "vit": Cell(True, "every bias"),
        "vit_hidden_projections": Cell(True, "every bias"),
        "cnn": Cell(
            True,
            "every bias: in most networks those of batch normalisation only, since convolutions "
            "before it have none",
        ),
    },
    unsuitable=anywhere,
    attach=_attach,
    trains_together=always,
)
