"""What the optimiser is handed: trainable parameters with their learning rates and decay."""

from __future__ import annotations

from typing import Any

from timm.optim._param_groups import param_groups_layer_decay
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.strategies.full import FullOptions
from prognobench.strategies.strategy import GradientOptions
from prognobench.training.recipe import Recipe


def parameter_groups(
    backbone: Backbone, head: nn.Linear, options: GradientOptions, recipe: Recipe
) -> list[dict[str, Any]]:
    """Return parameter groups of an adapted backbone and its head, each with ``lr`` and decay.

    In full fine-tuning, biases, normalisation and position embeddings are not decayed, as is usual,
    and with a layer decay d the learning rate of the layer k below the last is lr * d^k (Clark
    et al. 2020, arXiv 2003.10555; He et al. 2022, arXiv 2111.06377). The last layer is the last
    block, in every backbone: a normalisation or pooling above it has lr too. Other strategies have
    one group for all that they train.

    Args:
        backbone: The adapted backbone.
        head: The head, trained at ``recipe.head_lr`` without decay.
        options: The strategy's options, ``lr`` and ``weight_decay`` resolved.
        recipe: Its ``head_lr``.
    """
    groups = [{"params": list(head.parameters()), "lr": recipe.head_lr, "weight_decay": 0.0}]
    lr, decay = options.lr, options.weight_decay
    if lr is None or decay is None:
        raise ValueError("lr and weight_decay must be resolved before training")
    if isinstance(options, FullOptions):
        network = backbone.network
        spares = getattr(network, "no_weight_decay", None)  # not every timm model has it
        spared = spares() if callable(spares) else ()
        made = param_groups_layer_decay(network, decay, spared, layer_decay=options.layer_decay)
        last = _scale_of_last_block(network, made)
        return groups + [
            {
                "params": group["params"],
                "lr": lr * min(1.0, group["lr_scale"] / last),
                "weight_decay": group["weight_decay"],
            }
            for group in made
        ]
    inside = [p for p in backbone.parameters() if p.requires_grad]
    if inside:
        groups.append({"params": inside, "lr": lr, "weight_decay": decay})
    return groups


def _scale_of_last_block(network: nn.Module, groups: list[dict[str, Any]]) -> float:
    """Return the scale of the last block, of which timm counts what lies above as a layer."""
    pooling = getattr(network, "attn_pool", None)
    above = {id(p) for p in pooling.parameters()} if isinstance(pooling, nn.Module) else set()
    return max(
        float(group["lr_scale"])
        for group in groups
        for p in group["params"]
        if p.ndim > 1 and id(p) not in above
    )
