"""Every entry at its own size: features alone and in a batch, in bfloat16, and what it costs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from prognobench.backbones import catalog
from prognobench.backbones.backbone import Backbone, create_network
from prognobench.backbones.catalog.costs import cost_of
from prognobench.backbones.counting import count_cost

ROOT = Path(__file__).parents[2]
NAMES = catalog.backbone_names()
LIGHT = 12e9
"""Operations of an image beyond which an entry is tried in the slow tests only."""


def by_cost():
    for name in NAMES:
        heavy = cost_of(name).flops > LIGHT or cost_of(name).parameters > 30e6
        yield pytest.param(name, marks=pytest.mark.slow if heavy else ())


def at_random(name):
    """An entry's full network, its small initial values made large enough to matter."""
    torch.manual_seed(0)
    entry = catalog.get_entry(name)
    network = create_network(entry)
    with torch.no_grad():
        for own, tensor in network.named_parameters():
            if own.endswith(("gamma", "gamma_1", "gamma_2")):
                tensor.uniform_(0.5, 1.0)
    return Backbone(entry, network).requires_grad_(False).eval()


@pytest.mark.parametrize("name", list(by_cost()))
def test_features_do_not_depend_on_the_batch_nor_much_on_the_precision(name):
    backbone = at_random(name)
    size = backbone.entry.image_size
    random = torch.Generator().manual_seed(1)
    batch = torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8, generator=random)
    batch[1] //= 3
    with torch.inference_mode():
        together = backbone.features(batch)
        alone = torch.cat([backbone.features(image[None]) for image in batch])
        with torch.autocast("cpu", torch.bfloat16):
            # One is enough: processors without bfloat16 imitate it at a hundredth of the speed.
            half = backbone.features(batch[1:])
    assert together.shape == (2, backbone.entry.feature_dim)
    assert half.dtype == torch.float32
    assert (together - alone).abs().max() <= 1e-4 * together.abs().max()
    assert not torch.equal(half, together[1:])
    assert functional.cosine_similarity(half, together[1:]).item() >= 0.99
    # The two images are not the same to it.
    assert (together[0] - together[1]).abs().max() > 1e-3 * together.abs().max()


def test_costs_and_the_table_of_the_documentation_are_those_of_the_catalog():
    tool = runpy.run_path(str(ROOT / "tools" / "describe_backbones.py"))
    page = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert tool["page"](page) == page
    for name in NAMES:
        assert count_cost(catalog.get_entry(name)) == cost_of(name), name
    # He et al. 2016, table 1: 1.8 and 3.8 thousand million multiplications with their additions.
    assert cost_of("resnet18").flops / 2 == pytest.approx(1.8e9, rel=0.05)
    assert cost_of("resnet50").flops / 2 == pytest.approx(4.1e9, rel=0.05)
    assert cost_of("resnet50").parameters == 23_508_032
