"""The strategies: how many parameters each trains, against closed formulae and peft's own count."""

from __future__ import annotations

import copy

import pytest

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.errors import UserError
from prognobench.strategies.strategy import get_strategy, strategy_names


@pytest.fixture(scope="module", params=["demo_vit", "efficientnet_lite0"])
def backbone(request):
    return load_backbone(get_entry(request.param))


def attached(backbone, name, **options):
    adapted = copy.deepcopy(backbone)
    strategy = get_strategy(name)
    strategy.attach(adapted, strategy.resolve(options, backbone.entry.kind))
    return adapted


def trained(adapted):
    return sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_full_and_linear_train_everything_and_nothing(backbone):
    total = sum(p.numel() for p in backbone.parameters())
    assert trained(attached(backbone, "full")) == total
    assert trained(attached(backbone, "linear")) == 0


@pytest.mark.parametrize("rank", [1, 8])
def test_lora_trains_r_times_in_plus_out_of_each_target(backbone, rank):
    adapted = attached(backbone, "lora", r=rank)
    modules = dict(backbone.network.named_modules())
    roles = ("attention_in", "attention_out", "mlp_in", "mlp_out", "convolution")
    names = backbone.modules_of(*roles)
    expected = 0
    for name in names:
        weight = modules[name].weight
        assert weight.shape[2:].numel() == 1  # a linear layer or a pointwise convolution
        expected += rank * (weight.shape[0] + weight.shape[1])
    assert trained(adapted) == expected
    assert adapted.network.get_nb_trainable_parameters()[0] == expected
    touched = {
        key.removeprefix("base_model.model.").split(".lora_")[0]
        for key, p in adapted.network.named_parameters()
        if p.requires_grad
    }
    assert touched == set(names)
    if backbone.entry.kind == "vit":
        assert len(names) == 4 * len(backbone.network.blocks)


def test_bitfit_trains_the_biases_and_nothing_else(backbone):
    adapted = attached(backbone, "bitfit")
    names = {name for name, p in adapted.network.named_parameters() if p.requires_grad}
    state = backbone.network.state_dict()
    assert names == {name for name in state if name.endswith(".bias")}
    if backbone.entry.kind == "vit":
        width = backbone.entry.feature_dim
        blocks = len(backbone.network.blocks)
        # Per block: two norms, qkv, projection, two MLP layers; then patch embedding and last norm.
        assert trained(adapted) == blocks * (2 + 3 + 1 + 4 + 1) * width + 2 * width


def test_defaults_depend_on_the_kind_of_backbone_and_the_spec_precedes():
    full = get_strategy("full")
    assert full.resolve({}, "vit").lr == 5e-5
    assert full.resolve({}, "cnn").lr == 1e-4
    assert full.resolve({"lr": 1.0}, "cnn").lr == 1.0
    for name in strategy_names():
        for kind in ("vit", "cnn"):
            options = get_strategy(name).resolve({}, kind)
            if hasattr(options, "lr"):
                assert options.lr > 0
                assert options.weight_decay >= 0


def test_an_unknown_strategy_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'bitfit'"):
        get_strategy("bitfitt")
