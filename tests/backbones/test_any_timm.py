"""Models outside the catalog: of timm, of the hub, and checkpoints of one's own."""

from __future__ import annotations

import dataclasses
import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from prognobench.backbones import catalog
from prognobench.backbones.backbone import Backbone, create_network, load_backbone
from prognobench.backbones.catalog.roles import VIT_ROLES
from prognobench.backbones.choice import BackboneSpec
from prognobench.errors import UserError


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("timm:vit_small_patch16_224.augreg_in21k",
         {"attention_in": 12, "attention_out": 12, "mlp_in": 12, "mlp_out": 12,
          "normalisation": 25}),
        ("timm:resnet18.a1_in1k", {"convolution": 19, "normalisation": 20}),
        ("timm:efficientnet_b0.ra_in1k", {"convolution": 64, "normalisation": 49}),
        ("timm:beit_base_patch16_224.in22k_ft_in22k",
         {"attention_in": 12, "attention_out": 12, "mlp_in": 12, "mlp_out": 12,
          "normalisation": 25}),
    ],
)  # fmt: skip
def test_roles_of_a_timm_model_are_inferred(name, roles):
    entry = catalog.get_entry(name)
    with torch.device("meta"):
        backbone = Backbone(entry, create_network(entry))
    assert {role: len(backbone.modules_of(role)) for role in entry.roles} == roles
    config = timm.get_pretrained_cfg(entry.architecture)
    assert entry.mean == tuple(config.mean)
    assert entry.weights.file.repository == f"timm/{entry.architecture}"
    assert backbone.network.num_features == entry.feature_dim or "levit" in name


def test_inferred_roles_of_a_vision_transformer_are_those_of_the_catalog():
    entry = catalog.get_entry("timm:vit_small_patch14_dinov2.lvd142m")
    with torch.device("meta"):
        backbone = Backbone(entry, create_network(entry))
        known = Backbone(dataclasses.replace(entry, roles=VIT_ROLES), backbone.network)
    for role in VIT_ROLES:
        assert backbone.modules_of(role) == known.modules_of(role)


def test_a_name_without_its_tag_or_unknown_is_refused():
    with pytest.raises(UserError, match=r"write timm:resnet18.TAG with one of a1_in1k"):
        catalog.get_entry("timm:resnet18")
    with pytest.raises(UserError, match="did you mean 'resnet18'") as caught:
        catalog.get_entry("timm:resnet_18")
    assert len(str(caught.value)) < 400
    with pytest.raises(UserError, match="write hf-hub:OWNER/NAME"):
        catalog.get_entry("hf-hub:nobody")


def test_a_checkpoint_of_ones_own_is_loaded_by_its_architecture(tmp_path):
    torch.manual_seed(1)
    network = timm.create_model("test_vit", num_classes=3).eval()
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "own.pth")
    spec = BackboneSpec(
        name="timm:test_vit.r160_in1k", weights=tmp_path / "own.pth", title="ours",
        mean=(0.4,), std=(0.2,),
    )  # fmt: skip
    entry = spec.entry()
    assert spec.label == "ours"
    assert entry.mean == (0.4,) * 3
    assert len(entry.weights.sha256) == 64
    backbone = load_backbone(entry)
    images = torch.randint(0, 256, (2, 1, 160, 160), dtype=torch.uint8)
    with torch.inference_mode():
        pixels = (images.float().repeat(1, 3, 1, 1) / 255 - 0.4) / 0.2
        expected = network.forward_head(network.forward_features(pixels), pre_logits=True)
        assert torch.allclose(backbone.features(images), expected, atol=1e-5)
    broken = dict(state)
    del broken["module.blocks.0.attn.qkv.weight"]
    torch.save(broken, tmp_path / "own.pth")
    with pytest.raises(UserError, match=r"missing blocks.0.attn.qkv.weight"):
        load_backbone(spec.entry())


def test_statistics_of_the_catalog_cannot_be_changed():
    with pytest.raises(UserError, match="those of its pretraining"):
        BackboneSpec(name="resnet18", mean=(0.5,)).entry()
    own = {"name": "timm:test_vit.r160_in1k"}
    with pytest.raises(UserError, match="3 channels"):
        BackboneSpec(**own, mean=(0.5, 0.5)).entry()
    with pytest.raises(UserError, match="above 0"):
        BackboneSpec(**own, std=(0.0,)).entry()


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A folder in the place of the hub's cache, as PROGNOBENCH_WEIGHTS has it."""
    monkeypatch.setenv("PROGNOBENCH_WEIGHTS", str(tmp_path))
    catalog.outside_entry.cache_clear()
    yield tmp_path / "hf-hub:clinic/model"
    catalog.outside_entry.cache_clear()


def test_a_hub_model_is_described_by_its_own_file(hub_folder):
    name = "hf-hub:clinic/model"
    with pytest.raises(UserError, match="pull hf-hub:clinic/model"):
        catalog.get_entry(name)
    hub_folder.mkdir(parents=True)
    config = {
        "architecture": "test_vit",
        "num_classes": 14,
        "global_pool": "token",
        "model_args": {"img_size": 96, "num_classes": 14},
        "pretrained_cfg": {
            "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 96, 96],
            "license": "cc-by-nc-4.0",
        },
    }  # fmt: skip
    (hub_folder / "config.json").write_text(json.dumps(config))
    entry = catalog.get_entry(name)
    assert (entry.input_size, entry.mean) == (96, (0.1, 0.2, 0.3))
    assert "cc-by-nc-4.0" in entry.weights.terms
    network = timm.create_model("test_vit", num_classes=14, img_size=96)
    save_file(network.state_dict(), hub_folder / "model.safetensors")
    backbone = load_backbone(entry)
    assert torch.equal(backbone.network.pos_embed, network.pos_embed)
    (hub_folder / "config.json").write_text('{"model_type": "bert"}')
    catalog.outside_entry.cache_clear()
    with pytest.raises(UserError, match="names no architecture"):
        catalog.get_entry(name)
