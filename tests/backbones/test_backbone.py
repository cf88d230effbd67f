"""The sealed interface and the loading of weights, for every entry of the catalog."""

from __future__ import annotations

import dataclasses
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from prognobench.backbones import catalog
from prognobench.backbones.backbone import create_network, load_backbone
from prognobench.backbones.catalog import packaged
from prognobench.backbones.entry import ROLES, LocalFile, Weights
from prognobench.backbones.fetch import locate
from prognobench.backbones.weights import read_weights
from prognobench.errors import UserError
from prognobench.files import file_digest

NAMES = [entry.name for entry in packaged.ENTRIES]  # their weights are always there


@pytest.fixture(params=NAMES)
def entry(request):
    return catalog.get_entry(request.param)


def images(entry, count=3):
    random = torch.Generator().manual_seed(0)
    shape = (count, 1, entry.input_size, entry.input_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)


def test_features_are_as_the_catalog_says_alone_and_in_a_batch(entry):
    backbone = load_backbone(entry)
    assert not any(p.requires_grad for p in backbone.parameters())
    batch = images(entry)
    with torch.inference_mode():
        together = backbone.features(batch)
        alone = torch.cat([backbone.features(image[None]) for image in batch])
    assert together.shape == (3, entry.feature_dim)
    assert together.dtype == torch.float32
    assert torch.isfinite(together).all()
    assert (together - alone).abs().max() < 1e-4
    # Different images have different features: the weights do something.
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_images_of_another_size_are_resized_inside(entry):
    backbone = load_backbone(entry)
    flat = torch.full((1, 1, 300, 300), 90, dtype=torch.uint8)
    native = torch.full((1, 1, entry.input_size, entry.input_size), 90, dtype=torch.uint8)
    with torch.inference_mode():
        assert (backbone.features(flat) - backbone.features(native)).abs().max() < 1e-4


def test_other_types_and_shapes_are_refused(entry):
    backbone = load_backbone(entry)
    for wrong in (
        torch.zeros(1, 1, 96, 96),
        torch.zeros(1, 3, 96, 96, dtype=torch.uint8),
        torch.zeros(1, 1, 96, 90, dtype=torch.uint8),
    ):
        with pytest.raises(ValueError, match="expected"):
            backbone.features(wrong)


def test_every_role_names_modules_with_weights(entry):
    backbone = load_backbone(entry)
    modules = dict(backbone.network.named_modules())
    assert set(entry.roles) <= set(ROLES)
    for role in entry.roles:
        names = backbone.modules_of(role)
        assert names, role
        assert all(list(modules[name].parameters(recurse=False)) for name in names), role
    assert not backbone.modules_of("no such role")


def own(entry, path):
    """Return the entry with another file of weights, its digest as it is."""
    weights = Weights(LocalFile(path), "a test", file_digest(path), entry.weights.convert)
    return dataclasses.replace(entry, weights=weights)


def test_a_checkpoint_that_does_not_fit_is_refused_with_its_keys(entry, tmp_path):
    state = dict(create_network(entry).state_dict())
    first = next(iter(state))
    path = tmp_path / "weights.safetensors"
    for change, sentence in (
        ({first: None}, f"missing {first}"),
        ({"stranger": torch.zeros(1)}, "unexpected stranger"),
        ({first: torch.zeros(7)}, rf"{first} is \(7,\)"),
    ):
        changed = {k: v for k, v in {**state, **change}.items() if v is not None}
        save_file(changed, path)
        with pytest.raises(UserError, match=sentence):
            load_backbone(own(entry, path))
    save_file(state, path)
    load_backbone(own(entry, path))


def test_one_changed_byte_is_found_by_the_digest(entry, tmp_path):
    data = bytearray(locate(entry).read_bytes())
    data[-1] ^= 1
    path = tmp_path / locate(entry).name
    path.write_bytes(data)
    weights = dataclasses.replace(entry.weights, file=LocalFile(path))
    with pytest.raises(UserError, match="SHA-256"):
        load_backbone(dataclasses.replace(entry, weights=weights))


class _Malicious:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, data in {
        "a.pth": pickle.dumps(_Malicious()),
        "b.pth": b"",
        "c.safetensors": b"x",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=r"refused|cannot be read"):
            read_weights(tmp_path / name)
    torch.save({"w": _Malicious()}, tmp_path / "d.pth")
    with pytest.raises(UserError, match="refused"):
        read_weights(tmp_path / "d.pth")
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(UserError, match="is missing"):
        read_weights(tmp_path / "none.pth")


def test_an_unknown_backbone_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'efficientnet_lite0'"):
        catalog.get_entry("efficientnet_lite")


def test_a_convolutional_network_takes_other_input_sizes():
    entry = catalog.get_entry("efficientnet_lite0", 96)
    assert entry.input_size == 96
    assert entry.identity() != catalog.get_entry("efficientnet_lite0").identity()


def test_a_training_step_is_a_function_of_its_images():
    entry = catalog.get_entry("medclip_vit")  # a Swin, which timm gives stochastic depth
    network = create_network(entry).train()
    batch = torch.rand(
        2, 3, entry.image_size, entry.image_size, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        assert torch.equal(network(batch), network(batch))
