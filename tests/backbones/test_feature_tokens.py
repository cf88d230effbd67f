"""Features of several blocks, against transformers and against timm's own pooling."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from prognobench.backbones import catalog
from prognobench.backbones.backbone import Backbone, create_network, load_backbone
from prognobench.backbones.choice import BackboneSpec, FeatureSpec
from prognobench.backbones.conversions import transformers as conversions
from prognobench.errors import UserError


def images(size):
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize(("blocks", "patches"), [(1, True), (4, False), (4, True)])
def test_tokens_of_the_last_blocks_are_those_of_transformers(blocks, patches, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=5, num_attention_heads=4, patch_size=14, image_size=518,
        layerscale_value=0.7,
    )  # fmt: skip
    model = transformers.Dinov2Model(config).eval()
    for own in (model.layernorm.weight, model.layernorm.bias):
        torch.nn.init.normal_(own)
    model.save_pretrained(tmp_path / "saved")
    state = conversions.dinov2(load_file(tmp_path / "saved" / "model.safetensors"))
    save_file(state, tmp_path / "model.safetensors")
    spec = BackboneSpec(
        name="dinov2_vits14", weights=tmp_path / "model.safetensors",
        features=FeatureSpec(blocks=blocks, patches=patches),
    )  # fmt: skip
    entry = spec.entry()
    assert entry.feature_dim == 384 * (blocks + patches)
    small = {"embed_dim": 64, "depth": 5, "num_heads": 4}
    entry = dataclasses.replace(entry, architecture_options=small)
    backbone = load_backbone(entry)
    batch = images(518)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (entry.mean, entry.std))
    with torch.inference_mode():
        pixels = (batch.float().repeat(1, 3, 1, 1) / 255 - mean) / std
        hidden = model(pixels, output_hidden_states=True).hidden_states[-blocks:]
        normed = [model.layernorm(own) for own in hidden]
        expected = [own[:, 0] for own in normed]
        if patches:
            expected.append(normed[-1][:, 1:].mean(1))
        found = backbone.features(batch)
    assert torch.allclose(found, torch.cat(expected, 1), atol=1e-5)


def test_the_flag_of_the_catalog_is_that_of_the_network():
    for name in catalog.backbone_names():
        entry = catalog.get_entry(name)
        with torch.device("meta"):
            network = create_network(entry)
        token = getattr(network, "global_pool", "") == "token"
        assert entry.class_token == token, name


def test_one_block_without_patches_is_the_default_feature():
    entry = catalog.get_entry("timm:test_vit.r160_in1k")
    torch.manual_seed(0)
    plain = Backbone(entry, create_network(entry)).eval()
    many = Backbone(dataclasses.replace(entry, blocks=2), plain.network)
    with torch.inference_mode():
        last = many.features(images(160))[:, -entry.feature_dim :]
        assert torch.allclose(last, plain.features(images(160)), atol=1e-6)


def test_labels_say_what_is_not_the_default():
    spec = BackboneSpec(
        name="dinov2_vits14", input_size=224, features={"blocks": 4, "patches": True}
    )
    assert spec.label == "dinov2_vits14 224px 4 blocks with patches"
    assert BackboneSpec(name="dinov2_vits14").label == "dinov2_vits14"


@pytest.mark.parametrize("name", ["resnet18", "medclip_vit", "siglip2_vitb16", "eva_x_tiny"])
def test_backbones_without_a_class_token_refuse_tokens(name):
    with pytest.raises(UserError, match="leave 'features' out"):
        BackboneSpec(name=name, features={"blocks": 4}).entry()


def test_a_cropped_backbone_wants_the_whole_image():
    entry = catalog.get_entry("biovil_t")
    assert (entry.input_size, entry.image_size) == (448, 512)
