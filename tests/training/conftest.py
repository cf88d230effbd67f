"""Backbones to learn the small problem with."""

from __future__ import annotations

import pytest
from problem import make_job

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry


@pytest.fixture(params=["demo_vit", "efficientnet_lite0"], scope="session")
def backbone(request):
    size = {"demo_vit": None, "efficientnet_lite0": 64}[request.param]
    return load_backbone(get_entry(request.param, size))


@pytest.fixture
def job(backbone):
    return make_job(backbone.entry.input_size)
