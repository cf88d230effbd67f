"""Two ``run`` commands on the same output at once: the second says so and touches nothing."""

from __future__ import annotations

import signal

from tiny_benchmark import RUNS

from watched import finished_runs


def test_the_second_says_so_and_the_first_ends_well(tiny, tmp_path):
    output = tmp_path / "out"
    first = tiny.drive(output)
    assert first.wait_for("training")
    # However fast the first is, it is still at work when the second comes.
    first.send(signal.SIGSTOP, group=True)
    second = tiny.drive(output)
    try:
        assert second.end() == 2
    finally:
        first.send(signal.SIGCONT, group=True)
    said = (tmp_path / "log").read_text()
    assert f"error: another run is working on {output}: wait for it" in said
    assert {mark.what for mark in second.marks} == {"starting"}
    assert first.end() == 0
    assert len(first.finished) == len(set(first.finished)) == RUNS
    assert len(finished_runs(output, tmp_path / "copy")) == RUNS
    tiny.check(output)


def test_both_at_the_same_moment_share_nothing(tiny, tmp_path):
    output = tmp_path / "out"
    both = [tiny.drive(output), tiny.drive(output)]
    codes = [driver.end() for driver in both]
    done = [run for driver in both for run in driver.finished]
    assert sorted(codes) in ([0, 0], [0, 2])
    assert len(done) == len(set(done)) == RUNS
    tiny.check(output)


def test_where_one_was_killed_the_next_need_not_wait(tiny, tmp_path):
    output = tmp_path / "out"
    first = tiny.drive(output)
    assert first.wait_for("training")
    first.kill()
    assert tiny.drive(output).end() == 0
    tiny.check(output)
