"""Every entry of the catalog, without its weights: what it says of the architecture is true."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import timm
import torch

from prognobench.backbones import catalog, fetch
from prognobench.backbones.backbone import create_network, load_backbone
from prognobench.backbones.entry import ROLES, LocalFile
from prognobench.errors import UserError
from prognobench.spec import BackboneSpec

ASKED = (
    *("resnet18", "resnet50", "densenet121", "dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14"),
    *("clip_vitl14", "medclip_resnet50", "medclip_vit", "pubmedclip", "biomedclip", "rad_dino"),
    *("eva_x_tiny", "eva_x_small", "eva_x_base", "xrv_densenet121", "dinov3_vits16"),
    *("dinov3_vitb16", "dinov3_vitl16", "siglip2_vitb16", "medsiglip", "clip_vitb16", "biovil_t"),
    *("ark_plus", "convnext_tiny", "efficientnet_lite0", "demo_vit"),
)


def test_all_that_were_asked_for_are_there():
    assert set(ASKED) <= set(catalog.backbone_names())


@pytest.mark.parametrize("name", ASKED)
def test_dimension_statistics_and_roles_are_those_of_the_architecture(name):
    entry = catalog.get_entry(name)
    with torch.device("meta"):
        network = create_network(entry)
    assert network.num_features == entry.feature_dim
    channels = entry.architecture_options.get("in_chans", 3)
    assert len(entry.mean) == len(entry.std) == channels
    assert entry.input_size % entry.patch_size == 0
    assert set(entry.roles) <= set(ROLES)
    modules = {
        key for key, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    }  # fmt: skip
    for role, pattern in entry.roles.items():
        found = [key for key in modules if re.fullmatch(pattern, key)]
        assert found, role
        assert not any(key.startswith("patch_embed") for key in found)


@pytest.mark.parametrize("name", [n for n in ASKED if catalog.get_entry(n).architecture.count(".")])
def test_tagged_entries_agree_with_timm_on_preprocessing(name):
    entry = catalog.get_entry(name)
    published = timm.get_pretrained_cfg(entry.architecture)
    assert entry.mean == tuple(published.mean)
    assert entry.std == tuple(published.std)
    assert entry.input_size == published.input_size[-1]
    assert published.hf_hub_id in {f"timm/{entry.weights.file.repository[5:]}", "timm/"}


def test_missing_weights_are_a_sentence_with_two_ways(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    entry = catalog.get_entry("pubmedclip")
    assert not fetch.on_disk(entry)
    with pytest.raises(UserError, match=r"prognobench pull pubmedclip`, or name a copy"):
        fetch.locate(entry)
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch.locate(catalog.get_entry("ark_plus"))
    # Without the file the digest stays unknown, and the plan can still be made.
    assert BackboneSpec(name="pubmedclip").entry().weights.sha256 == ""


def test_a_folder_of_weights_is_found_and_its_digest_is_part_of_the_identity(monkeypatch, tmp_path):
    monkeypatch.setenv(fetch.WEIGHTS_VARIABLE, str(tmp_path))
    file = tmp_path / "resnet18" / "model.safetensors"
    file.parent.mkdir()
    identities = []
    for content in (b"one", b"other"):
        file.write_bytes(content)
        entry = BackboneSpec(name="resnet18").entry()
        assert fetch.locate(entry) == file
        assert len(entry.weights.sha256) == 64
        identities.append(json.dumps(entry.identity()))
    assert identities[0] != identities[1]


def test_another_file_than_the_one_fetched_before_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(fetch.WEIGHTS_VARIABLE, str(tmp_path))
    file = tmp_path / "resnet18" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"one")
    entry = catalog.get_entry("resnet18")
    assert fetch.fetch(entry) == file
    file.write_bytes(b"other")
    with pytest.raises(UserError, match="SHA-256"):
        fetch.fetch(entry)
    with pytest.raises(UserError, match="SHA-256"):
        load_backbone(fetch.resolved(entry))


def test_terms_are_accepted_once():
    entry = catalog.get_entry("dinov3_vits16")
    with pytest.raises(UserError, match="--accept-license"):
        fetch.check_terms(entry)
    with pytest.raises(UserError, match="--accept-license"):
        fetch.fetch(entry)
    fetch.accept_terms(entry)
    fetch.check_terms(entry)


def test_an_unreachable_hub_names_the_file_and_the_way_around(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    import huggingface_hub

    def away(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", away)
    with pytest.raises(UserError, match=r"pytorch_model.bin of flaviagiammarino.*copy the file to"):
        fetch.fetch(catalog.get_entry("pubmedclip"))


def test_a_file_named_in_the_spec_comes_first(tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"mine")
    entry = BackboneSpec(name="resnet18", weights=path).entry()
    assert fetch.locate(entry) == path
    gone = dataclasses.replace(
        entry, weights=dataclasses.replace(entry.weights, file=LocalFile(tmp_path / "none"))
    )
    with pytest.raises(UserError, match="not on this machine"):
        fetch.locate(gone)


PREPROCESSING = {
    # From the authors' own code or model cards; entries of timm's hub are checked above.
    "pubmedclip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "biomedclip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "medclip_vit": ((0.5862785803043838,) * 3, (0.27950088968644304,) * 3),
    "medclip_resnet50": ((0.5862785803043838,) * 3, (0.27950088968644304,) * 3),
    "rad_dino": ((0.5307,) * 3, (0.2583,) * 3),
    "eva_x_tiny": ((0.49185,) * 3, (0.28509,) * 3),
    "eva_x_small": ((0.49185,) * 3, (0.28509,) * 3),
    "eva_x_base": ((0.49185,) * 3, (0.28509,) * 3),
    "medsiglip": ((0.5,) * 3, (0.5,) * 3),
    "ark_plus": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "biovil_t": ((0.0,) * 3, (1.0,) * 3),
    # (x / 255 - .5) * 2048, its range of -1024 to 1024.
    "xrv_densenet121": ((0.5,), (1 / 2048,)),
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_preprocessing_is_that_of_the_pretraining(name):
    entry = catalog.get_entry(name)
    assert (entry.mean, entry.std) == PREPROCESSING[name]


def test_constants_are_those_of_the_source_libraries():
    image_utils = pytest.importorskip("transformers.image_utils")
    xrv = pytest.importorskip("torchxrayvision")
    clip, imagenet = catalog.get_entry("clip_vitl14"), catalog.get_entry("resnet50")
    assert clip.mean == tuple(image_utils.OPENAI_CLIP_MEAN)
    assert clip.std == tuple(image_utils.OPENAI_CLIP_STD)
    assert imagenet.mean == tuple(image_utils.IMAGENET_DEFAULT_MEAN)
    assert imagenet.std == tuple(image_utils.IMAGENET_DEFAULT_STD)
    entry = catalog.get_entry("xrv_densenet121")
    grey = torch.arange(256.0)
    own = (grey / 255 - entry.mean[0]) / entry.std[0]
    assert torch.allclose(own, torch.tensor(xrv.utils.normalize(grey.numpy(), 255)).float())
