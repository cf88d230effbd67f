"""Results that become read-only, or whose folder vanishes while a benchmark is at work."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess

import pytest
from tiny_benchmark import RUNS

from prognobench.errors import UserError
from prognobench.results import store
from tmpfs import mounted
from watched import finished_runs


def after(count, act):
    """Return a ``finish`` that does something once so many results are kept."""
    finish, kept = store.ResultsStore.finish, []

    def finishing(self, results, environment):
        for run, result in results.items():
            finish(self, {run: result}, environment)
            kept.append(run)
            if len(kept) == count:
                act()
        return set(results)

    return finishing


def gone_on_with(tiny, output, known, scratch):
    """Run again, and compare with what was there and with what nothing disturbed."""
    tiny.run(output)
    found = finished_runs(output, scratch)
    assert len(found) == RUNS
    assert {run: found[run] for run in known} == known
    tiny.check(output)


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_folder_that_vanishes_is_not_begun_anew(tiny, tmp_path, monkeypatch, left):
    output, aside = tmp_path / "out", tmp_path / "aside"

    def vanish():
        output.rename(aside)
        if left == "an empty folder":  # as where a file system is no longer mounted
            output.mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(store.ResultsStore, "finish", after(2, vanish))
        with pytest.raises(UserError, match=r"cannot be used any longer.*what is finished is kept"):
            tiny.run(output)
    assert not output.exists() or not list(output.iterdir())
    shutil.rmtree(output, ignore_errors=True)
    aside.rename(output)
    known = finished_runs(output, tmp_path / "copy")
    assert len(known) == 2
    gone_on_with(tiny, output, known, tmp_path / "copy")


def test_a_database_that_becomes_read_only(tiny, tmp_path, monkeypatch):
    """Root may write to read-only files, so the connection itself is made so."""
    output = tmp_path / "out"

    def sealed(self, results, environment):
        with self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        return finish(self, results, environment)

    finish = after(2, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(store.ResultsStore, "finish", sealed)
        with pytest.raises(UserError, match="attempt to write a readonly database"):
            tiny.run(output)
    known = finished_runs(output, tmp_path / "copy")
    gone_on_with(tiny, output, known, tmp_path / "copy")


@pytest.fixture
def disk(tmp_path):
    """A folder on a file system of its own."""
    with mounted(tmp_path / "disk") as place:
        yield place


def test_results_on_a_read_only_disk_are_refused_in_a_sentence(tiny, tmp_path, disk):
    shutil.copytree(tiny.undisturbed, disk / "out")
    subprocess.run(["/bin/mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(UserError, match=r"cannot be used \(Read-only file system\)"):
        tiny.run(disk / "out")
    with pytest.raises(UserError, match="Read-only file system"):
        tiny.run(disk / "new")
    subprocess.run(["/bin/mount", "-o", "remount,rw", disk], check=True)
    tiny.check(disk / "out")


def test_a_damaged_database_is_refused_and_left_as_it_is(tiny, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(tiny.undisturbed, output)
    good = (output / "results.db").read_bytes()
    damaged = good[:4096] + bytes(len(good) - 4096)
    (output / "results.db").write_bytes(damaged)
    with pytest.raises(UserError, match=r"results.db is damaged|malformed|not a database"):
        tiny.run(output)
    assert (output / "results.db").read_bytes() == damaged
    (output / "results.db").write_bytes(good)
    assert sqlite3.connect(output / "results.db").execute("SELECT count(*) FROM runs").fetchone()
    tiny.run(output)
    tiny.check(output)
