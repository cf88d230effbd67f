"""A cache folder that cannot be written to: a temporary one takes its place, results are equal."""

from __future__ import annotations

import pytest

from prognobench import files
from prognobench.files import CACHE_VARIABLE


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """A file where the cache should be: nobody can write there, not even root."""
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    files._warn_once.cache_clear()


def test_a_benchmark_without_a_cache_is_the_same(tiny, tmp_path, no_cache, caplog):
    tiny.run(tmp_path / "out")
    tiny.check(tmp_path / "out")
    assert f"{tmp_path / 'cache'} cannot be written to" in caplog.text
    assert (tmp_path / "cache").read_text() == "a file"
