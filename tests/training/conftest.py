"""Backbones to learn the small problem with."""

from __future__ import annotations

import pytest
from problem import make_job, short_vit

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry


@pytest.fixture(params=["demo_vit", "efficientnet_lite0"], scope="session")
def backbone(request):
    if request.param == "demo_vit":
        return short_vit()
    return load_backbone(get_entry(request.param, 64))


@pytest.fixture
def job(backbone):
    return make_job(backbone.entry.input_size)
