"""EfficientNet-Lite0: the packaged weights, timm's architecture, the right preprocessing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data

from prognobench.backbones import catalog
from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.fetch import locate
from prognobench.backbones.weights import read_weights

ENTRY = catalog.get_entry("efficientnet_lite0")

# ImageNet classes: 281 tabby, 282 tiger cat, 285 Egyptian cat; 967 espresso; 872 tripod.
PHOTOGRAPHS = {"chelsea": {281, 282, 285}, "coffee": {967}, "camera": {872}}


def photograph(name: str) -> torch.Tensor:
    """Return a photograph as grey uint8 [1, 1, 224, 224]: the middle square, resized."""
    image = Image.fromarray(getattr(data, name)()).convert("L")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
    return torch.from_numpy(np.asarray(image).copy())[None, None]


def classifier() -> torch.nn.Linear:
    network = timm.create_model(ENTRY.architecture, num_classes=1000)
    network.load_state_dict(ENTRY.weights.convert(read_weights(locate(ENTRY))))
    return network.classifier


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_get_their_imagenet_class(name):
    backbone = load_backbone(ENTRY)
    with torch.inference_mode():
        scores = classifier()(backbone.features(photograph(name)))
    assert int(scores.argmax()) in PHOTOGRAPHS[name]
    assert float(scores.softmax(1).max()) > 0.5


def test_features_equal_those_of_the_library_the_weights_were_made_for():
    oracle_module = pytest.importorskip("efficientnet_lite_pytorch")
    oracle = oracle_module.EfficientNet.from_name("efficientnet-lite0").eval()
    state = read_weights(locate(ENTRY))
    oracle.load_state_dict(state)
    images = torch.cat([photograph(name) for name in PHOTOGRAPHS])
    pixels = (images.float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        expected = oracle.extract_features(pixels.repeat(1, 3, 1, 1)).mean(dim=(2, 3))
        features = load_backbone(ENTRY).features(images)
    assert (features - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "efficientnet_lite0"},  # symmetric padding instead of TensorFlow's
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},  # another normalisation
    ],
)
def test_the_comparison_fails_when_padding_or_normalisation_is_wrong(change):
    images = torch.cat([photograph(name) for name in PHOTOGRAPHS])
    with torch.inference_mode():
        right = load_backbone(ENTRY).features(images)
        wrong = load_backbone(dataclasses.replace(ENTRY, **change)).features(images)
    assert (right - wrong).abs().max() > 0.1
