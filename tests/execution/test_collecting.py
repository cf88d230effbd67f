"""Results of other drivers are copied while runs go on, and nobody waits for a database for it."""

from __future__ import annotations

import threading
import time

from prognobench.errors import UserError
from prognobench.execution import sharing
from prognobench.execution.sharing import collecting
from prognobench.results.store import ResultsStore


def test_a_database_that_is_away_ends_no_run_that_goes_on(tmp_path, monkeypatch, caplog):
    class Away:
        asked = 0

        def outcomes(self, runs):
            self.asked += 1
            raise UserError("the results database is away")

    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    shared, store = Away(), ResultsStore(tmp_path)
    with collecting(store, shared):
        until = time.monotonic() + 60
        while shared.asked < 2 and time.monotonic() < until:
            time.sleep(0.01)
    store.close()
    assert "is away" in caplog.text
    asked = shared.asked
    assert asked > 1
    time.sleep(0.1)
    assert shared.asked == asked


def test_the_end_waits_for_no_database(tmp_path, monkeypatch):
    came, go = threading.Event(), threading.Event()

    class Slow:
        def outcomes(self, runs):
            came.set()
            go.wait(600)
            return iter(())

    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    monkeypatch.setattr(sharing, "GRACE", 0.01)
    store = ResultsStore(tmp_path)
    with collecting(store, Slow()):
        assert came.wait(60)
    go.set()
    store.close()
