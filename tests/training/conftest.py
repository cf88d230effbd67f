"""Backbones to learn the small problem with."""

from __future__ import annotations

import pytest
from problem import make_job, short_cnn, short_vit


@pytest.fixture(params=[short_vit, short_cnn], ids=["transformer", "cnn"], scope="session")
def backbone(request):
    return request.param()


@pytest.fixture
def job(backbone):
    return make_job(backbone.entry.input_size)
