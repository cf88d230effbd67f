"""The disk runs full while predictions are written: a sentence, and everything finished kept."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from tiny_benchmark import RUNS

from prognobench import files
from prognobench.errors import UserError
from prognobench.results import store
from tmpfs import mounted
from watched import broken_files, finished_runs, leftovers


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own that holds 1 MiB."""
    with mounted(tmp_path / "disk", "-o", "size=1m") as place:
        yield place


def test_a_disk_that_is_full_ends_in_a_sentence_and_is_gone_on_with(
    tiny, tmp_path, small_disk, monkeypatch
):
    output, ballast = small_disk / "out", small_disk / "ballast"
    finish = store.ResultsStore.finish

    def filling(self, results, environment):
        kept = finish(self, results, environment)
        if len(list((output / "predictions").glob("*.parquet"))) == 3:
            with ballast.open("wb") as stream, pytest.raises(OSError, match="No space"):
                while True:
                    stream.write(b"x" * 4096)
                    stream.flush()
        return kept

    with monkeypatch.context() as patch:
        patch.setattr(store.ResultsStore, "finish", filling)
        with pytest.raises(UserError, match=r"(full|No space left).*what is finished is kept"):
            tiny.run(output)
    known = finished_runs(output, tmp_path / "copy")
    assert len(known) == 3
    assert not broken_files(output)
    ballast.unlink()
    subprocess.run(["/bin/mount", "-o", "remount,size=64m", small_disk], check=True)
    tiny.run(output)
    found = finished_runs(output, tmp_path / "copy")
    assert len(found) == RUNS
    assert {run: found[run] for run in known} == known
    assert not leftovers(output)
    tiny.check(output)


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_wherever_the_disk_is_full(tiny, tmp_path, monkeypatch, place):
    """As above, by injection: the fourth file of predictions cannot be flushed, or not renamed."""
    output = tmp_path / "out"
    full, written = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), []
    atomic_path = store.atomic_path

    def counting(target):
        written.append(target)
        return atomic_path(target)

    owner = os if place == "fsync" else files.Path
    act = getattr(owner, place)

    def failing(*given):
        if len(written) == 4:
            raise full
        return act(*given)

    with monkeypatch.context() as patch:
        patch.setattr(store, "atomic_path", counting)
        patch.setattr(owner, place, failing)
        with pytest.raises(UserError, match="No space left on device"):
            tiny.run(output)
    known = finished_runs(output, tmp_path / "copy")
    assert len(known) == 3
    assert not broken_files(output)
    assert not leftovers(output)
    tiny.run(output)
    found = finished_runs(output, tmp_path / "copy")
    assert {run: found[run] for run in known} == known
    tiny.check(output)
