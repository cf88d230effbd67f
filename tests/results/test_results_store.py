"""The store: states, resuming, and files that anyone can read."""

from __future__ import annotations

import dataclasses
import sqlite3

import pandas as pd
import pytest

from prognobench.errors import UserError
from prognobench.files import file_digest
from prognobench.results.records import RunResult, RunState
from prognobench.results.store import PredictionsFile, ResultsStore


def record(run, **changes):
    return {
        "run": run,
        "dataset": "d",
        "endpoint": "icu",
        "backbone": "b",
        "strategy": "s",
        "regime": "full_data",
        "shots": None,
        "level": None,
        "split": "x",
        "fold": 0,
        "repeat": 0,
        "episode": None,
        "seed": 42,
        "lr": 0.001,
        "state": RunState.PENDING,
        "reason": None,
        **changes,
    }


def result():
    predictions = pd.DataFrame(
        {
            "patient_id": ["p"],
            "image_id": ["i"],
            "part": ["test"],
            "target": [1],
            "logit": [0.5],
            "probability": [0.62],
        }
    )
    return RunResult(predictions, -0.7, 0.1, 0.5, 12, 1.5, {"steps": 3})


def test_states_survive_and_only_what_is_not_done_becomes_pending(tmp_path):
    store = ResultsStore(tmp_path)
    records = [record("a"), record("b"), record("c"), record("d", state="not_feasible", reason="r")]
    store.register(records, [{"n": 1}] * 4)
    store.start("a")
    store.finish({"a": result()}, {"python": "3"})
    store.start("b")
    store.fail("b", "it broke", {})
    store.start("c")
    store.close()
    store = ResultsStore(tmp_path)
    assert store.runs()["state"].tolist() == ["done", "failed", "running", "not_feasible"]
    store.register(records, [{"n": 1}] * 4)
    table = store.runs()
    assert table["state"].tolist() == ["done", "pending", "pending", "not_feasible"]
    assert table["attempts"].tolist() == [1, 1, 1, 0]
    assert table["reason"].tolist() == [None, None, None, "r"]
    assert table["train_info"].iloc[0] == {"steps": 3}
    pd.testing.assert_frame_equal(store.predictions("a"), result().predictions)


def test_runs_no_longer_planned_are_set_aside_and_come_back_done(tmp_path):
    store = ResultsStore(tmp_path)
    store.register([record("a"), record("b")], [{}] * 2)
    store.start("a")
    store.finish({"a": result()}, {})
    store.register([record("b")], [{}])
    assert store.runs()["run"].tolist() == ["b"]
    store.register([record("b"), record("a", backbone="renamed")], [{}] * 2)
    table = store.runs()
    assert table["run"].tolist() == ["b", "a"]
    assert table["state"].tolist() == ["pending", "done"]
    assert table["backbone"].tolist() == ["b", "renamed"]


@pytest.mark.parametrize("text", ["object", "str"])
def test_predictions_are_read_alike_whether_pandas_or_arrow_wrote_them(tmp_path, text):
    table = result().predictions.astype({"patient_id": text, "image_id": text, "part": text})
    (tmp_path / "arrow").write_bytes(dataclasses.replace(result(), predictions=table).file())
    table.to_parquet(tmp_path / "pandas", index=False)
    read = [
        PredictionsFile(path, file_digest(path))("a")
        for path in (tmp_path / "arrow", tmp_path / "pandas")
    ]
    pd.testing.assert_frame_equal(*read)
    pd.testing.assert_frame_equal(read[0], pd.read_parquet(tmp_path / "pandas"))


def test_damaged_or_missing_predictions_are_found(tmp_path):
    store = ResultsStore(tmp_path)
    store.register([record("a"), record("b"), record("c")], [{}] * 3)
    assert store.finish(dict.fromkeys("abc", result()), {}) == {"a", "b", "c"}
    assert store.verify() == []
    store.predictions_path("a").unlink()
    store.predictions_path("b").write_bytes(b"x")
    assert store.verify() == ["a", "b"]
    assert store.runs()["state"].tolist() == ["pending", "pending", "done"]


def test_the_database_is_plain_sqlite(tmp_path):
    store = ResultsStore(tmp_path)
    store.register([record("a")], [{"n": 1}])
    store.close()
    with sqlite3.connect(tmp_path / "results.db") as connection:
        rows = connection.execute("select run, state, run_info from runs").fetchall()
    assert rows == [("a", "pending", '{"n": 1}')]


def test_a_file_that_is_no_database_is_a_sentence(tmp_path):
    (tmp_path / "results.db").write_text("not a database, whatever its name says")
    with pytest.raises(UserError, match="cannot be used"):
        ResultsStore(tmp_path)


def test_an_emptied_database_beside_predictions_is_not_taken_for_a_new_one(tmp_path):
    store = ResultsStore(tmp_path)
    store.register([record("a")], [{"n": 1}])
    store.finish({"a": result()}, {})
    store.close()
    (tmp_path / "results.db").write_bytes(b"")
    with pytest.raises(UserError, match="is empty though there are predictions"):
        ResultsStore(tmp_path)
    assert not (tmp_path / "results.db").stat().st_size
    # A run that was killed before it wrote anything leaves the same, and is gone on with.
    (tmp_path / "predictions" / "a.parquet").unlink()
    ResultsStore(tmp_path).close()
