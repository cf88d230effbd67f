"""What a plan says of an output folder that already holds runs."""

from __future__ import annotations

import math

import pytest

from prognobench.backbones.counting import count_cost
from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.execution.benchmark import register
from prognobench.execution.estimate import summarise_plan
from prognobench.execution.operations import BACKWARD_OF_INPUTS, operations
from prognobench.execution.prepare import prepare
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
    away.rename(path)


def test_the_time_is_that_of_the_processes_that_train(output, monkeypatch):
    seconds = []
    for processes in ("1", "3"):
        monkeypatch.setenv("PROGNOBENCH_PROCESSES", processes)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        told = summarise_plan(prepared(seeds=[42, 1]), output)
        assert told["pending"] == 3
        seconds.append(told["estimated_seconds"])
    assert seconds[0] == pytest.approx(3 * seconds[1])


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
