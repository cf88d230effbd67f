"""What ``run --limit`` takes first."""

from __future__ import annotations

from types import SimpleNamespace

from prognobench.cli.run import _in_turn


def test_tasks_take_turns_and_the_order_within_each_stays():
    planned = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0)]
    runs = [SimpleNamespace(task=SimpleNamespace(name=n), number=k) for n, k in planned]
    found = [(run.task.name, run.number) for run in _in_turn(runs)]
    assert found == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("a", 2)]
