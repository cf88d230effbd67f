"""A Ctrl-C is not lost, wherever it comes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import weakref

import pytest

from prognobench.execution.interruption import AGAIN, heard


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


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def by_a_destructor():
    Waiting()


def by_a_weak_reference():
    kept = threading.Event()
    reference = weakref.ref(kept, lambda _: interrupt())
    del kept
    assert reference() is None


def by_a_call_from_c():
    ctypes.CFUNCTYPE(None)(interrupt)()


def by_a_library():
    """It goes on after any error, without a word."""
    with contextlib.suppress(BaseException):
        interrupt()


@pytest.mark.parametrize(
    "lose", [by_a_destructor, by_a_weak_reference, by_a_call_from_c, by_a_library]
)
def test_one_that_is_lost_is_raised_once_more(lose, capsys):
    with pytest.raises(KeyboardInterrupt), heard():
        lose()
        time.sleep(30)  # work in which nobody checks
        raise AssertionError("it went on")
    assert capsys.readouterr().err == ""


def test_it_is_raised_until_something_ends():
    raised = 0
    with pytest.raises(KeyboardInterrupt), heard():
        by_a_library()
        while True:
            try:
                time.sleep(30)
            except KeyboardInterrupt:
                raised += 1
                if raised == 3:
                    raise
    assert raised == 3


def test_what_is_being_ended_is_left_in_peace():
    ended = []
    with pytest.raises(RuntimeError, match="it was half made"), heard():
        try:
            interrupt()
        finally:
            time.sleep(3 * AGAIN)
            try:
                raise ValueError
            except ValueError:
                time.sleep(3 * AGAIN)
                ended.append(True)
            raise RuntimeError("it was half made")
    assert ended == [True]
    time.sleep(2 * AGAIN)


def test_a_block_inside_another_shares_what_it_remembers():
    with pytest.raises(KeyboardInterrupt), heard() as outer:
        with pytest.raises(KeyboardInterrupt), heard():
            interrupt()
        outer()


def test_the_alarm_of_another_goes_on_afterwards():
    rung = []
    handler, left = signal.signal(signal.SIGALRM, lambda *_: rung.append(True)), 0.0
    try:
        left = signal.setitimer(signal.ITIMER_REAL, 0.3)[0]
        with pytest.raises(KeyboardInterrupt), heard():
            interrupt()
        time.sleep(0.6)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left)
    assert rung == [True]


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
