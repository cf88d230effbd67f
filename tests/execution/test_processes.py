"""Several processes that train: the same results, nothing lost when one is killed, none left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_benchmark import all_predictions, run

from prognobench.errors import UserError
from prognobench.execution import drive as loop
from prognobench.execution.processes import (
    PROCESSES_VARIABLE,
    ProcessPool,
    processes_for,
    spread,
)
from prognobench.execution.scheduler import Scheduler
from prognobench.execution.workload import Batch
from prognobench.results.ledger import Claimed

CPU = torch.device("cpu")


def groups_of(*sizes):
    names = iter(f"run {number}" for number in range(sum(sizes)))
    return [tuple(SimpleNamespace(id=next(names)) for _ in range(size)) for size in sizes]


class Ledger:
    """Keeps what it is told."""

    def __init__(self):
        self.done, self.failed, self.started = {}, {}, []

    def claim(self, runs, count):
        return Claimed(tuple(runs[:count]))

    def start(self, *runs):
        self.started += runs

    def finish(self, results, environment):
        self.done |= results
        return set(results)

    def fail(self, run, reason, environment):
        self.failed[run] = reason
        return True


def worked_off(work, groups, count):
    groups, ledger = spread(groups, count), Ledger()
    batches = [Batch(tuple(run.id for run in group), "home", "kind") for group in groups]
    runs = {run.id: run for group in groups for run in group}
    pool = ProcessPool(work, groups, count)
    try:
        loop.Drive(Scheduler(batches), runs, pool, ledger, lambda _: None).work()
    finally:
        processes = [process for process, _ in pool._running.values()]
        pool.close()
    assert not any(process.is_alive() for process in processes)
    return ledger


def simple(group, started):
    for own in group:
        started(own.id)
        time.sleep(0.05)
        yield own.id, (own.id, os.getpid())


def test_all_runs_are_done_by_all_processes():
    ledger = worked_off(simple, groups_of(5, 1, 2), 2)
    assert sorted(ledger.done) == sorted(ledger.started) == [f"run {n}" for n in range(8)]
    assert len({pid for _, pid in ledger.done.values()}) == 2
    assert os.getpid() not in {pid for _, pid in ledger.done.values()}


def test_one_run_that_kills_its_process_is_the_only_one_to_fail():
    def deadly(group, started):
        for own in group:
            started(own.id)
            if own.id == "run 1":
                os.kill(os.getpid(), signal.SIGKILL)
            yield own.id, own.id

    ledger = worked_off(deadly, groups_of(6), 2)
    assert list(ledger.failed) == ["run 1"]
    assert "SIGKILL" in ledger.failed["run 1"]
    assert len(ledger.done) == 5


def test_what_was_killed_once_is_done_again_in_fewer_processes(tmp_path):
    mark = tmp_path / "killed"

    def once(group, started):
        for own in group:
            if own.id == "run 0" and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield own.id, own.id

    ledger = worked_off(once, groups_of(4), 2)
    assert not ledger.failed
    assert len(ledger.done) == 4


class AllAtOnce:
    """Five runs that end at once, one of them badly, and no process at all."""

    def begin(self, worker, runs):
        self.given = list(runs)

    def events(self):
        yield loop.Joined("here", {"python": "3"})
        for left, name in enumerate(reversed(self.given)):
            outcome = RuntimeError("bad") if name == "run 2" else name
            yield loop.Ended("here", name, outcome, 0.1, more=left < 4)
        yield loop.Free("here")


def test_results_that_come_at_once_are_kept_at_once(monkeypatch):
    batches = [Batch(tuple(f"run {number}" for number in range(5)), "home", "kind")]
    runs = {run: SimpleNamespace(id=run) for run in batches[0].runs}

    def kept(most):
        ledger, goes, told = Ledger(), [], []
        finish = ledger.finish
        ledger.finish = lambda results, about: goes.append(len(results)) or finish(results, about)
        monkeypatch.setattr(loop, "KEPT_TOGETHER", most)
        assert loop.Drive(Scheduler(batches), runs, AllAtOnce(), ledger, told.append).work() == 1
        assert len(ledger.done) == 4
        assert ledger.failed == {"run 2": "RuntimeError: bad"}
        assert [state.finished for state in told] == [1, 2, 3, 4, 5]
        return goes

    assert kept(100) == [4]
    assert kept(2) == [2, 1, 1]


def test_errors_keep_their_kind_and_words():
    class OddError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def failing(group, started):
        yield from ((own.id, OddError("this", "that")) for own in group)

    ledger = worked_off(failing, groups_of(2), 2)
    assert set(ledger.failed.values()) == {"OddError: this and that"}

    def mistaken(group, started):
        raise UserError("a sentence")
        yield

    with pytest.raises(UserError, match="a sentence"):
        worked_off(mistaken, groups_of(2), 2)


def test_a_group_is_spread_over_all_processes():
    parts = spread(groups_of(5, 1), 2)
    assert [[run.id for run in part] for part in parts] == [
        ["run 0", "run 1", "run 2"],
        ["run 3", "run 4"],
        ["run 5"],
    ]


def test_as_many_processes_as_pay(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert processes_for(CPU, groups_of(9)) == 4
    assert processes_for(CPU, groups_of(2)) == 2
    assert processes_for(CPU, groups_of(1)) == 1
    assert processes_for(torch.device("cuda"), groups_of(9)) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert processes_for(CPU, groups_of(3)) == 1
    monkeypatch.setenv(PROCESSES_VARIABLE, "3")
    assert processes_for(CPU, groups_of(9)) == 3
    monkeypatch.setenv(PROCESSES_VARIABLE, "many")
    with pytest.raises(UserError, match="PROGNOBENCH_PROCESSES"):
        processes_for(CPU, groups_of(9))


@pytest.mark.slow  # it imports torch once more
def test_processes_end_when_their_parent_is_killed():
    code = textwrap.dedent("""
        import os, time
        from types import SimpleNamespace
        from prognobench.execution.processes import ProcessPool
        def work(group, started):
            print(os.getpid(), flush=True)
            time.sleep(60)
            yield "a", None
        pool = ProcessPool(work, [(SimpleNamespace(id="a"),)], 1)
        for event in pool.events():
            pool.begin(event.worker, ["a"])
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the process went on without its parent")


def test_a_benchmark_is_the_same_in_one_process_and_in_several(tmp_path, monkeypatch):
    small = {"strategies": ["linear", "bitfit"], "regimes": [{"name": "full_data", "folds": 3}]}
    monkeypatch.setenv(PROCESSES_VARIABLE, "1")
    run(tmp_path / "one", **small)
    monkeypatch.setenv(PROCESSES_VARIABLE, "2")
    run(tmp_path / "two", **small)
    one, two = all_predictions(tmp_path / "one"), all_predictions(tmp_path / "two")
    assert one.keys() == two.keys()
    assert len(one) == 6
    for name, own in one.items():
        np.testing.assert_allclose(own["probability"], two[name]["probability"], atol=1e-3)
