"""The device's memory runs out: fewer runs and fewer images go on together, results are equal."""

from __future__ import annotations

import shutil

import pytest
import torch
from tiny_benchmark import RUNS

from prognobench.backbones.backbone import Backbone
from prognobench.training import engine
from prognobench.training.pace import Steady
from prognobench.training.stack import Stack
from watched import finished_runs

ROOM_FOR_RUNS, ROOM_FOR_IMAGES = 1, 8
"""What the simulated device holds; a batch of training has 8 images."""


@pytest.fixture
def small_device(monkeypatch):
    """A device that has no room for more; gives the sizes that were tried."""
    tried = {"runs": [], "images": []}
    logits, features = Stack.train_logits, Backbone.features

    def room(kind, count, most):
        tried[kind].append(count)
        if count > most:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")

    def stacked(self, inputs, masks):
        room("runs", len(self.models), ROOM_FOR_RUNS)
        return logits(self, inputs, masks)

    def alone(self, images):
        room("images", len(images), ROOM_FOR_IMAGES)
        return features(self, images)

    monkeypatch.setattr(Stack, "train_logits", stacked)
    monkeypatch.setattr(Backbone, "features", alone)
    # As many at once as there are, as on a device that has gained by it before.
    monkeypatch.setattr(engine, "Pace", lambda *_, **__: Steady(4, fused_attention=False))
    return tried


def test_a_benchmark_on_a_device_that_is_too_small_ends_the_same(
    tiny, tmp_path, cache, small_device
):
    shutil.rmtree(cache / "features")  # they are computed anew
    tiny.run(tmp_path / "out")
    assert max(small_device["runs"]) == 3
    assert max(small_device["images"]) > ROOM_FOR_IMAGES
    assert ROOM_FOR_IMAGES in small_device["images"]
    kept = finished_runs(tmp_path / "out", tmp_path / "copy")
    assert [one.attempts for one in kept.values()] == [1] * RUNS
    tiny.check(tmp_path / "out")
