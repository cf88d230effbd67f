"""What a plan says of an output folder that already holds runs."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from prognobench.backbones.counting import count_cost
from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.execution.benchmark import register
from prognobench.execution.estimate import summarise_plan
from prognobench.execution.operations import BACKWARD_OF_INPUTS, operations
from prognobench.execution.prepare import prepare
from prognobench.results.records import RunResult
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec
from undrawn import undrawn

SPEC = {
    "name": "small",
    "cohort": {"source": "synthetic", "patients": 60, "seed": 3},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
    "regimes": [{"name": "full_data", "folds": 3}],
    "controls": [],
    "evaluation": {"replicates": 100},
    "audit": {"near_duplicates": False},
    "report": {"saliency": False},
}


def prepared(**changes):
    return prepare(parse_spec({**SPEC, **changes}, "a test"))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate") / "out"
    with undrawn():
        run_spec(parse_spec(SPEC, "a test"), folder, None, Device.CPU)
    return folder


def test_runs_that_another_benchmark_did_not_plan_are_done_all_the_same(output):
    store = ResultsStore(output)
    register(prepared(strategies=["bitfit"]), store)
    assert set(store.runs()["state"]) == {"pending"}
    store.close()
    told = summarise_plan(prepared(), output)
    assert (told["done"], told["pending"]) == (3, 0)


def test_a_run_without_its_predictions_is_not_done(output, tmp_path):
    assert summarise_plan(prepared(), output)["done"] == 3
    path = next((output / "predictions").glob("*.parquet"))
    away = path.rename(tmp_path / path.name)
    told = summarise_plan(prepared(), output)
    assert (told["done"], told["pending"]) == (2, 1)
    assert told["estimated_seconds"] > 0
    path.write_bytes(away.read_bytes()[:-7] + b"garbage")
    told = summarise_plan(prepared(), output)
    assert (told["done"], told["pending"]) == (2, 1)
    away.replace(path)
    assert summarise_plan(prepared(), output)["done"] == 3


def test_a_folder_where_nothing_was_done_is_planned_like_a_new_one(tmp_path):
    store = ResultsStore(tmp_path)
    register(prepared(), store)
    store.close()
    assert summarise_plan(prepared(), tmp_path) == summarise_plan(prepared(), tmp_path / "none")


@pytest.mark.parametrize(("processes", "seconds"), [(1, 303.0), (2, 153.0), (8, 103.0)])
def test_what_is_solved_comes_in_turn_and_what_is_trained_side_by_side(
    tmp_path, monkeypatch, processes, seconds
):
    """Three probes of a second, and three runs of a hundred in at most as many processes."""
    monkeypatch.setenv("PROGNOBENCH_PROCESSES", str(processes))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    both = {"strategies": ["linear", "bitfit"]}
    store = ResultsStore(tmp_path)
    before = prepared(seeds=[1], **both)
    register(before, store)
    table = pd.DataFrame({"patient_id": ["p"], "image_id": ["i"], "part": ["test"], "target": [1],
                          "logit": [0.5], "probability": [0.62]})  # fmt: skip
    results = {
        run.id: RunResult(table, None, 0.0, 0.5, 1, 1.0 if run.strategy == "linear" else 100.0)
        for run in before.runs
    }
    store.finish(results, {})
    store.close()
    told = summarise_plan(prepared(seeds=[42, 1], **both), tmp_path)
    assert (told["done"], told["pending"]) == (6, 6)
    assert told["estimated_seconds"] == pytest.approx(seconds)


def test_a_cell_is_possible_while_one_of_its_runs_is(output, monkeypatch):
    plan = prepared()
    runs = list(plan.runs)
    infeasible = [run.__class__(**{**vars(run), "state": "not_feasible", "reason": "too few"})
                  for run in runs[:1]]  # fmt: skip
    object.__setattr__(plan, "runs", tuple(infeasible + runs[1:]))
    (cell,) = summarise_plan(plan, output / "none")["cells"]
    assert (cell["state"], cell["reason"], cell["runs"]) == ("possible", None, 3)
    object.__setattr__(plan, "runs", tuple(infeasible))
    (cell,) = summarise_plan(plan, output / "none")["cells"]
    assert (cell["state"], cell["reason"]) == ("not_feasible", "too few")


def test_operations_are_of_whole_batches():
    """Every step of an epoch has a whole batch, the last one too."""
    plan = prepared(strategies=["bitfit"], recipe={"epochs": 3, "batch_size": 12})
    run = plan.runs[0]
    images = plan.tasks[0].table["patient_id"].value_counts()
    parts = {part: sum(images[p] for p in run.split.patients(part)) for part in ("train", "val")}
    assert parts["train"] % 12
    forward = count_cost(run.entry).flops
    steps = 3 * math.ceil(parts["train"] / 12)
    passes = 1 + BACKWARD_OF_INPUTS
    found = operations(plan, {run.id})
    assert found.training == pytest.approx(passes * forward * 12 * steps)
    assert found.watching == pytest.approx(forward * (3 * parts["val"] + parts["train"]))
