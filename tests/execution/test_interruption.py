"""A Ctrl-C is not lost, wherever it comes."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from prognobench.execution.interruption import heard


@pytest.fixture(autouse=True)
def _listening():
    """Ctrl-C as a terminal has it: what is started in the background ignores it from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Waiting:
    """What waits for an answer when it goes, as a reference of Ray's client does."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)


def test_one_that_comes_while_an_object_goes_is_raised_in_the_next_round(capsys):
    rounds = []
    with pytest.raises(KeyboardInterrupt), heard() as check:
        while len(rounds) < 3:
            rounds.append(Waiting())
            check()
            rounds[-1] = None
            check()
    assert rounds == [None]
    assert capsys.readouterr().err == ""


def test_any_other_is_raised_at_once():
    with pytest.raises(KeyboardInterrupt), heard():
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")


def test_all_is_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    with heard() as check:
        check()
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_who_ignores_it_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard() as check:
            os.kill(os.getpid(), signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_that_gets_no_signals_may_use_it_too():
    ended = []

    def work():
        with heard() as check:
            check()
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
