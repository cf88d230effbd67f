"""The strategies: how many parameters each trains, by its paper's formula and by peft's count."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from adapting import attached
from small_backbones import CNNS, TIMM, TRANSFORMERS, backbone_of, entry_of

from prognobench.backbones.backbone import Backbone
from prognobench.backbones.separate_qkv import separate_qkv
from prognobench.errors import UserError
from prognobench.strategies.strategy import get_strategy, strategy_names

BLOCKS = ("attention_in", "attention_out", "mlp_in", "mlp_out")


def count(backbone):
    return sum(p.numel() for p in backbone.parameters() if p.requires_grad)


def layers(name, *roles):
    """Weight shapes of the layers of ``roles``, from the untouched network."""
    backbone = backbone_of(name)
    if set(roles) & {"query", "key", "value"}:
        separate_qkv(backbone)
    modules = dict(backbone.network.named_modules())
    return [tuple(modules[own].weight.shape) for own in backbone.modules_of(*roles)]


def check(adapted, expected):
    assert expected > 0
    assert count(adapted.backbone) == expected
    assert adapted.backbone.network.get_nb_trainable_parameters()[0] == expected


@pytest.mark.parametrize("name", TIMM)
def test_full_and_linear_train_everything_and_nothing(name):
    total = sum(p.numel() for p in backbone_of(name).parameters())
    assert count(attached(name, "full").backbone) == total
    assert count(attached(name, "linear").backbone) == 0


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("rank", [1, 8])
def test_lora_trains_r_times_in_plus_out_of_each_layer(name, rank):
    """Hu et al. 2022, section 4.2; a kernel of k x k has as many inputs a channel."""
    roles = ("query", "value") if name in TRANSFORMERS else ("convolution",)
    expected = sum(
        rank * (out + inside * torch.Size(kernel).numel())
        for out, inside, *kernel in layers(name, *roles)
    )
    check(attached(name, "lora", r=rank), expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("roles", [("query", "value"), BLOCKS])
def test_vera_trains_r_plus_out_of_each_layer(name, roles):
    """Kopiczko et al. 2024, section 3.2."""
    expected = sum(16 + out for out, _ in layers(name, *roles))
    check(attached(name, "vera", r=16, target_modules=roles), expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_ia3_trains_key_value_and_hidden_width(name):
    """Liu et al. 2022, section 3.3: l_k, l_v and l_ff."""
    expected = sum(out for out, _ in layers(name, "key", "value"))
    expected += sum(inside for _, inside in layers(name, "mlp_out"))
    check(attached(name, "ia3"), expected)


@pytest.mark.parametrize("name", CNNS)
def test_ia3_trains_a_scale_for_each_channel_of_a_convolution(name):
    check(attached(name, "ia3"), sum(out for out, *_ in layers(name, "convolution")))


@pytest.mark.parametrize("name", TIMM)
def test_bitfit_trains_the_biases_and_nothing_else(name):
    adapted = attached(name, "bitfit")
    state = backbone_of(name).network.state_dict()
    biases = {key for key in state if key.rpartition(".")[2] in ("bias", "q_bias", "v_bias")}
    assert set(adapted.trained()) == biases
    if name == "resnet":  # no convolution has a bias: the shifts of batch normalisation alone
        assert all("bn" in key or "downsample" in key or "conv1" in key for key in biases)
    if name == "vit":
        # A block: two norms, qkv, projection, two MLP layers; then patch embedding and last norm.
        assert count(adapted.backbone) == 2 * (2 + 3 + 1 + 4 + 1) * 48 + 2 * 48


@pytest.fixture(scope="module")
def vit_b16():
    """ViT-B/16 without memory for its weights: only shapes matter here."""
    with torch.device("meta"):
        return timm.create_model("vit_base_patch16_224", num_classes=0)


@pytest.mark.parametrize(
    "strategy, options, expected",
    [
        ("lora", {}, 12 * 2 * 8 * (768 + 768)),
        ("lora", {"target_modules": ["attention_in"]}, 12 * 8 * (768 + 2304)),
        ("lora", {"target_modules": BLOCKS}, 1_179_648),
        ("vera", {}, 12 * 2 * (768 + 256)),
        ("vera", {"target_modules": ["attention_in"]}, 30_720),
        ("vera", {"target_modules": BLOCKS}, 95_232),
        ("ia3", {}, 12 * (768 + 768 + 3072)),
        ("ia3", {"target_modules": BLOCKS}, 110_592),
        ("bitfit", {}, 102_912),
        ("peft DORA", {"r": 8}, 1_262_592),
        ("peft OFT", {"oft_block_size": 32}, 999_936),
        ("peft FOURIERFT", {"n_frequency": 1000}, 48 * 1000),
        ("peft VBLORA", {}, 655_360),
        ("peft RANDLORA", {"r": 32}, 921_600),
        ("peft MISS", {"r": 8}, 12 * 8 * (2304 + 768 + 3072 + 768)),
        ("peft LN_TUNING", {}, 25 * 2 * 768),
    ],
)
def test_counts_on_a_vit_b16_are_the_known_ones(vit_b16, strategy, options, expected):
    entry = entry_of("vit")
    backbone = Backbone(entry, copy.deepcopy(vit_b16)).requires_grad_(False)
    method = get_strategy(strategy)
    method.attach(backbone, method.resolve(options, "vit"))
    assert count(backbone) == expected


def test_defaults_depend_on_the_kind_of_backbone_and_the_spec_precedes():
    full = get_strategy("full")
    assert full.resolve({}, "vit").lr == 5e-5
    assert full.resolve({}, "cnn").lr == 1e-4
    assert full.resolve({"lr": 1.0}, "cnn").lr == 1.0
    for name in strategy_names():
        for kind in ("vit", "cnn"):
            options = get_strategy(name).resolve({}, kind)
            if name != "linear":
                assert options.lr > 0
                assert options.weight_decay >= 0


def test_an_unknown_strategy_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'bitfit'"):
        get_strategy("bitfitt")
