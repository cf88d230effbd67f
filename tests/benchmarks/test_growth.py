"""benchmarks/growth.py at sizes that take seconds."""

from __future__ import annotations

import json

import pytest
import torch


def test_all_three_axes_are_measured_and_drawn(tmp_path):
    import growth

    found = growth.measure(
        torch.device("cpu"),
        tmp_path,
        runs=(1, 2),
        images=(8, 16),
        sizes={"ViT-Ti": "vit_tiny_patch16_224"},
        steps=2,
    )
    axes = json.loads(json.dumps(found))["axes"]
    assert set(axes) == {"runs", "images", "backbone"}
    sizes = {
        name: [point["size"] for point in curve["points"]]
        for curves in axes.values()
        for name, curve in curves.items()
    }
    assert sizes.pop("LoRA, batches of 8") == [pytest.approx(2 * 1.08e9, rel=0.2)]
    assert set(sizes) == {"BitFit, batches of 8", "linear probes", "features", "an epoch of BitFit"}
    assert sizes["linear probes"] == [1, 2] and sizes["features"] == [8, 16]
    assert all(p["seconds"] > 0 for c in axes["images"].values() for p in c["points"])
    growth.plot(found, tmp_path / "growth.svg")
    assert "exponent" in (tmp_path / "growth.svg").read_text()


def test_the_exponent_is_that_of_a_power():
    import growth

    points = [{"size": size, "seconds": 3 * size**0.7} for size in (1, 4, 64)]
    assert growth.exponent(points) == pytest.approx(0.7)
    (curve,) = growth.with_exponents({"runs": {"all": points}})["runs"].values()
    assert curve["unit_cost_ratio"] == pytest.approx(64**-0.3)
