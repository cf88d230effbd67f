"""How many runs a pass takes, by times that the test makes up."""

from __future__ import annotations

import json

import pytest
import torch

from prognobench.training.pace import COMPILING, LONG_STEP, Manner, Pace

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    return tmp_path / "pace"


def settle(pace, seconds, left=32, most_steps=200, steps_left=1000):
    """Let a pace choose among manners whose steps take ``seconds(manner)``; return those tried."""
    tried = []
    for _ in range(most_steps):
        if pace.manner not in tried:
            tried.append(pace.manner)
        pace.took(seconds(pace.manner), left, steps_left)
    return tried


def test_more_runs_are_tried_as_long_as_each_gains():
    times = {1: 0.05, 4: 0.1, 8: 0.16, 16: 0.31, 32: 9.0}
    pace = Pace({}, CPU)
    tried = settle(pace, lambda manner: times[manner.runs])
    assert [manner.runs for manner in tried] == [1, 4, 8, 16]
    assert pace.manner == Manner(8, fused_attention=False)


def test_one_run_stays_where_several_are_slower():
    pace = Pace({}, CPU)
    settle(pace, lambda manner: 0.05 * manner.runs * (1.2 if manner.runs > 1 else 1))
    assert pace.manner.runs == 1


@pytest.mark.parametrize("fused", [True, False])
def test_one_run_alone_takes_the_faster_attention(fused):
    def seconds(manner):
        return 0.05 * manner.runs * (0.8 if manner.fused_attention == fused else 1.2)

    pace = Pace({}, CPU)
    tried = settle(pace, lambda manner: seconds(manner) * (1.5 if manner.runs > 1 else 1), left=6)
    assert tried == [Manner(1, False), Manner(4, False), Manner(1, True)]
    assert pace.manner == Manner(1, fused_attention=fused)
    assert settle(Pace({}, CPU), seconds) == [Manner(1, fused_attention=fused)]  # for good


def test_on_a_cpu_a_long_step_is_taken_alone_with_the_faster_attention():
    pace = Pace({}, CPU)
    tried = settle(pace, lambda manner: LONG_STEP * (2 if manner.fused_attention else 3))
    assert tried == [Manner(1, False), Manner(1, True)]
    assert pace.manner == Manner(1, True)


def test_what_was_found_is_remembered_for_its_key_only():
    settle(Pace({"batch": 8}, CPU), lambda _: 0.1)
    assert Pace({"batch": 8}, CPU).manner.runs == 32
    assert Pace({"batch": 16}, CPU).manner.runs == 1


def test_too_few_runs_settle_nothing_for_later():
    settle(Pace({}, CPU), lambda _: 0.1, left=6)
    later = Pace({}, CPU)
    assert later.manner.runs == 6
    settle(later, lambda _: 0.1)
    assert later.manner.runs == 32


def test_what_failed_is_not_tried_again():
    pace = Pace({}, CPU)
    for _ in range(4):
        pace.took(0.1, 32, 1000)
    assert pace.manner.runs == 4
    assert pace.failed()
    assert pace.manner.runs == 1
    assert not pace.failed()
    assert Pace({}, CPU).manner.runs == 1


def test_a_damaged_memory_is_measured_again(cache):
    settle(Pace({}, CPU), lambda _: 0.1)
    (path,) = cache.glob("*.json")
    for text in ("{", "[]", json.dumps({"runs": "8", "fused_attention": 1, "whole": True})):
        path.write_text(text)
        assert Pace({}, CPU).manner == Manner(1, False)


def compiled(share, slow=0.1):
    """Steps that take this share of their time when they are compiled."""
    return lambda manner: slow * (share if manner.compiled else 1)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_compilation_is_tried_where_enough_is_left_and_kept_where_it_gains(share):
    enough = COMPILING / (0.1 / 32) + 1
    pace = Pace({}, CPU, compiles=True)
    tried = settle(pace, compiled(share), steps_left=enough)
    assert tried[-1] == Manner(32, False, compiled=True) or share == 1.0
    assert Manner(32, False, compiled=True) in tried
    assert pace.manner == Manner(32, False, compiled=share < 1)
    later = Pace({}, CPU, compiles=True)
    assert later.manner == Manner(32, False)  # what is left is not known yet
    assert settle(later, compiled(share), steps_left=10) == [Manner(32, False)]
    assert settle(later, compiled(share), steps_left=enough)[1:] == (
        [Manner(32, False, compiled=True)] if share < 1 else []
    )


def test_nothing_is_compiled_that_would_not_pay_for_it_or_cannot_be():
    less = COMPILING / (0.1 / 32) / 2
    for pace, left in ((Pace({}, CPU, compiles=True), less), (Pace({}, CPU), 10 * less)):
        tried = settle(pace, compiled(0.1), steps_left=left)
        assert not any(manner.compiled for manner in tried)


def test_where_compilation_fails_steps_go_on_without_for_good():
    enough = COMPILING / (0.1 / 32) + 1
    pace = Pace({}, CPU, compiles=True)
    while not pace.manner.compiled:
        pace.took(0.1, 32, enough)
    assert pace.failed()
    assert pace.manner == Manner(32, False)
    assert settle(pace, compiled(0.1), steps_left=enough) == [Manner(32, False)]
    assert settle(Pace({}, CPU, compiles=True), compiled(0.1), steps_left=enough) == [
        Manner(32, False)
    ]
