"""What has ended is evaluated while others still train, to the same numbers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from small_benchmark import done

from prognobench.own_process import own_environment
from prognobench.report import ahead, evaluating, kept_candidates
from prognobench.report.ahead import evaluating_ahead
from prognobench.report.build import evaluate
from prognobench.report.evaluating import ended, evaluate_ahead
from prognobench.report.remembered import FOLDER
from prognobench.results.store import ResultsStore
from prognobench.spec import load_spec


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return done(tmp_path_factory.mktemp("ahead") / "out")


@pytest.fixture
def output(whole, tmp_path):
    """A folder of which nothing is evaluated yet."""
    return shutil.copytree(whole, tmp_path / "out", ignore=shutil.ignore_patterns(".evaluated*"))


@pytest.fixture
def evaluated(monkeypatch):
    names = []
    made = evaluating.evaluate

    def counted(asked):
        own = asked[0].runs.iloc[0]
        names.append((own["strategy"], str(own["shots"])))
        return made(asked)

    monkeypatch.setattr(evaluating, "evaluate", counted)
    return names


def tables(output):
    store = ResultsStore(output)
    evaluate(output, store)
    store.close()
    return {path.name: path.read_bytes() for path in output.glob("*.csv")}


def set_state(output, run, state):
    store = ResultsStore(output)
    store._update(run, state=state)
    store.close()


def look(output, stop=lambda: False):
    store = ResultsStore(output)
    found = ended(output, store, load_spec(output / "benchmark.yaml").evaluation)
    evaluate_ahead(output, store, found, stop)
    store.close()
    return len(found)


def test_what_was_evaluated_ahead_is_not_evaluated_again(whole, output, evaluated):
    fresh = tables(whole)
    store = ResultsStore(output)
    runs = store.runs()
    store.close()
    last = runs[(runs["strategy"] == "linear") & (runs["shots"] == 4)]["run"].iloc[-1]
    set_state(output, last, "running")
    evaluated.clear()
    assert look(output) == len(evaluated) > 1
    assert ("linear", "4") not in evaluated
    assert look(output) == 0
    set_state(output, last, "done")
    evaluated.clear()
    assert tables(output) == fresh
    assert evaluated == [("linear", "4")]


def test_it_ends_after_the_candidate_that_it_is_at(output, evaluated):
    assert look(output, stop=lambda: len(evaluated) == 2) > 2
    assert len(evaluated) == 2
    kept = [
        len(pd.read_parquet(path)) for path in (output / kept_candidates.FOLDER).glob("*.parquet")
    ]
    assert kept == [2]


def test_a_process_beside_the_run_does_it_and_ends_with_it(output, evaluated, monkeypatch):
    monkeypatch.setattr(ahead, "LEAST_RUNS", 1)
    folder = output / kept_candidates.FOLDER
    with evaluating_ahead(output, 1, pause=0.05):
        for _ in range(1200):
            if folder.is_dir() and any(folder.glob("[!.]*.parquet")):
                break
            time.sleep(0.1)
    store = ResultsStore(output)
    assert not ended(output, store, load_spec(output / "benchmark.yaml").evaluation)
    store.close()
    fresh = tables(output)
    assert not evaluated
    shutil.rmtree(folder)
    shutil.rmtree(output / FOLDER)
    assert tables(output) == fresh
    assert evaluated


def test_of_few_runs_nothing_is_evaluated_ahead(output, monkeypatch):
    monkeypatch.setattr(ahead.subprocess, "Popen", None)
    with evaluating_ahead(output, 1):
        pass


def test_it_does_not_outlive_a_run_that_is_killed(output, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from prognobench.report import ahead\n"
        "popen = ahead.subprocess.Popen\n"
        "def told(*given, **named):\n"
        "    process = popen(*given, **named)\n"
        "    print(process.pid, flush=True)\n"
        "    return process\n"
        "ahead.subprocess.Popen = told\n"
        "with ahead.evaluating_ahead(Path(sys.argv[1]), ahead.LEAST_RUNS):\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script, output], stdout=subprocess.PIPE, env=own_environment()
    )
    beside = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(600):
        if not is_there(beside):
            return
        time.sleep(0.1)
    pytest.fail("the process is still there")


def is_there(process):
    """Say whether a process runs; one that has ended and that nobody asked for has not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
