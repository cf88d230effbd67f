"""Other methods of peft by name: keys, errors, what they do to features, where they cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from adapting import attached, train
from peft import OFTConfig, get_peft_model
from small_backbones import backbone_of, entry_of

from prognobench.errors import UserError
from prognobench.spec import StrategySpec
from prognobench.strategies.peft_methods import peft_methods, peft_strategy
from prognobench.strategies.strategy import get_strategy

SMALL = {
    "LORA": {"r": 4},
    "DORA": {"r": 4},
    "ADALORA": {"init_r": 6, "target_r": 3},
    "OFT": {"oft_block_size": 16},
    "BOFT": {"boft_block_size": 4},
    "FOURIERFT": {"n_frequency": 50},
    "RANDLORA": {"r": 4},
    "MISS": {"r": 4},
    "VBLORA": {"vector_length": 16, "num_vectors": 32, "r": 2},
    "LN_TUNING": {},
    "LOHA": {"r": 2},
    "LOKR": {"r": 2},
    "HRA": {"r": 2},
    "DELORA": {"r": 2},
}
"""Methods with keys that fit into a width of 48."""

NOT_THE_IDENTITY = {
    # Coefficients drawn from a normal distribution, as in its paper (arXiv 2405.03003), unless a
    # spec says init_weights: true.
    "FOURIERFT",
    # A bank of vectors drawn at random for both factors (arXiv 2405.15179).
    "VBLORA",
}
ON_CONVOLUTIONS = ("LORA", "DORA", "ADALORA", "LN_TUNING", "LOHA", "LOKR")
ON_LINEAR_LAYERS_ONLY = ("FOURIERFT", "RANDLORA", "MISS", "VBLORA", "DELORA", "VERA", "GRALORA")


def spec(**data):
    found = StrategySpec.model_validate(data)
    found.check()
    return found


def small(name, method):
    adapted = attached(name, f"peft {method}", **SMALL[method])
    if method == "ADALORA":  # which gives up ranks as it trains: looked at in a test of its own
        adapted.strategy = replace(adapted.strategy, after_step=None)
    return adapted


@pytest.mark.parametrize("method", SMALL)
def test_methods_train_all_they_say_and_begin_at_the_frozen_features(method):
    adapted = small("vit", method)
    difference = (adapted.features() - adapted.frozen).abs().max()
    # Features of up to 3; reflections undo each other but for rounding, which CPUs differ in.
    assert (difference <= 2e-5) == (method not in NOT_THE_IDENTITY)
    before = adapted.state()
    names = {f"network.{key}" for key in adapted.trained()}
    assert (
        sum(p.numel() for p in adapted.trained().values())
        == (adapted.backbone.network.get_nb_trainable_parameters()[0])
    )
    assert all(gradient > 0 for gradient in train(adapted).values())
    after = adapted.state()
    assert names == {key for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize("method", ON_CONVOLUTIONS)
def test_methods_on_convolutions(method):
    adapted = small("resnet", method)
    assert (adapted.features() - adapted.frozen).abs().max() <= 2e-6
    options = adapted.strategy.resolve(SMALL[method], "cnn")
    assert adapted.strategy.unsuitable(entry_of("resnet"), options) is None
    statistics = {k: v for k, v in adapted.state().items() if "running" in k}
    assert all(gradient > 0 for gradient in train(adapted).values())
    after = adapted.state()
    assert statistics
    assert all(torch.equal(after[key], value) for key, value in statistics.items())


@pytest.mark.parametrize("method", ON_LINEAR_LAYERS_ONLY)
def test_where_peft_refuses_a_layer_the_cell_has_peft_s_reason(method):
    strategy = peft_strategy(method)
    options = strategy.resolve({}, "cnn")
    assert strategy.unsuitable(entry_of("resnet"), options).startswith("peft refuses: ")
    with pytest.raises((ValueError, TypeError)):
        strategy.attach(backbone_of("resnet"), options)


def test_a_key_that_does_not_fit_the_layers_is_a_reason_too():
    strategy = peft_strategy("MISS")
    reason = strategy.unsuitable(entry_of("vit"), strategy.resolve({"r": 64}, "vit"))
    assert "must be less than or equal to in_features (48)" in reason
    assert strategy.unsuitable(entry_of("vit"), strategy.resolve({"r": 4}, "vit")) is None


def test_the_trial_finds_adapters_without_a_gradient(monkeypatch):
    """As an adapter on a layer that its network passes by would be."""
    from prognobench.strategies import trial

    strategy = peft_strategy("LORA")
    options = strategy.resolve({}, "vit")
    assert strategy.unsuitable(entry_of("vit"), options) is None

    class Passed(trial.Layers):
        def forward(self):
            kept = dict(list(self._samples.items())[1:])
            return torch.stack([self.get_submodule(n)(x).sum() for n, x in kept.items()]).sum()

    monkeypatch.setattr(trial, "Layers", Passed)
    assert "no gradient" in strategy.unsuitable(entry_of("vit"), options)


def test_keys_go_to_peft_s_configuration():
    network = attached("vit", "peft OFT", oft_block_size=16, coft=True).backbone.network
    ours = network.peft_config["default"]
    theirs = OFTConfig(target_modules=ours.target_modules, oft_block_size=16, coft=True)
    assert (ours.oft_block_size, ours.coft, ours.r) == (16, True, theirs.r)
    backbone = backbone_of("vit")
    names = backbone.modules_of("attention_in", "attention_out", "mlp_in", "mlp_out")
    other = get_peft_model(
        backbone.network, OFTConfig(target_modules=names, oft_block_size=16, coft=True)
    )
    assert network.get_nb_trainable_parameters() == other.get_nb_trainable_parameters()
    assert attached("vit", "peft DORA").backbone.network.peft_config["default"].use_dora


@pytest.mark.parametrize(
    "data, words",
    [
        ({"peft": "DORA", "rr": 8}, "peft DORA has no option 'rr': did you mean 'r'"),
        ({"peft": "DORRA"}, "no method 'DORRA' that adapts layers: did you mean 'DORA'"),
        ({"peft": "PREFIX_TUNING"}, "no method 'PREFIX_TUNING' that adapts layers"),
        ({"peft": "DORA", "use_dora": False}, "peft DORA has no option 'use_dora'"),
        ({"peft": "OFT", "oft_block_size": "big"}, "oft_block_size of peft OFT: input should be"),
        ({"peft": "ADALORA", "use_dora": True}, "peft ADALORA: peft refuses it: .* DoRA"),
        ({"peft": "LORA", "modules_to_save": ["head"]}, "no option 'modules_to_save'"),
        ({"peft": "LORA", "target_modules": ["qkv"]}, "target_modules of peft LORA: input should"),
        ({"name": "lora", "target_modules": []}, "target_modules of lora"),
        ({"name": "vera", "target_modules": ["convolution"]}, "target_modules of vera"),
        ({"name": "lora", "rank": 8}, "lora has no option 'rank'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(data, words):
    with pytest.raises(UserError, match=words):
        spec(**data)


def test_names_lists_and_identity():
    variants = spec(peft="dora", r=[4, 8]).variants()
    assert [variant.label for variant in variants] == ["peft DORA r=4", "peft DORA r=8"]
    strategy = get_strategy("peft DORA")
    assert strategy is peft_strategy("DORA")
    dumped = strategy.resolve({"r": 4}, "vit").model_dump(mode="json")
    # What peft chooses is not part of it; what we choose is.
    assert set(dumped) == {"lr", "weight_decay", "target_modules", "r"}
    assert strategy.resolve({}, "vit") != strategy.resolve({"r": 8}, "vit")
    assert {"DORA", "ADALORA", "OFT", "BOFT", "FOURIERFT", "RANDLORA", "MISS", "VBLORA"} <= (
        peft_methods().keys()
    )


def test_adalora_moves_its_budget_by_the_hook():
    """From init_r x layers to target_r x layers at the last step; and the schedule is checked."""

    def ranks(after_step):
        adapted = attached("vit", "peft ADALORA", init_r=6, target_r=3)
        adapted.strategy = replace(adapted.strategy, after_step=after_step)
        train(adapted, steps=6)
        values = [p for key, p in adapted.trained().items() if "lora_E" in key]
        assert len(values) == 8
        config = adapted.backbone.network.peft_config["default"]
        return sum(int((p != 0).sum()) for p in values), config.total_step

    hook = peft_strategy("ADALORA").after_step
    assert ranks(hook) == (3 * 8, 6)
    assert ranks(None)[0] == 6 * 8
    other = attached("vit", "peft ADALORA", init_r=6, target_r=3, tinit=4, tfinal=2)
    with pytest.raises(ValueError, match="budgeting phase"):
        train(other, steps=6)
