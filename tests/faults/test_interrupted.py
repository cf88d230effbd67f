"""Ctrl-C in any phase: the command ends within five seconds, and everything finished is kept."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time

import pytest
from tiny_benchmark import RUNS

from prognobench.cli.run import interruptible
from prognobench.execution.processes import PROCESSES_VARIABLE
from prognobench.report import build
from watched import broken_files, finished_runs, leftovers

WITHIN = 5.0
"""Seconds."""


PHASES = (
    *(("decoding", 1), ("splits", 2), ("training", 1), ("writing", 2)),
    *(("evaluation", 1), ("saliency", 1), ("report", 1)),
)
"""Phases that are interrupted, each when it begins for the n-th time."""

LINGER = {("splits", 2): 0.5, ("saliency", 1): 0.2, ("report", 1): 0.1}
"""Seconds until they are."""


def test_ctrl_c_in_every_phase(tiny, tmp_path, undecoded):
    output = tmp_path / "out"
    shutil.rmtree(undecoded / "near_duplicates")  # the audit is at work when it is interrupted
    environment = {PROCESSES_VARIABLE: "2"}
    known = {}
    for phase, times in PHASES:
        driver = tiny.drive(output, None, "report.saliency=true", **environment)
        assert driver.wait_for(phase, times), (tmp_path / "log").read_text()
        if phase == "decoding":  # with processes that decode at work
            while not driver.children()["decoders"] and driver.linger(0.005):
                continue
        driver.linger(LINGER.get((phase, times), 0.01))
        began = time.perf_counter()
        driver.send(signal.SIGINT, group=True)
        assert driver.end(30) == 130, (phase, (tmp_path / "log").read_text())
        assert time.perf_counter() - began < WITHIN, phase
        found = finished_runs(output, tmp_path / "copy")
        assert not set(driver.finished) - found.keys()
        assert {run: found.get(run) for run in known} == known
        assert not broken_files(output)
        known = found
    said = (tmp_path / "log").read_text()
    assert said.count("interrupted: what is finished is kept, run again to go on") == len(PHASES)
    assert "Traceback" not in said
    assert len(known) == RUNS
    tiny.run(output)
    assert finished_runs(output, tmp_path / "copy") == known
    assert not leftovers(output)
    tiny.check(output)


def loses_one(evaluate):
    """A library in whose midst Ctrl-C is pressed, and which goes on after any error."""

    def losing(*given, **named):
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        return evaluate(*given, **named)

    return losing


def test_one_that_was_lost_ends_it_before_the_next_step(tiny, tmp_path):
    def before():
        build.evaluate = loses_one(build.evaluate)

    driver = tiny.drive(tmp_path / "out", before)
    assert driver.end() == 130
    assert not any(mark.what == "report" for mark in driver.marks)
    tiny.run(tmp_path / "out")
    tiny.check(tmp_path / "out")


def test_an_interruption_is_known_behind_the_error_that_it_caused():
    """As in a library whose objects were half made when it came."""
    with pytest.raises(SystemExit) as ended, interruptible():
        try:
            raise KeyboardInterrupt
        finally:
            try:
                {}["half made"]
            except KeyError as error:
                raise RuntimeError("it has no part of that name") from error
    assert ended.value.code == 130
    with pytest.raises(RuntimeError), interruptible():
        raise RuntimeError("an error of its own")
