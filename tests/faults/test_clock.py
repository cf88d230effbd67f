"""A clock that jumps back and forth by days while a benchmark runs changes no result."""

from __future__ import annotations

import datetime
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from tiny_benchmark import RUNS

from prognobench.files import CACHE_VARIABLE
from prognobench.results import store
from watched import finished_runs, leftovers

DAYS = (0, -400, 3, -2, 4000, -1)
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture
def jumping(monkeypatch):
    """Have the time of day jump at every look; clocks that only go forward do as ever."""
    days, true_time, true_now = itertools.cycle(DAYS), time.time, datetime.datetime.now

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return true_now(tz) + datetime.timedelta(days=next(days))

    monkeypatch.setattr(time, "time", lambda: true_time() + 86400 * next(days))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    monkeypatch.setattr(store.datetime, "datetime", Jumping)


def seconds_are_sound(output):
    """Say whether durations are neither negative nor of days."""
    table = pd.read_csv(output / "leaderboard.csv")
    return table["train_seconds"].dropna().between(0, 3600).all()


def test_a_clock_that_jumps_at_every_look(tiny, tmp_path, cache, jumping):
    output = tmp_path / "out"
    tiny.run(output)
    known = finished_runs(output, tmp_path / "copy")
    assert len({one.finished[:10] for one in known.values()}) > 1
    # Gone on with "years earlier": what is done is not done again.
    tiny.run(output)
    assert finished_runs(output, tmp_path / "copy") == known
    assert len(known) == RUNS
    assert seconds_are_sound(output)
    assert not leftovers(output)
    tiny.check(output)


@pytest.mark.slow
@pytest.mark.skipif(not LIBRARY.is_file(), reason="needs Debian's package libfaketime")
def test_a_clock_of_the_system_that_jumps(tiny, tmp_path):
    """As above for all that the process and its libraries ask, in native code as well."""
    output, clock, ended = tmp_path / "out", tmp_path / "clock", threading.Event()
    clock.write_text("+0")

    def turn():
        for day in itertools.cycle(DAYS):
            if ended.wait(0.05):
                return
            beside = clock.with_name("next")
            beside.write_text(f"{day:+d}d")
            beside.replace(clock)

    turning = threading.Thread(target=turn)
    turning.start()
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        CACHE_VARIABLE: str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "prognobench", "run", str(tiny.file), "--device", "cpu"]
    try:
        ran = subprocess.run(
            [*command, "--output", str(output)],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        ended.set()
        turning.join()
    assert ran.returncode == 0, ran.stderr
    known = finished_runs(output, tmp_path / "copy")
    assert len({one.finished[:10] for one in known.values()}) > 1
    assert seconds_are_sound(output)
    tiny.check(output)
