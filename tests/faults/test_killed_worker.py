"""A process that trains, or one that decodes, is killed: the driver goes on without it."""

from __future__ import annotations

import os
import signal

from tiny_benchmark import RUNS

from prognobench.execution.processes import PROCESSES_VARIABLE
from watched import finished_runs


def test_the_driver_outlives_its_processes(tiny, tmp_path, undecoded):
    output = tmp_path / "out"
    driver = tiny.drive(output, **{PROCESSES_VARIABLE: "2"})
    killed = []
    for kind, phase in (("decoders", "decoding"), ("workers", "training")):
        # Until it trains, what looks like a worker may be a decoder on its way to be one.
        assert driver.wait_for(phase)
        while driver.linger(0.005) and not (pids := driver.children()[kind]):
            continue
        os.kill(pids[0], signal.SIGKILL)
        killed.append(kind)
    assert driver.end() == 0, (tmp_path / "log").read_text()
    assert killed == ["decoders", "workers"]
    assert len(finished_runs(output, tmp_path / "copy")) == RUNS
    assert sorted(driver.finished) == sorted(set(driver.finished))
    tiny.check(output)
