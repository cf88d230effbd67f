"""Benchmarks by several drivers on one PostgreSQL end as by one, whatever happens on the way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from test_benchmark import SMALL, same_results

from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.execution import sharing
from prognobench.spec import parse_spec

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1200)]

SECRET = "not-to-be-told"  # noqa: S105
RUNS = 12


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one driver comes to without a database."""
    output = tmp_path_factory.mktemp("alone") / "out"
    run_spec(parse_spec(SMALL, "spec"), output, None, Device.CPU)
    return output


def start(folder, name, url):
    """Start a driver with an output folder of its own; its words go to a file."""
    path = folder / "spec.yaml"
    path.write_text(parse_spec(SMALL, "spec").as_yaml())
    output = folder / name
    command = [sys.executable, "-m", "prognobench", "run", str(path), "--output", str(output)]
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [*command, "--device", "cpu", "--results", url], stdout=log, stderr=subprocess.STDOUT
        )


def with_password(url):
    return url.replace("bench@", f"bench:{SECRET}@")


def done(server):
    exists = server.sql("select count(*) from pg_tables where tablename = 'runs'") == "1"
    return int(server.sql("select count(*) from runs where state = 'done'")) if exists else 0


def wait_for(condition, process, seconds=400):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the driver ended"
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_drivers_share_the_work(alone, tmp_path, database, server):
    processes = [start(tmp_path, name, with_password(database)) for name in ("one", "two")]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    assert (
        server.sql("select count(*), min(attempts), max(attempts) from runs where state = 'done'")
        == f"{RUNS}|1|1"
    )
    for name in ("one", "two"):
        same_results(alone, tmp_path / name)
        for path in (tmp_path / name).rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
        assert SECRET not in (tmp_path / f"{name}.log").read_text()


def test_a_killed_driver_s_runs_are_done_by_the_other(alone, tmp_path, database, server):
    first = start(tmp_path, "one", database)
    wait_for(lambda: done(server) >= 2, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = server.sql("select run, finished from runs where state = 'done' order by run")
    assert 2 <= len(kept.splitlines()) < RUNS
    server.sql("update runs set lease_until = now() + interval '3 s' where state = 'running'")
    assert start(tmp_path, "two", database).wait(timeout=600) == 0
    same_results(alone, tmp_path / "two")
    after = server.sql("select run, finished from runs where state = 'done' order by run")
    assert set(kept.splitlines()) <= set(after.splitlines())
    assert server.sql("select max(attempts) from runs") in {"1", "2"}


def test_a_restart_of_the_database_changes_nothing(alone, tmp_path, database, server):
    process = start(tmp_path, "one", database)
    wait_for(lambda: done(server) >= 1, process)
    server.restart(away=1.0)
    wait_for(lambda: done(server) >= 4, process)
    server.restart()
    assert process.wait(timeout=600) == 0, (tmp_path / "one.log").read_text()
    same_results(alone, tmp_path / "one")
    # A claim whose answer was lost in a restart is made once more, and counts as an attempt.
    found = server.sql(
        "select max(attempts) <= 2, max(losses), count(*) from runs where state = 'done'"
    )
    assert found == f"t|0|{RUNS}"
    assert server.sql("select count(*) from runs where attempts > 1") in {"0", "1", "2"}


def test_a_folder_s_results_are_taken_into_the_database_and_reported_from_it(
    alone, tmp_path, database, server
):
    output = tmp_path / "one"
    shutil.copytree(alone, output)
    run_spec(parse_spec(SMALL, "spec"), output, None, Device.CPU, database)
    assert server.sql("select count(*), sum(attempts) from runs where state = 'done'") == "12|0"
    shutil.rmtree(output / "predictions")
    (output / "results.db").unlink()
    run_spec(parse_spec(SMALL, "spec"), output, None, Device.CPU, database)
    same_results(alone, output)
    assert server.sql("select sum(attempts) from runs") == "0"
    words = subprocess.run(
        [sys.executable, "-m", "prognobench", "report", str(output), "--results", database],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search("report: .*index.html", words.stdout)


def test_what_others_have_done_comes_to_the_folder_while_runs_go_on(
    alone, tmp_path, database, monkeypatch
):
    copied, collect = [], sharing.collect

    def told(*given):
        copied.append((threading.current_thread().name, collect(*given)))

    monkeypatch.setattr(sharing, "PAUSE", 0.05)
    monkeypatch.setattr(sharing, "collect", told)
    output = tmp_path / "one"
    run_spec(parse_spec(SMALL, "spec"), output, None, Device.CPU, database)
    assert 1 <= sum(count for name, count in copied if name == "collecting") <= RUNS
    same_results(alone, output)
