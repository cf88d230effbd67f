"""The compatibility matrix, cell by cell, against what really happens on networks of each kind."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapting import IMAGES, Adapted, attached, train
from peft import IA3Config, LoraConfig, VeraConfig, get_peft_model
from small_backbones import CNNS, TRANSFORMERS, backbone_of, entry_of
from typer.testing import CliRunner

from prognobench.backbones.backbone import Backbone, create_network
from prognobench.backbones.catalog import backbone_names, get_entry
from prognobench.cli import app
from prognobench.strategies.compatibility import matrix
from prognobench.strategies.strategy import KINDS, get_strategy

KIND_OF = {
    **dict.fromkeys(TRANSFORMERS, "vit"),
    **dict.fromkeys(CNNS, "cnn"),
    "hidden_projections": "vit_hidden_projections",
}
SIX = ("bitfit", "full", "ia3", "linear", "lora", "vera")
IMPOSSIBLE = {
    ("lora", "vit_hidden_projections"),
    ("vera", "vit_hidden_projections"),
    ("ia3", "vit_hidden_projections"),
    ("vera", "cnn"),
}


def test_every_cell_is_stated():
    table = matrix()
    assert set(table) == {*SIX, "peft METHOD"}
    for name, row in table.items():
        assert set(row) == set(KINDS)
        for kind, cell in row.items():
            assert cell.words
            assert cell.possible == ((name, kind) not in IMPOSSIBLE), (name, kind)


@pytest.mark.parametrize("strategy", SIX)
@pytest.mark.parametrize("name", KIND_OF)
def test_every_cell_is_true(strategy, name):
    """A possible cell attaches and trains; an impossible one gives its reason beforehand."""
    cell = matrix()[strategy][KIND_OF[name]]
    method, entry = get_strategy(strategy), entry_of(name)
    reason = method.unsuitable(entry, method.resolve({}, entry.kind))
    if not cell.possible:
        assert reason == cell.words
        return
    assert reason is None
    adapted = attached(name, strategy)
    assert bool(adapted.trained()) == (strategy != "linear")
    assert all(gradient > 0 for gradient in train(adapted, steps=2).values())


def test_peft_itself_cannot_do_the_impossible_cells():
    with pytest.raises(ValueError, match="No layers types compatible with VeRA"):
        get_peft_model(backbone_of("resnet").network, VeraConfig(target_modules=r".*conv\d"))
    attention = r"blocks\.\d+\.self_attn"
    for config in (
        VeraConfig(target_modules=attention),
        IA3Config(target_modules=attention, feedforward_modules=[]),
    ):
        with pytest.raises((ValueError, TypeError)):
            get_peft_model(backbone_of("hidden_projections").network, config)
    # The output projection of a torch.nn.MultiheadAttention is read, never called.
    network = get_peft_model(
        backbone_of("hidden_projections").network,
        LoraConfig(target_modules=f"{attention}.out_proj"),
    )
    outputs = network.train()((IMAGES.float().repeat(1, 3, 1, 1) - 127) / 60)
    assert not outputs.requires_grad


def test_an_adapter_that_the_network_passes_by_stops_the_training():
    backbone = backbone_of("hidden_projections")
    roles = {**backbone.entry.roles, "attention_out": r"blocks\.\d+\.self_attn\.out_proj"}
    backbone.entry = replace(backbone.entry, roles=roles)
    lora = get_strategy("lora")
    lora.attach(backbone, lora.resolve({"target_modules": ["attention_out", "mlp_in"]}, "vit"))
    adapted = Adapted(backbone, lora, frozen=IMAGES)
    with pytest.raises(RuntimeError, match=r"self_attn.out_proj.* got no gradient"):
        train(adapted)


def test_options_can_make_a_cell_possible_or_impossible():
    lora, ia3 = get_strategy("lora"), get_strategy("ia3")

    def reason(strategy, name, **options):
        entry = entry_of(name)
        return strategy.unsuitable(entry, strategy.resolve(options, entry.kind))

    assert reason(get_strategy("peft DORA"), "hidden_projections") == reason(
        lora, "hidden_projections"
    )
    mlp = {"target_modules": ["mlp_in", "mlp_out"]}
    assert reason(lora, "hidden_projections", **mlp) is None
    assert "convolutions" in reason(lora, "resnet", **mlp)
    assert reason(lora, "vit", target_modules=["convolution"]) is not None
    # Roles of the other kind are passed over, so that one list serves both.
    both = {"target_modules": ["query", "value", "convolution"]}
    assert reason(lora, "vit", **both) is None
    assert reason(lora, "resnet", **both) is None
    assert set(attached("vit", "lora", **both).trained()) == set(attached("vit", "lora").trained())
    # But of a transformer's own roles none may silently be missing.
    assert "hides" in reason(lora, "hidden_projections", target_modules=["query", "mlp_in"])
    without_mlp = {k: v for k, v in entry_of("vit").roles.items() if k != "mlp_out"}
    entry = replace(entry_of("vit"), roles=without_mlp)
    assert "mlp_out" in ia3.unsuitable(entry, ia3.resolve({}, "vit"))


@pytest.mark.parametrize("name", backbone_names())
def test_the_catalog_keeps_to_the_matrix(name):
    """Without weights, so also the large ones: only names and shapes of layers matter."""
    entry = get_entry(name)
    with torch.device("meta"):
        network = create_network(entry)
    for strategy in ("bitfit", "full", "ia3", "lora", "vera"):
        method = get_strategy(strategy)
        options = method.resolve({}, entry.kind)
        possible = (strategy, entry.kind) not in IMPOSSIBLE
        assert (method.unsuitable(entry, options) is None) == possible
        if possible:
            backbone = Backbone(entry, copy.deepcopy(network)).requires_grad_(False)
            method.attach(backbone, options)
            assert any(p.requires_grad for p in backbone.parameters())
            if strategy == "lora" and entry.kind == "vit":
                adapted = {
                    key.split(".lora_A")[0].rpartition(".")
                    for key, _ in backbone.network.named_parameters()
                    if ".lora_A" in key
                }
                assert {end for *_, end in adapted} in ({"query", "value"}, {"q_proj", "v_proj"})
                blocks = len(Backbone(entry, network).modules_of("attention_out"))
                assert len(adapted) == 2 * blocks


def test_the_command_line_prints_the_matrix():
    plain = CliRunner().invoke(app, ["ls", "strategies"], env={"COLUMNS": "300"})
    assert plain.exit_code == 0
    assert "n/a: its layers are convolutions" in " ".join(plain.stdout.split())
    listed = json.loads(CliRunner().invoke(app, ["ls", "strategies", "--json"]).stdout)
    rows = {row["name"]: row for row in listed}
    for name, row in matrix().items():
        assert rows[name]["backbones"] == {
            kind: {"possible": cell.possible, "words": cell.words} for kind, cell in row.items()
        }


def test_the_page_on_methods_has_the_same_matrix():
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    for name, row in matrix().items():
        cells = [cell.words if cell.possible else f"n/a: {cell.words}" for cell in row.values()]
        assert f"| `{name}` | {' | '.join(cells)} |" in lines
