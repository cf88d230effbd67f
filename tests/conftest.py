"""What all tests share: where the real data are, and a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Tests run side by side (pytest-xdist): several threads each would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from postgres_server import database, server  # noqa: F401  fixtures
from prognobench.files import CACHE_VARIABLE

# How long an example takes says how busy the machine is, and not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

DATA_VARIABLE = "PROGNOBENCH_TEST_DATA"
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real chest X-rays, which is never part of the repository."""
    folder = Path(os.environ.get(DATA_VARIABLE, REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set {DATA_VARIABLE}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that starts empty, so that no test lives on what an earlier session left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
