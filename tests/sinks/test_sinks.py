"""Experiment trackers by their own clients: what they are given, and that they stop nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from prognobench.cli import main
from prognobench.errors import UserError
from prognobench.sinks.records import Benchmark, Ended, Record, records
from prognobench.sinks.sink import Sinks

SPEC = """
name: small
cohort: {source: synthetic, patients: 40}
endpoints: [mortality]
backbones: [demo_vit]
strategies: [linear]
regimes: [{name: full_data, folds: 2}]
controls: [prevalence]
evaluation: {replicates: 100}
report: {saliency: false}
audit: {near_duplicates: false}
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run the benchmark with further words; returns exit code, summary and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)

    def calling(*words):
        asked = ["prognobench", "run", "spec.yaml", "--output", "out", "--json", *words]
        monkeypatch.setattr(sys, "argv", asked)
        with pytest.raises(SystemExit) as caught:
            main()
        out, errors = capsys.readouterr()
        return caught.value.code or 0, json.loads(out or "null"), errors

    return calling


def patients_of(output: Path) -> set[str]:
    stored = pd.read_parquet(next((output / "predictions").glob("*.parquet")))
    return {*stored["patient_id"], *stored["image_id"]}


def test_mlflow_holds_the_benchmark_its_runs_and_the_report(call, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (extra mlflow)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_tracking_uri(None)
    code, summary, errors = call("--sink", "mlflow", "--limit", "1")
    assert code == 0
    assert "sink" not in errors, errors
    # The second go finds what the first has logged, and adds what is new.
    assert call("--sink", "mlflow")[0] == 0
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'prognobench'")
    logged = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in logged if "mlflow.parentRunId" not in run.data.tags]
    nested = {run.data.tags["prognobench.run"]: run for run in logged if run is not parent}
    assert len(nested) == len(logged) - 1
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert nested.keys() == set(results["run"])
    for run, own in nested.items():
        table = results[results["run"] == run]
        assert own.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert own.data.params["strategy"] == table["strategy"].iloc[0]
        values = table.dropna(subset="value").set_index("metric")["value"]
        for metric, value in values.items():
            assert own.data.metrics[metric] == pytest.approx(value)
        assert own.info.status == "FINISHED"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["backbones"] == "demo_vit"
    files = {own.path for own in client.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "results.csv", "leaderboard.csv"}
    page = Path(client.download_artifacts(parent.info.run_id, "report.html")).read_text()
    assert "prognobench" in page
    told = page + "".join(map(str, logged))
    assert not [name for name in patients_of(tmp_path / "out") if name in told]
    assert Path(summary["report"]).is_file()


def test_wandb_holds_a_record_of_each_run_and_the_report(call, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="W&B is not installed (extra wandb)")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "tracked"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "tracked").mkdir()
    tables = []

    class Noted(wandb.Table):
        def __init__(self, *words, **options):
            tables.append(options)
            super().__init__(*words, **options)

    monkeypatch.setattr(wandb, "Table", Noted)
    code, _, errors = call("--sink", "wandb")
    assert code == 0
    assert "sink" not in errors, errors
    (written,) = (tmp_path / "tracked" / "wandb").glob("offline-run-*/run-*.wandb")
    until = time.monotonic() + 30  # the client's own process still writes
    while written.stat().st_size <= 1000 and time.monotonic() < until:
        time.sleep(0.1)
    assert written.stat().st_size > 1000
    held = written.read_bytes()
    for name in (b"report.html", b"leaderboard.csv", b"demo_vit", b"runs_done"):
        assert name in held
    (table,) = tables
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    columns = list(table["columns"])
    assert {row[columns.index("run")] for row in table["data"]} == set(results["run"])
    for row in table["data"]:
        own = results[(results["run"] == row[0]) & (results["metric"] == "brier")]["value"]
        assert row[columns.index("brier")] == pytest.approx(own.iloc[0])


class Broken:
    """A tracker that fails at one of its calls."""

    def __init__(self, at: str) -> None:
        self.at, self.calls = at, []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.at:
            raise ConnectionError("no\nnetwork")

    def begin(self, benchmark):
        self._call("begin")

    def progress(self, finished, total, failed):
        self._call("progress")

    def end(self, ended):
        self._call("end")

    def close(self, whole):
        self._call(f"close {whole}")


@pytest.mark.parametrize("at", ["begin", "progress", "end", "close True", "never"])
def test_a_tracker_that_fails_is_told_once_and_left_out(at):
    said: list[str] = []
    broken, sound = Broken(at), Broken("never")
    with Sinks({"mlflow": broken, "wandb": sound}, said.append) as sinks:
        sinks.begin(Benchmark("small", "0", {}))
        sinks.progress(1, 2, 0)
        sinks.end(Ended([]))
    assert sound.calls == ["begin", "progress", "end", "close True"]
    if at == "never":
        assert not said
    else:
        assert broken.calls[-1] == at
        (sentence,) = said
        assert sentence.startswith("the sink mlflow failed and is left out (ConnectionError: no ")


def test_a_benchmark_ends_well_though_its_tracker_fails(call, tmp_path, monkeypatch):
    broken = Broken("progress")
    monkeypatch.setattr(
        Sinks, "named", classmethod(lambda cls, names, warn: cls({"mlflow": broken}, warn))
    )
    code, summary, errors = call("--sink", "mlflow")
    assert code == 0
    assert summary["states"] == {"done": 2}
    assert errors.count("the sink mlflow failed") == 1


def test_an_interrupted_benchmark_is_closed_as_such():
    sound = Broken("never")
    with pytest.raises(KeyboardInterrupt), Sinks({"mlflow": sound}, print) as sinks:
        sinks.begin(Benchmark("small", "0", {}))
        raise KeyboardInterrupt
    assert sound.calls == ["begin", "close False"]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_client_that_is_missing_is_a_sentence(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"prognobench.sinks.to_{name}", raising=False)
    with pytest.raises(UserError, match=rf"pip install 'prognobench\[{name}\]'"):
        Sinks.named([name], print)


def test_records_have_what_is_known_and_no_reason():
    empty = dict.fromkeys(
        ("shots", "level", "fold", "episode", "lr", "validation_score", "train_seconds")
    )
    common = {"dataset": "mhh", "endpoint": "icu", "backbone": "demo_vit", "seed": 42, **empty}
    common |= {"strategy": "linear", "regime": "full_data", "split": "fold0"}
    common |= {"trainable_parameters": 65}
    runs = pd.DataFrame(
        [
            {**common, "run": "a", "state": "done", "reason": None},
            {**common, "run": "b", "state": "failed", "reason": "image of PAT-1 is broken"},
            {**common, "run": "c", "state": "pending", "reason": None},
        ]
    )
    results = pd.DataFrame(
        {"run": ["a", "a"], "metric": ["mcc", "auroc"], "value": [0.5, float("nan")]}
    )
    done, failed = records(runs, results)
    assert done == Record(
        run="a",
        done=True,
        parameters={
            **{name: common[name] for name in ("dataset", "endpoint", "backbone", "strategy")},
            **{"regime": "full_data", "split": "fold0", "seed": 42},
        },
        metrics={"mcc": 0.5, "trainable_parameters": 65.0},
    )
    assert not failed.done
    assert "PAT-1" not in str(failed)
