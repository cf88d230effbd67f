"""How long a report takes over many runs: from nothing, as a run leaves them, unchanged, one new.

``python benchmarks/load_report.py [--runs N] [--output FILE] [--keep FOLDER] [--use FOLDER]``

The store is filled with drawn predictions of planned runs, each file its own; nothing is trained.
The report itself is the command line in a process of its own. The result is the key ``report`` of
``--output``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sql

from measuring import machine, measured, write
from prognobench.backbones.catalog import CATALOG
from prognobench.execution.benchmark import register, write_preparation
from prognobench.execution.prepare import prepare
from prognobench.plan import ControlRun, Run
from prognobench.randomness import generator
from prognobench.results.records import RunResult, RunState
from prognobench.results.schema import RUNS
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec

HERE = Path(__file__).parent
GOALS = {"as_a_run_leaves_it_seconds": 30.0, "unchanged_seconds": 30.0, "page_mb": 8.0}
PATIENTS = 200
RANKS = tuple(range(1, 34))
OTHERS = ("linear", "full", "bitfit")
EPISODES = 20
SHOTS = (1, 2, 4, 8, 16)
FOLDS = 5
LOOK_EVERY = 1.0
"""Seconds between two looks at the memory of a report."""

A_BACKBONE = (len(RANKS) + len(OTHERS)) * (FOLDS + EPISODES * len(SHOTS))
"""Runs of one backbone."""


def fill(output: Path, runs: int) -> int:
    """Plan at least so many runs and give each predictions; returns how many there are."""
    needed = -(-runs // A_BACKBONE)
    names = [entry.name for entry in CATALOG][:needed]
    spec = {
        "name": "load",
        "cohort": {"source": "synthetic", "patients": PATIENTS},
        "endpoints": ["mortality"],
        "backbones": names,
        "strategies": [*OTHERS, {"name": "lora", "r": list(RANKS)}],
        "regimes": [
            {"name": "full_data", "folds": FOLDS},
            {"name": "few_shot", "shots": list(SHOTS), "episodes": EPISODES},
        ],
        "seeds": list(range(-(-needed // len(names)))),
        "controls": [],
        "report": {"saliency": False},
    }
    prepared = prepare(parse_spec(spec, "load"))
    store = ResultsStore(output)
    write_preparation(prepared, output)
    todo = register(prepared, store)
    target = dict(
        zip(*prepared.tasks[0].patients[["patient_id", "target"]].to_numpy().T, strict=True)
    )
    _finish(output, _ended(output, todo, target))
    store.close()
    return len(todo)


def _ended(
    output: Path, todo: list[Run | ControlRun], target: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Write the predictions of runs, and yield how each ended."""
    shared: dict[int, pa.Table] = {}
    for run in todo:
        split = run.split
        if id(split) not in shared:
            patients = list(split.parts)
            shared[id(split)] = pa.table(
                {
                    "patient_id": patients,
                    "image_id": [f"{own}-0" for own in patients],
                    "part": list(split.parts.values()),
                    "target": np.array([target[own] for own in patients], dtype=np.int64),
                }
            )
        table = shared[id(split)]
        # What is learnt of the outcome differs between candidates and grows with their data.
        drawn = generator("load", run.id)
        outcome = table["target"].to_numpy()
        skill = generator("load", *_candidate(run)).uniform(0.3, 1.5)
        logit = drawn.normal(size=len(outcome)) + skill * (outcome - 0.5)
        table = table.append_column("logit", pa.array(logit))
        table = table.append_column("probability", pa.array(1 / (1 + np.exp(-logit))))
        stream = io.BytesIO()
        pq.write_table(table, stream)
        data = stream.getvalue()
        (output / "predictions" / f"{run.id}.parquet").write_bytes(data)
        yield {
            "own_run": run.id,
            **RunResult(None, None, 0.0, 0.5, 1000, 1.0).columns(),
            "attempts": 1,
            "predictions_sha256": hashlib.sha256(data).hexdigest(),
            "environment": ENVIRONMENT,
        }


def _candidate(run: Run | ControlRun) -> tuple[str, str]:
    return (run.backbone, run.strategy) if isinstance(run, Run) else ("control", run.control)


ENVIRONMENT = {"device": "cpu", "device_name": "none: the predictions are drawn"}


def _finish(output: Path, ended: Iterator[dict[str, Any]]) -> None:
    """Note how runs ended, all at once: a commit for each would take a hundred times as long."""
    engine = sql.create_engine(f"sqlite:///{output / 'results.db'}")
    rows = list(ended)
    given = {name: sql.bindparam(f"new_{name}") for name in rows[0] if name != "own_run"}
    changed = sql.update(RUNS).where(RUNS.c.run == sql.bindparam("own_run")).values(given)
    with engine.begin() as connection:
        connection.execute(
            changed,
            [
                {name if name == "own_run" else f"new_{name}": own for name, own in row.items()}
                for row in rows
            ],
        )
    engine.dispose()


def measure(folder: Path, runs: int, *, filled: bool, kept: bool = False) -> dict[str, Any]:
    """Fill a store and report on it.

    ``first`` is from nothing, which nobody meets who lets `run` do its runs: it evaluates what has
    ended while it trains (``prognobench.report.ahead``). ``as_a_run_leaves_it`` is the first report
    after that: candidates are evaluated, and there is no table yet. Then nothing has changed, and
    at last one run is to be done again, and its candidate lacks it. With ``kept`` candidates are
    those of a measurement before, and ``first`` is not measured.
    """
    output = folder / "out"
    began = time.perf_counter()
    found: dict[str, Any] = {}
    if not filled:
        fill(output, runs)
        found["filled_seconds"] = round(time.perf_counter() - began, 1)
    phases = ("first", "as_a_run_leaves_it", "unchanged", "one_candidate_anew")[kept:]
    if not kept:
        for own in (".evaluated", ".evaluated_candidates"):
            shutil.rmtree(output / own, ignore_errors=True)
    found["runs"] = len(list((output / "predictions").glob("*.parquet")))
    command = [sys.executable, "-m", "prognobench", "report", str(output), "--no-images"]
    for name in phases:
        if name == "as_a_run_leaves_it":
            shutil.rmtree(output / ".evaluated")
            for path in output.glob("*.csv"):
                path.unlink()
        elif name == "one_candidate_anew":
            _forget_one(output)
        taken = measured(command, {}, folder / f"{name}.log", LOOK_EVERY)
        found[name] = {
            "wall_seconds": round(taken.wall, 1),
            "cpu_seconds": round(taken.cpu, 1),
            "peak_gib": round(taken.peak_bytes / 2**30, 2),
            "page_mb": round((output / "report" / "index.html").stat().st_size / 1e6, 2),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def _forget_one(output: Path) -> None:
    """Set one run to what it is before it is done."""
    engine = sql.create_engine(f"sqlite:///{output / 'results.db'}")
    one = sql.select(RUNS.c.run).where(RUNS.c.state == str(RunState.DONE)).limit(1)
    with engine.begin() as connection:
        changed = sql.update(RUNS).where(RUNS.c.run == one.scalar_subquery())
        connection.execute(changed.values(state=str(RunState.PENDING)))
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "load.json")
    parser.add_argument("--keep", type=Path, help="a folder for the store, to be looked at later")
    parser.add_argument("--use", type=Path, help="a folder that --keep has filled before")
    parser.add_argument("--kept", action="store_true", help="of --use, without evaluating anew")
    parser.add_argument("--fill-only", action="store_true", help="fill --keep and measure nothing")
    asked = parser.parse_args()
    if asked.fill_only:
        print(fill(asked.keep / "out", asked.runs))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.use or asked.keep or Path(temporary)
        found = measure(folder, asked.runs, filled=asked.use is not None, kept=asked.kept)
    known = json.loads(asked.output.read_text()) if asked.output.is_file() else {}
    if asked.kept:
        found = {**known["report"], **found}
    found |= {"machine": machine(), "goals": GOALS}
    write(asked.output, {**known, "report": found})


if __name__ == "__main__":
    main()
