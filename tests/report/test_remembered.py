"""What has not changed is not evaluated again; what has is."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from prognobench.execution.benchmark import register, run_benchmark, write_preparation
from prognobench.execution.prepare import prepare
from prognobench.report import build as building
from prognobench.report import kept_cells, remembered
from prognobench.report.remembered import FOLDER
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec

SPEC = {
    "name": "small",
    "cohort": {"source": "synthetic", "patients": 40},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
    "regimes": [
        {"name": "full_data", "folds": 2},
        {"name": "few_shot", "shots": [2], "episodes": 2},
    ],
    "evaluation": {"replicates": 100},
    "audit": {"near_duplicates": False},
}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    import torch

    prepared = prepare(parse_spec(SPEC, "test"))
    folder = tmp_path_factory.mktemp("remembered") / "out"
    store = ResultsStore(folder)
    write_preparation(prepared, folder)
    todo = register(prepared, store)
    assert run_benchmark(prepared, todo, store, torch.device("cpu"), lambda _: None) == 0
    store.close()
    return folder


@pytest.fixture
def evaluations(monkeypatch):
    made = []
    evaluate = building._evaluate

    def counted(*given):
        made.append(1)
        return evaluate(*given)

    monkeypatch.setattr(building, "_evaluate", counted)
    return made


def report(output):
    store = ResultsStore(output)
    try:
        page = building.build_report(output, store).page.read_bytes()
    finally:
        store.close()
    beside = sorted([*output.glob("*.csv"), *(output / "report").rglob("*.*")])
    return page, {path.relative_to(output): path.read_bytes() for path in beside}


def test_the_report_of_kept_tables_is_that_of_fresh_ones(output, evaluations):
    fresh = report(output)
    again = report(output)
    assert len(evaluations) == 1
    assert again == fresh


def test_tables_that_were_changed_or_removed_are_written_again(output, evaluations):
    fresh = report(output)
    count = len(evaluations)
    (output / "leaderboard.csv").unlink()
    (output / "results.csv").write_text("nothing\n")
    assert report(output) == fresh
    assert len(evaluations) == count


def other_spec(output):
    path = output / "benchmark.yaml"
    path.write_text(path.read_text().replace("confidence: 0.95", "confidence: 0.9"))


def other_code(_output):
    """The test says so: code is not changed by tests."""


def other_run(output):
    store = ResultsStore(output)
    run = store.runs()["run"].iloc[-1]
    store.fail(run, "it broke", {})
    store.close()


def damaged(output):
    path = next((output / FOLDER).glob("leaderboard.parquet"))
    path.write_bytes(path.read_bytes()[:-10] + b"0123456789")


@pytest.mark.parametrize("change", [other_spec, other_run, damaged, other_code])
def test_what_has_changed_is_evaluated_anew(output, evaluations, monkeypatch, change):
    report(output)
    count = len(evaluations)
    change(output)
    if change is other_code:
        monkeypatch.setattr("prognobench.report.remembered._code", lambda: "another")
    report(output)
    assert len(evaluations) == count + 1


def test_altered_predictions_are_noticed(output, evaluations):
    from prognobench.errors import UserError

    report(output)
    store = ResultsStore(output)
    runs = store.runs()
    store.close()
    run = runs.loc[runs["state"] == "done", "run"].iloc[0]
    path = output / "predictions" / f"{run}.parquet"
    before = path.read_bytes()
    table = pd.read_parquet(path)
    table.assign(probability=np.clip(table["probability"] + 0.1, 0, 1)).to_parquet(path)
    with pytest.raises(UserError, match="not what was written"):
        report(output)
    path.write_bytes(before)


def test_tables_are_written_as_pandas_writes_them(tmp_path):
    table = pd.DataFrame(
        {
            "words, odd": ["a", "b,c", 'd "e"', None, "ünï\nline"],
            "value": [1.0, 1e-5, 0.1 + 0.2, np.nan, -0.0],
            "big": [1e22, 123456789.0, 1e16, 5e-324, 1 / 3],
            "count": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "truth": [True, False, True, True, False],
            "maybe": pd.array([True, None, False, None, True], dtype="boolean"),
            "empty": [np.nan] * 5,
            "object": pd.Series([None, "x", None, "y", "z"], dtype=object),
        }
    )
    for name, own in (("some", table), ("none", table.head(0))):
        remembered._write(tmp_path / f"{name}.csv", own)
        own.to_csv(tmp_path / f"{name}_pandas.csv", index=False)
        mine, theirs = ((tmp_path / f"{name}{end}.csv").read_bytes() for end in ("", "_pandas"))
        assert mine == theirs


def test_the_report_reads_what_it_shows_and_trackers_read_all(output):
    store = ResultsStore(output)
    whole = building.evaluate(output, store).results
    shown = building.evaluate(output, store, whole=False).results
    store.close()
    wanted = (whole["metric"] == "mcc") | whole["value"].isna() | whole["flag"].notna()
    assert 0 < len(shown) < len(whole)
    pd.testing.assert_frame_equal(shown, whole[wanted].reset_index(drop=True))


@pytest.fixture
def cells_evaluated(monkeypatch):
    seen = []
    made = building.leaderboard

    def counted(runs, *given, **named):
        seen.append(set(runs["regime"]))
        return made(runs, *given, **named)

    monkeypatch.setattr(building, "leaderboard", counted)
    return seen


def failed_few_shot(output):
    store = ResultsStore(output)
    runs = store.runs()
    own = runs[(runs["regime"] == "few_shot") & (runs["state"] == "done")]
    store.fail(own["run"].iloc[0], "it broke now", {})
    store.close()


def damaged_cell(output):
    failed_few_shot(output)
    for path in (output / kept_cells.FOLDER).glob("*/results.parquet"):
        path.write_bytes(path.read_bytes()[:-10] + b"0123456789")


@pytest.mark.parametrize("change", [failed_few_shot, damaged_cell])
def test_new_runs_cost_their_own_cells_only(output, tmp_path, cells_evaluated, change):
    own = tmp_path / "out"
    shutil.copytree(output, own)
    report(own)
    cells_evaluated.clear()
    change(own)
    by_cells = report(own)
    # Draws are of all patients of a task: those of the other cell are the same patients.
    few = [{"few_shot"}] if change is failed_few_shot else [{"full_data"}, {"few_shot"}]
    assert sorted(map(sorted, cells_evaluated)) == sorted(map(sorted, few))
    for folder in (kept_cells.FOLDER, FOLDER):
        shutil.rmtree(own / folder)
    assert report(own) == by_cells
