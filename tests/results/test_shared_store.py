"""Several drivers on one PostgreSQL: every run is done once, whatever dies or goes away."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pandas as pd
import pytest
from test_results_store import record, result

from prognobench.errors import UserError
from prognobench.results.database import without_credentials
from prognobench.results.shared import MOST_LOSSES, SharedStore
from prognobench.results.store import ResultsStore

pytestmark = pytest.mark.postgres

LONG = 30.0


@pytest.fixture
def drivers(database):
    """Makes drivers on a database, and closes them."""
    made = []

    def make(lease=LONG, patience=60.0):
        made.append(SharedStore(database, lease, patience))
        return made[-1]

    yield make
    for store in made:
        store.close()


def plan(store, runs, **changes):
    store.register([record(run, **changes) for run in runs], [{"n": 1}] * len(runs))


def die(store):
    """Stop a driver's heart without giving anything back, as a kill does."""
    store._closed.set()
    store._heart.join()


def test_a_run_is_given_to_one_driver(drivers):
    first, second = drivers(), drivers()
    plan(first, "abcd")
    plan(second, "abcd")
    assert first.claim("abcd", 2).granted == ("a", "b")
    claimed = second.claim("abcd", 3)
    assert claimed.granted == ("c", "d")
    assert claimed.held_elsewhere == ("a", "b")
    assert first.finish({"a": result()}, {"python": "3"})
    assert second.look("ab") == (["a"], [])
    assert second.pending("abcd") == {"b", "c", "d"}


def test_many_drivers_at_once_do_every_run_once(database):
    runs = [f"run{number:03}" for number in range(200)]
    done, lock = Counter(), threading.Lock()

    def drive():
        store = SharedStore(database)
        plan(store, runs)
        while True:
            claimed = store.claim(runs, 7)
            if not claimed.granted:
                break
            for run in claimed.granted:
                assert store.finish({run: result()}, {})
                with lock:
                    done[run] += 1
        store.close()

    threads = [threading.Thread(target=drive) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(done) == set(runs)
    assert set(done.values()) == {1}


def test_the_runs_of_a_driver_that_died_come_back(drivers, server):
    first, second = drivers(lease=1.0), drivers()
    plan(first, "ab")
    first.claim("ab", 2)
    die(first)
    assert second.claim("ab", 2).granted == ()
    deadline = time.monotonic() + 20
    while not second.look("ab")[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert second.claim("ab", 2).granted == ("a", "b")
    assert server.sql("select distinct attempts, losses from runs") == "2|1"


def test_a_driver_that_lives_keeps_its_lease(drivers):
    first, second = drivers(lease=1.0), drivers()
    plan(first, "a")
    first.claim("a", 1)
    time.sleep(2.5)
    assert second.claim("a", 1).granted == ()
    assert first.finish({"a": result()}, {})


def test_a_result_that_comes_after_the_lease_is_dropped(drivers, server):
    """The driver was stopped (a suspended machine), and another has the run: one result stays."""
    first, second = drivers(lease=1.0), drivers()
    plan(first, "a")
    first.claim("a", 1)
    die(first)
    server.sql("update runs set lease_until = now() - interval '1 s'")
    assert second.claim("a", 1).granted == ("a",)
    assert not first.finish({"a": result()}, {})
    assert not first.fail("a", "it broke", {})
    assert server.sql("select state, predictions is null from runs") == "running|t"
    assert second.finish({"a": result()}, {})
    assert not first.finish({"a": result()}, {})
    assert server.sql("select state, attempts from runs") == "done|2"


def test_a_run_whose_drivers_die_is_given_up(drivers, server):
    for _ in range(MOST_LOSSES):
        driver = drivers()
        plan(driver, "ab")
        assert driver.claim("a", 1).granted == ("a",)
        die(driver)
        server.sql("update runs set lease_until = now() - interval '1 s' where run = 'a'")
    last = drivers()
    claimed = last.claim("ab", 2)
    assert claimed.granted == ("b",)
    assert claimed.held_elsewhere == ("a",)
    assert last.look("a") == (["a"], [])
    assert "died 5 times" in server.sql("select reason from runs where run = 'a'")
    plan(last, "ab")  # asked for once more, it is tried once more
    assert last.claim("a", 1).granted == ("a",)


def test_a_driver_that_ends_gives_its_runs_back(drivers, database):
    first = SharedStore(database)
    plan(first, "ab")
    first.claim("ab", 2)
    first.close()
    assert drivers().claim("ab", 2).granted == ("a", "b")


def test_a_claim_whose_answer_was_lost_is_claimed_again(drivers):
    store = drivers()
    plan(store, "a")
    store.claim("a", 1)
    assert store.claim("a", 1).granted == ("a",)  # the worker died, or the answer never came
    assert store.finish({"a": result()}, {})
    store._fences["a"] = 2
    assert store.finish({"a": result()}, {})  # the answer to the first was lost


def test_failed_runs_are_tried_again_when_they_are_asked_for_again(drivers):
    store = drivers()
    plan(store, "a")
    store.claim("a", 1)
    store.fail("a", "it broke", {"python": "3"})
    assert store.pending("a") == set()
    (outcome,) = store.outcomes("a")
    assert (outcome.columns["reason"], outcome.predictions) == ("it broke", None)
    plan(store, "a")
    assert store.pending("a") == {"a"}


def test_results_go_to_a_folder_and_back(drivers, tmp_path, server):
    shared, folder, other = drivers(), ResultsStore(tmp_path / "a"), ResultsStore(tmp_path / "b")
    for store in (shared, folder, other):
        plan(store, "abc")
    shared.claim("a", 1)
    shared.finish({"a": result()}, {"python": "3"})
    folder.take_over(list(shared.outcomes("abc")))
    pd.testing.assert_frame_equal(folder.predictions("a"), result().predictions)
    assert folder.verify() == []
    row = folder.runs().set_index("run").loc["a"]
    assert (row["state"], row["attempts"], row["train_info"]) == ("done", 1, {"steps": 3})
    other.start("b")
    other.finish({"b": result()}, {})
    assert shared.take_over(other.outcome("b"))
    assert not shared.take_over(other.outcome("b"))
    assert shared.pending("abc") == {"c"}
    # Damage in the database is found, and the run is done anew.
    server.sql("update runs set predictions = 'nothing' where run = 'a'")
    assert [outcome.run for outcome in shared.outcomes("abc")] == ["b"]
    assert shared.claim("abc", 3).granted == ("a", "c")


def test_a_restart_of_the_database_is_waited_for(drivers, server):
    store = drivers(lease=5.0)
    plan(store, "ab")
    store.claim("ab", 1)
    server.stop()
    back = threading.Timer(2.0, server.start)
    back.start()
    assert store.finish({"a": result()}, {})
    assert store.claim("b", 1).granted == ("b",)
    back.join()
    server.restart()
    assert store.finish({"b": result()}, {})
    assert store.pending("ab") == set()


def test_a_database_that_stays_away_is_a_sentence(drivers, server):
    store = drivers(patience=1.0)
    plan(store, "a")
    server.stop()
    try:
        with pytest.raises(UserError, match="has been away"):
            store.claim("a", 1)
    finally:
        server.start()


def test_what_cannot_be_used_is_a_sentence_without_the_password(server):
    for url in (server.url("missing", "u:secret"), "postgresql://u:secret@127.0.0.1:1/d"):
        with pytest.raises(UserError, match="cannot be used") as caught:
            SharedStore(url)
        assert "secret" not in str(caught.value)
    for url in (
        "mysql://u:secret@h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@h",
    ):
        with pytest.raises(UserError, match="expected postgresql://") as caught:
            SharedStore(url)
        assert "secret" not in str(caught.value)


def test_tables_of_another_version_are_refused(drivers, server, database):
    drivers()
    server.sql("update prognobench_schema set version = 99")
    with pytest.raises(UserError, match="another version"):
        SharedStore(database)
    server.sql("drop table runs; create table runs (run int)")
    server.sql("update prognobench_schema set version = 1")
    with pytest.raises(UserError, match="another version"):
        SharedStore(database)


def test_urls_are_shown_without_credentials():
    url = "postgresql://me:secret@host:5433/bench?password=secret&sslkey=x"
    assert without_credentials(url) == "postgresql://host:5433/bench"
