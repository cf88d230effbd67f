"""What the optimiser is handed: every trainable parameter once, with its rate and decay."""

from __future__ import annotations

import copy

import pytest
import torch
from problem import RECIPE
from torch import nn

from prognobench.backbones.backbone import Backbone, create_network
from prognobench.backbones.catalog import backbone_names, get_entry
from prognobench.strategies.strategy import get_strategy
from prognobench.training.parameters import parameter_groups


def groups_of(backbone, name, **options):
    adapted = copy.deepcopy(backbone)
    strategy = get_strategy(name)
    resolved = strategy.resolve(options, backbone.entry.kind)
    strategy.attach(adapted, resolved)
    head = nn.Linear(backbone.entry.feature_dim, 1)
    return adapted, head, parameter_groups(adapted, head, resolved, RECIPE)


@pytest.mark.parametrize("name", ["full", "lora", "bitfit"])
def test_every_trainable_parameter_is_in_one_group(name, backbone):
    adapted, head, groups = groups_of(backbone, name)
    given = [id(p) for group in groups for p in group["params"]]
    wanted = [id(p) for p in [*adapted.parameters(), *head.parameters()] if p.requires_grad]
    assert sorted(given) == sorted(wanted)
    own = {id(p) for p in head.parameters()}
    head_group = next(group for group in groups if own & {id(p) for p in group["params"]})
    assert head_group["lr"] == RECIPE.head_lr
    assert head_group["weight_decay"] == 0


def test_layers_learn_the_slower_the_deeper_they_lie(backbone):
    """Against the rule itself: lr * decay^(blocks above), patch embedding below all blocks."""
    if backbone.entry.kind != "vit":
        pytest.skip("layer decay is for transformers")
    adapted, _, groups = groups_of(backbone, "full", lr=1.0, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    blocks = len(backbone.network.blocks)
    found = dict(adapted.network.named_parameters())
    for number in range(blocks):
        name = f"blocks.{number}.mlp.fc1.weight"
        assert rates[id(found[name])] == pytest.approx(0.5 ** (blocks - 1 - number)), name
    assert rates[id(found["patch_embed.proj.weight"])] == pytest.approx(0.5**blocks)
    assert rates[id(found["norm.weight"])] == 1.0


@pytest.mark.parametrize("name", [n for n in backbone_names() if get_entry(n).kind == "vit"])
def test_the_last_block_of_every_transformer_has_the_whole_rate(name):
    """timm counts a normalisation or a pooling above the blocks of some as a layer of its own."""
    with torch.device("meta"):
        network = create_network(get_entry(name))
        backbone = Backbone(get_entry(name), network)
        head = nn.Linear(4, 1)
    resolved = get_strategy("full").resolve({"lr": 1.0, "layer_decay": 0.5}, "vit")
    groups = parameter_groups(backbone, head, resolved, RECIPE)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    blocks = getattr(network, "blocks", None) or [
        block for layer in network.layers for block in layer.blocks
    ]
    found = [{rates[id(p)] for p in block.parameters()} for block in blocks]
    assert found == [{0.5 ** (len(blocks) - 1 - number)} for number in range(len(blocks))]
    assert max(rates[id(p)] for p in network.parameters()) == 1.0
    above = [module for name, module in network.named_children()
             if name in ("norm", "fc_norm", "attn_pool")]  # fmt: skip
    assert {rates[id(p)] for module in above for p in module.parameters()} == {1.0}


def test_decay_spares_what_it_should_spare(backbone):
    adapted, _, groups = groups_of(backbone, "full", weight_decay=0.3, layer_decay=1.0)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in adapted.network.named_parameters():
        spared = parameter.ndim == 1 or "pos_embed" in name
        assert decays[id(parameter)] == (0 if spared else 0.3), name
    _, _, groups = groups_of(backbone, "bitfit", weight_decay=0.3)
    assert [group["weight_decay"] for group in groups] == [0, 0.3]
