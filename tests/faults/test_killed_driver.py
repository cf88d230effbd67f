"""``kill -9`` of the driver at ten random moments: nothing finished is lost or done again."""

from __future__ import annotations

import pytest
from tiny_benchmark import RUNS

from prognobench.randomness import generator
from watched import broken_files, finished_runs, leftovers

KILLS = (
    *("decoding", "decoding", "splits", "training", "writing", "writing", "training", "writing"),
    *("evaluation", "report"),
)
"""Phases in which the driver is killed, a random while after they begin."""

LONGEST = {"decoding": 0.8, "splits": 0.2, "training": 0.1, "evaluation": 1.0, "report": 1.0}
"""Seconds of that while, at most; a result is written in some hundredths of a second."""


def test_ten_kills_cost_nothing_that_was_finished(tiny, tmp_path, undecoded):
    output, random = tmp_path / "out", generator("ten kills")
    known, met = {}, []
    for target in KILLS:
        driver = tiny.drive(output, None)
        assert driver.wait_for(target), (tmp_path / "log").read_text()
        driver.linger(random.uniform() * LONGEST.get(target, 0.03))
        met.append(driver.kill())
        found = finished_runs(output, tmp_path / "copy")
        assert not set(driver.finished) - found.keys()
        assert not set(driver.finished) & known.keys()
        assert {run: found.get(run) for run in known} == known
        assert not broken_files(output)
        known = found
    assert len(set(met)) >= 4, met
    assert len(known) == RUNS
    driver = tiny.drive(output, None)
    assert driver.end() == 0
    assert not driver.finished
    assert finished_runs(output, tmp_path / "copy") == known
    assert not leftovers(output)
    tiny.check(output)


def test_a_lost_run_would_be_seen(tiny, tmp_path):
    import shutil
    import sqlite3

    shutil.copytree(tiny.undisturbed, tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / "results.db") as connection:
        connection.execute("DELETE FROM runs WHERE position = 2")
    with pytest.raises(AssertionError):
        tiny.check(tmp_path / "out")
    left = finished_runs(tmp_path / "out", tmp_path / "left")
    one = tmp_path / "out" / "predictions" / f"{min(left)}.parquet"
    one.write_bytes(one.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="are not there"):
        finished_runs(tmp_path / "out", tmp_path / "copy")
    assert [path.split(":")[0] for path in broken_files(tmp_path / "out")] == [
        f"predictions/{one.name}"
    ]
