"""Every strategy on every kind of backbone: what is promised at attachment and of training."""

from __future__ import annotations

import pytest
import torch
from adapting import IMAGES, attached, train
from small_backbones import CNNS, TIMM, TRANSFORMERS

from prognobench.strategies.strategy import get_strategy

BATCH_NORM = ("running_mean", "running_var", "num_batches_tracked")

CELLS = [
    *((name, strategy) for strategy in ("full", "bitfit", "lora", "ia3") for name in TIMM),
    *((name, "vera") for name in TRANSFORMERS),
    *(("hidden_projections", strategy) for strategy in ("full", "bitfit")),
]
FUSED_CELLS = [
    (name, strategy)
    for strategy in ("lora", "vera", "ia3")
    for name in ("vit", "eva", "beit", "swin_v2")
]
MERGED = [cell for cell in CELLS if cell[1] in ("lora", "vera", "ia3")]


def pytest_cells(cells):
    return pytest.mark.parametrize("name, strategy", cells, ids=["-".join(c) for c in cells])


@pytest_cells([*CELLS, *((name, "linear") for name in TIMM)])
def test_features_at_attachment_are_the_frozen_ones(name, strategy):
    adapted = attached(name, strategy)
    assert (adapted.features() - adapted.frozen).abs().max() <= 1e-6
    assert adapted.frozen.std(0).mean() > 1e-2  # features that do not vary would prove nothing


@pytest_cells(CELLS)
def test_only_what_is_trained_changes_and_all_of_it_does(name, strategy):
    adapted = attached(name, strategy)
    before, trained = adapted.state(), {f"network.{key}" for key in adapted.trained()}
    largest = train(adapted)
    after = adapted.state()
    assert trained
    assert {key for key, gradient in largest.items() if gradient == 0} == set()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    statistics = {key for key in before if key.endswith(BATCH_NORM)}
    assert moved == trained | (statistics if strategy == "full" else set())
    assert (adapted.features() - adapted.frozen).abs().max() > 1e-4


@pytest_cells(FUSED_CELLS)
def test_fused_projections_can_be_adapted_as_they_are(name, strategy):
    """The role attention_in: the fused layer itself, also where timm would pass it by."""
    adapted = attached(name, strategy, target_modules=["attention_in"])
    assert (adapted.features() - adapted.frozen).abs().max() <= 1e-6
    assert all(gradient > 0 for gradient in train(adapted).values())
    assert all(".qkv." in key for key in adapted.trained())


@pytest_cells(MERGED)
def test_merging_keeps_the_features(name, strategy):
    adapted = attached(name, strategy)
    train(adapted)
    expected = adapted.features()
    adapted.backbone.network = adapted.backbone.network.merge_and_unload()
    merged = adapted.features()
    scale = max(1.0, float(expected.abs().max()))
    assert (merged - expected).abs().max() <= 1e-5 * scale
    assert not [key for key, _ in adapted.backbone.named_parameters() if "lora_" in key]


@pytest.mark.parametrize("name", CNNS)
@pytest.mark.parametrize("strategy", ["linear", "bitfit", "lora", "ia3"])
def test_statistics_of_a_frozen_network_would_move_in_plain_training_mode(name, strategy):
    """What holds them is the classifier's training mode, not their being buffers."""
    adapted = attached(name, strategy)
    before = adapted.state()
    adapted.backbone.train()
    with torch.no_grad():
        adapted.backbone.features(IMAGES)
    after = adapted.state()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_lora_adapts_query_and_value_and_nothing_else():
    adapted = attached("vit", "lora")
    touched = {key.split(".lora_")[0].rpartition(".")[2] for key in adapted.trained()}
    assert touched == {"query", "value"}


def test_ia3_scales_keys_values_and_the_input_of_the_second_mlp_layer():
    adapted = attached("vit", "ia3")
    layers = {key: tuple(p.shape) for key, p in adapted.trained().items()}
    width, hidden = 48, 192
    found = {key.split(".ia3_l")[0].rpartition(".")[2]: shape for key, shape in layers.items()}
    assert found == {"key": (width, 1), "value": (width, 1), "fc2": (1, hidden)}
    # Twice the vector of fc2 is twice its input, which its bias does not see.
    layer = adapted.backbone.network.get_submodule("base_model.model.blocks.0.mlp.fc2")
    hidden_units = torch.randn(3, hidden)
    base = layer.get_base_layer()
    layer.ia3_l["default"].data.fill_(2.0)
    assert torch.allclose(layer(hidden_units), base(2 * hidden_units), atol=1e-6)
    layer = adapted.backbone.network.get_submodule("base_model.model.blocks.0.attn.qkv.key")
    tokens = torch.randn(3, width)
    layer.ia3_l["default"].data.fill_(2.0)
    assert torch.allclose(layer(tokens), 2 * layer.get_base_layer()(tokens), atol=1e-5)


def test_each_seed_has_its_own_vera_projections():
    def projections(seed):
        model = attached("vit", "vera", seed=seed).backbone.network.base_model
        return model.vera_A["default"], model.peft_config["default"].projection_prng_key

    (first, first_key), (again, _), (other, other_key) = map(projections, (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first_key != other_key


@pytest.mark.parametrize("strategy", ["bitfit", "ia3", "vera"])
@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_vectors_that_decay_would_undo_are_not_decayed(strategy, kind):
    assert get_strategy(strategy).resolve({}, kind).weight_decay == 0.0


def test_bitfit_leaves_tables_of_relative_positions_alone():
    trained = attached("swin", "bitfit").trained()
    assert trained
    assert not [key for key in trained if "relative_position" in key]
    biases = [key for key in attached("eva", "bitfit").trained() if key.endswith("q_bias")]
    assert len(biases) == 2


def test_bitfit_says_so_where_there_is_no_bias():
    from small_backbones import backbone_of
    from torch import nn

    backbone = backbone_of("vit")
    backbone.network = nn.Linear(3, 3, bias=False)
    with pytest.raises(ValueError, match="no biases"):
        get_strategy("bitfit").attach(backbone, get_strategy("bitfit").resolve({}, "vit"))
