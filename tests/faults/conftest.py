"""Finds what benchmarks/ has for killing, and runs the tiny benchmark once undisturbed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))

from tiny_benchmark import Tiny

from prognobench.files import CACHE_VARIABLE


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, own_cache):
    """It has a cache to itself: what a test damages there is its own, whatever ran before."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder / "cache"))
        return Tiny(folder)


@pytest.fixture(autouse=True)
def shared_cache(tiny, monkeypatch):
    """What the undisturbed run left in its cache is there for all that do no harm to it."""
    folder = tiny.file.parent / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def cache(shared_cache, tmp_path, monkeypatch):
    """A copy of that cache, in its place."""
    folder = tmp_path / "cache"
    shutil.copytree(shared_cache, folder)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def undecoded(cache):
    """The copy without decoded images and features; which images are alike is still known."""
    shutil.rmtree(cache / "images")
    shutil.rmtree(cache / "features")
    return cache
