"""The sanity check tells maps of the model from maps of the image."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_maps import cnn, images

from prognobench.backbones import catalog
from prognobench.saliency.maps import GRAD_CAM, MapMethod
from prognobench.saliency.sanity import randomised, sanity_check


def edges(backbone, head, batch):
    """A map that any model has: it is of the image alone."""
    own = batch[:, 0].float()
    return (own[:, 1:, 1:] - own[:, :-1, :-1]).abs(), torch.zeros(len(batch))


def test_maps_of_the_image_alone_are_called_out():
    entry = catalog.get_entry("demo_vit")
    batch = images(96)
    maps, _ = edges(None, None, batch)
    found = sanity_check(maps, entry, batch, MapMethod("edges", "", edges), "run")
    assert found.correlation == pytest.approx(1)
    assert found.compared == 6
    assert "no reasons of the model" in found.words


def test_maps_of_a_model_pass():
    backbone, head, batch = cnn("resnet18")
    maps, _ = GRAD_CAM.draw(backbone, head, batch)
    found = sanity_check(maps, backbone.entry, batch, GRAD_CAM, "run")
    assert abs(found.correlation) < 0.5
    assert "no reasons" not in found.words
    again = sanity_check(maps, backbone.entry, batch, GRAD_CAM, "run")
    assert again == found


def test_maps_without_anything_in_them_are_not_compared():
    entry = dataclasses.replace(catalog.get_entry("resnet18"), input_size=64)
    found = sanity_check(torch.zeros(2, 2, 2), entry, images(64), GRAD_CAM, "run")
    assert found.correlation is None
    assert "nothing in them" in found.words


def test_random_weights_are_those_of_their_identity():
    entry = catalog.get_entry("demo_vit")
    before = torch.random.get_rng_state()
    first, head = randomised(entry, ("run", 0))
    again, _ = randomised(entry, ("run", 0))
    other, _ = randomised(entry, ("run", 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    batch = images(96)
    with torch.inference_mode():
        assert torch.equal(first.features(batch), again.features(batch))
        assert not torch.allclose(first.features(batch), other.features(batch))
    assert not any(own.requires_grad for own in [*first.parameters(), *head.parameters()])
