"""What steps, what is judged, cached features and exported models are computed in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from problem import RECIPE, changed, make_job, short_vit
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.files import file_digest, identity, write_sealed
from prognobench.prediction.model import Model
from prognobench.strategies.strategy import get_strategy
from prognobench.training.engine import train_by_gradient
from prognobench.training.features import cached_features, extract_features


@pytest.fixture
def small():
    return short_vit()


def trained(backbone, job):
    strategy = get_strategy("bitfit")
    options = strategy.resolve({}, backbone.entry.kind)
    train_by_gradient(job, backbone, strategy, options, changed(RECIPE, epochs=1))


def exported(backbone, job):
    model = Model(
        SimpleNamespace(calibration=None),
        backbone,
        nn.Linear(backbone.entry.feature_dim, 1),
        backbone.mean.device,
    )
    model.logits(job.images[:4, 0].numpy())


@pytest.mark.parametrize(
    "compute", [trained, exported, lambda backbone, job: extract_features(backbone, job.images)]
)
def test_convolutions_are_not_computed_in_tf32(compute, small, monkeypatch):
    original, seen = Backbone.features, []

    def features(self, images):
        if len(images) > 2:  # passes of one and two only show the model's structure
            seen.append(torch.backends.cudnn.allow_tf32)
        return original(self, images)

    monkeypatch.setattr(Backbone, "features", features)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    compute(small, make_job(small.entry.input_size))
    assert seen and not any(seen)
    assert torch.backends.cudnn.allow_tf32  # as it was


def test_features_that_may_be_of_tf32_are_not_read_from_the_cache(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    images = make_job(small.entry.input_size).images
    name = identity({"backbone": small.entry.identity(), "images": "key"}, 32)  # as it was
    (tmp_path / "features").mkdir()
    path = tmp_path / "features" / f"{name}.npy"
    np.save(path, np.zeros((len(images), small.entry.feature_dim), dtype=np.float32))
    write_sealed(path.with_suffix(".json"), {"sha256": file_digest(path)})
    assert np.abs(cached_features(small, images, "key")).max() > 0
