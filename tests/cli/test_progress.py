"""Progress where there is a terminal and where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from prognobench.cli import progress as module
from prognobench.cli.progress import progress


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lines(clock, steps, terminal=False) -> list[str]:
    """Return what is shown of steps (time, done, total, left)."""
    stream = io.StringIO()
    with progress("training", Console(file=stream, force_terminal=terminal, width=200)) as step:
        for clock.now, done, total, left in steps:
            step(done, total, "demo_vit lora", left)
    return stream.getvalue().splitlines()


def test_without_a_terminal_there_are_plain_lines_now_and_then(clock):
    shown = lines(clock, [(float(second), second, 7200, None) for second in range(1, 7201)])
    assert not any("\x1b" in line or "\r" in line for line in shown)
    assert shown[0] == "training: 10 of 7200 after 10 s, about 1 h 59 min left"
    assert shown[-1] == "training: 7200 of 7200 after 2 h 00 min"
    # Often at first, seldom later: 6 in the first minute, 9 to the tenth, then one in 5 minutes.
    assert len(shown) < 45


def test_the_time_left_that_is_known_is_taken(clock):
    assert lines(clock, [(20.0, 1, 10, 3700.0)]) == [
        "training: 1 of 10 after 20 s, about 1 h 01 min left"
    ]


def test_a_terminal_shows_a_bar_with_the_time_left(clock):
    shown = "\n".join(lines(clock, [(30.0, 5, 10, None)], terminal=True))
    assert "5/10" in shown
    assert "30 s left" in shown
    assert "demo_vit lora" in shown


def test_what_is_over_at_once_needs_no_line(clock):
    assert lines(clock, [(1.0, 1, 2, None), (2.0, 2, 2, None)]) == []
