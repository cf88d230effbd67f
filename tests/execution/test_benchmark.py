"""A whole small benchmark: what it leaves, resuming, company, damage, bad images."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.cohorts.manifest import write_manifest
from prognobench.cohorts.sources.synthetic import synthetic_cohort
from prognobench.errors import UserError
from prognobench.execution import local
from prognobench.execution.benchmark import sole_use
from prognobench.execution.prepare import prepare
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec
from undrawn import undrawn

SMALL = {
    "name": "small",
    "cohort": {"source": "synthetic", "patients": 60, "seed": 3},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear", "bitfit"],
    "regimes": [
        {"name": "full_data", "folds": 3},
        {"name": "few_shot", "shots": [2, 50], "episodes": 3, "folds": 3},
    ],
    # In bfloat16, which some machines take by themselves, company changes more than rounding.
    "recipe": {"epochs": 2, "few_shot_steps": 3, "batch_size": 8, "precision": "float32"},
    "evaluation": {"replicates": 100},
    "controls": [],
    "audit": {"near_duplicates": False},
    "report": {"saliency": False},
}


def spec(**changes):
    return parse_spec({**SMALL, **changes}, "spec")


def run(output, limit=None, **changes):
    with undrawn():
        run_spec(spec(**changes), output, limit, Device.CPU)


def all_predictions(output):
    store = ResultsStore(output)
    table = store.runs()
    found = {run: store.predictions(run) for run in table.loc[table["state"] == "done", "run"]}
    store.close()
    return found


def same_results(alone, output):
    """Hold the results of a benchmark against those of another way of running it."""
    expected, found = all_predictions(alone), all_predictions(output)
    assert expected.keys() == found.keys()
    for run, predictions in found.items():
        np.testing.assert_allclose(predictions["logit"], expected[run]["logit"], atol=1e-3)
        same = [name for name in predictions if name not in {"logit", "probability"}]
        pd.testing.assert_frame_equal(predictions[same], expected[run][same])
    first, second = (pd.read_csv(own / "leaderboard.csv") for own in (alone, output))
    np.testing.assert_allclose(first["estimate"], second["estimate"], atol=1e-3)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The output of an undisturbed run, with the whole audit and the maps."""
    output = tmp_path_factory.mktemp("done") / "out"
    run_spec(spec(audit={}, report={}), output, None, Device.CPU)
    return output


def test_the_output_folder_is_as_designed(done):
    for name in (
        "benchmark.yaml",
        "cohort/manifest.parquet",
        "cohort/audit.json",
        "cohort/contact_sheet.png",
        "results.db",
        "results.csv",
        "leaderboard.csv",
        "report/index.html",
    ):
        assert (done / name).is_file(), name
    assert len(list((done / "splits").glob("*.csv"))) == 6  # 3 folds, 3 episodes of 2 shots
    assert len(list((done / "predictions").glob("*.parquet"))) == 12
    leaderboard = pd.read_csv(done / "leaderboard.csv")
    assert len(leaderboard) == 6
    complete = leaderboard[leaderboard["shots"] != 50]
    assert (complete["ci_low"] <= complete["estimate"]).all()
    assert (complete["estimate"] <= complete["ci_high"]).all()
    impossible = leaderboard[leaderboard["shots"] == 50]
    assert set(impossible["state"]) == {"not_feasible"}
    assert impossible["estimate"].isna().all()
    assert impossible["reason"].str.contains("50 shots need 50 patients").all()


def test_no_patient_is_named_but_where_runs_are_gone_on_with(done):
    """By default, with pictures: in the page, its figures and tables, the tables of results, the
    log. The cohort with its audit (which says what to mend), splits, predictions, the database and
    what an evaluation goes on with are the benchmark itself."""
    manifest = pd.read_parquet(done / "cohort" / "manifest.parquet")
    names = {str(name).encode() for name in {*manifest["patient_id"], *manifest["image_id"]}}
    names |= {os.fsencode(path) for path in manifest["path"]}
    naming = {
        path.relative_to(done).parts[0]
        for path in done.rglob("*")
        if path.is_file() and any(name in path.read_bytes() for name in names)
    }
    database = {"results.db", "results.db-wal"}
    assert naming <= {"cohort", "splits", "predictions", ".evaluated_candidates", *database}
    assert {"cohort", "splits"} <= naming


def test_metrics_are_those_of_scikit_learn_on_the_stored_predictions(done):
    results = pd.read_csv(done / "results.csv")
    for run_id, predictions in all_predictions(done).items():
        test = predictions[predictions["part"] == "test"]
        patients = test.groupby("patient_id").agg(
            target=("target", "first"), probability=("probability", "mean")
        )
        values = results[results["run"] == run_id].set_index("metric")["value"]
        called = patients["probability"] >= 0.5
        assert values["mcc"] == pytest.approx(matthews_corrcoef(patients["target"], called))
        expected = roc_auc_score(patients["target"], patients["probability"])
        assert values["auroc"] == pytest.approx(expected)
        expected = average_precision_score(patients["target"], patients["probability"])
        assert values["pr_auc"] == pytest.approx(expected)


def test_no_patient_is_in_two_parts_and_predictions_follow_the_written_splits(done):
    store = ResultsStore(done)
    runs = store.runs().set_index("run")
    store.close()
    for run_id, predictions in all_predictions(done).items():
        parts = predictions.groupby("patient_id")["part"].nunique()
        assert (parts == 1).all()
        path = done / "splits" / f"synthetic-mortality-{runs.loc[run_id, 'split']}.csv"
        written = pd.read_csv(path, dtype=str).set_index("patient_id")["part"]
        own = predictions.drop_duplicates("patient_id").set_index("patient_id")["part"]
        assert own.sort_index().equals(written.sort_index())


def test_nothing_done_is_done_again(done, tmp_path, monkeypatch):
    output = tmp_path / "out"
    shutil.copytree(done, output)
    before = (output / "results.csv").read_bytes(), (output / "leaderboard.csv").read_bytes()
    monkeypatch.setattr(local.Worker, "work", lambda *_: pytest.fail("a run was done again"))
    run(output)
    after = (output / "results.csv").read_bytes(), (output / "leaderboard.csv").read_bytes()
    assert before == after


def noted_as_done(output, copy):
    """Return the runs that a database says are done; a copy is read, as reading would mend it."""
    copy.mkdir()
    for path in output.glob("results.db*"):
        shutil.copy(path, copy)
    with contextlib.closing(sqlite3.connect(copy / "results.db")) as connection:
        rows = connection.execute("SELECT run FROM runs WHERE state = 'done'").fetchall()
    return {run for (run,) in rows}


@pytest.mark.slow  # tests/faults kills ten forked drivers; here the command itself is started
def test_a_killed_benchmark_goes_on_and_ends_the_same(done, tmp_path):
    output = tmp_path / "out"
    path = tmp_path / "spec.yaml"
    path.write_text(spec().as_yaml())
    command = [sys.executable, "-m", "prognobench", "run", str(path), "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # More than the six linear probes, which are noted at once after all their files.
    while len(list((output / "predictions").glob("[!.]*.parquet"))) < 7 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p.stem: p.stat().st_mtime_ns for p in (output / "predictions").glob("[!.]*.parquet")}
    assert len(kept) < 12
    finished = noted_as_done(output, tmp_path / "copy")
    assert 6 <= len(finished) <= len(kept)
    run(output)
    again = {p.stem: p.stat().st_mtime_ns for p in (output / "predictions").glob("[!.]*.parquet")}
    store = ResultsStore(output)
    attempts = store.runs().set_index("run")["attempts"]
    store.close()
    assert len(again) == 12
    assert all(again[name] == kept[name] and attempts[name] == 1 for name in finished)
    assert attempts.max() <= 2
    expected = all_predictions(done)
    for run_id, predictions in all_predictions(output).items():
        np.testing.assert_allclose(predictions["logit"], expected[run_id]["logit"], atol=1e-4)
    first, second = (pd.read_csv(own / "leaderboard.csv") for own in (done, output))
    np.testing.assert_allclose(first["estimate"], second["estimate"], atol=1e-6)


def test_a_result_does_not_depend_on_its_company(done, tmp_path):
    output = tmp_path / "out"
    run(
        output,
        strategies=["bitfit"],
        regimes=[{"name": "few_shot", "shots": [2], "episodes": 2, "folds": 3}],
        endpoints=["mortality"],
    )
    alone = all_predictions(output)
    together = all_predictions(done)
    assert len(alone) == 2
    for run_id, predictions in alone.items():
        np.testing.assert_allclose(predictions["logit"], together[run_id]["logit"], atol=1e-4)


def test_what_can_change_a_result_changes_its_identity():
    base = prepare(spec())
    ids = {one.id for one in base.runs}
    assert len(ids) == len(base.runs)
    for change in (
        {"recipe": {**SMALL["recipe"], "head_lr": 0.5}},
        {"seeds": [1]},
        {"cohort": {**SMALL["cohort"], "policy": "all"}},
        {"endpoints": ["icu"]},
        {"strategies": [{"name": "linear", "fixed_C": 7.0}, {"name": "bitfit", "lr": 0.1}]},
    ):
        assert not ids & {one.id for one in prepare(spec(**change)).runs}, change
    renamed = prepare(spec(name="another", evaluation={"replicates": 200}))
    assert {one.id for one in renamed.runs} == ids


def test_what_a_control_reads_changes_its_identity_and_no_other_run_s(tmp_path):
    cohort = synthetic_cohort(60, 3, tmp_path)

    def ids(column, values):
        path = tmp_path / f"{column}.csv"
        write_manifest(replace(cohort, table=cohort.table.assign(**{column: values})), path)
        asked = {"manifest": str(path), "policy": "all"}
        made = prepare(spec(cohort=asked, controls=["view_and_site", "clinical"]))
        return {one.id for one in made.controls}, {one.id for one in made.runs}

    controls, runs = ids("view", cohort.table["view"])
    views = np.where(np.arange(len(cohort.table)) % 2, "AP", "PA")
    changed, same = ids("view", views)
    assert not controls & changed
    assert runs == same
    later = cohort.table["patient_id"].duplicated()
    age = cohort.table["age"].where(~later, 1.0)
    assert later.any()
    changed, same = ids("age", age)
    assert not controls & changed
    assert runs == same


@pytest.mark.parametrize(
    "changes",
    [
        {"strategies": ["linear", {"name": "linear", "fixed_C": [0.01, 0.1]}]},
        {"backbones": ["demo_vit", {"name": "demo_vit", "title": "another"}]},
    ],
)
def test_two_labels_of_one_candidate_are_a_sentence(changes):
    with pytest.raises(UserError, match=r"'linear.*on 'demo_vit'.* one and the same candidate"):
        prepare(spec(**changes))


def test_altered_predictions_are_found_and_made_anew(done, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(done, output)
    first, second = sorted((output / "predictions").glob("*.parquet"))[:2]
    good = first.read_bytes()
    first.write_bytes(good[:-7] + b"garbage")
    second.unlink()
    run(output)
    # Trained beside fewer others, which float32 rounds in another way.
    same_results(done, output)
    assert second.is_file()


def test_a_failing_run_is_named_and_stops_nothing(tmp_path, monkeypatch):
    import typer

    original = local.Worker.work

    def sometimes(self, group, images, started):
        broken = {own.id for own in group if own.strategy == "bitfit" and own.split.fold == 1}
        for name, result in original(self, group, images, started):
            yield name, RuntimeError("the loss\nbecame nan") if name in broken else result

    monkeypatch.setattr(local.Worker, "work", sometimes)
    output = tmp_path / "out"
    with pytest.raises(typer.Exit) as caught:
        run(output)
    assert caught.value.exit_code == 1
    results = pd.read_csv(output / "results.csv")
    failed = results[results["reason"] == "RuntimeError: the loss became nan"]
    assert len(failed["run"].unique()) == 2
    assert failed["value"].isna().all()
    monkeypatch.setattr(local.Worker, "work", original)
    run(output)
    assert len(all_predictions(output)) == 12


def test_an_interruption_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    original = local.Worker.work
    done_before = []

    def interrupted(self, group, images, started):
        for name, result in original(self, group, images, started):
            if len(done_before) == 3:
                raise KeyboardInterrupt
            done_before.append(name)
            yield name, result

    monkeypatch.setattr(local.Worker, "work", interrupted)
    with pytest.raises(SystemExit) as caught:
        run(tmp_path / "out")
    assert caught.value.code == 130
    assert "what is finished is kept" in capsys.readouterr().err
    assert set(all_predictions(tmp_path / "out")) == set(done_before)
    monkeypatch.setattr(local.Worker, "work", original)
    run(tmp_path / "out")
    assert len(all_predictions(tmp_path / "out")) == 12


def test_limit_does_only_so_many(tmp_path):
    output = tmp_path / "out"
    run(output, limit=2)
    assert len(all_predictions(output)) == 2
    assert (output / "report" / "index.html").is_file()


def test_a_second_run_on_the_same_output_says_so(tmp_path):
    with sole_use(tmp_path / "out"), pytest.raises(UserError, match="another run is working on"):
        run(tmp_path / "out")


def test_an_unwritable_output_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used"):
        run(tmp_path / "file" / "out")


def manifest_of(tmp_path, images):
    """Write a manifest of the synthetic cohort with its images beside it."""
    from prognobench.cohorts.load import load_cohort
    from prognobench.cohorts.task import select_task

    cohort = load_cohort({"source": "synthetic", "patients": 60, "seed": 3})
    table = select_task(cohort, "mortality").cohort.table[
        ["image_id", "patient_id", "path", "mortality"]
    ]
    for path in table["path"]:
        target = images / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cohort.root / path, target)
    table.to_csv(tmp_path / "own.csv", index=False)
    return table


def test_broken_images_are_dropped_and_counted(tmp_path):
    images = tmp_path / "images"
    table = manifest_of(tmp_path, images)
    broken, missing = table["path"].iloc[:2]
    (images / broken).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (images / missing).unlink()
    output = tmp_path / "out"
    run(output, limit=1, cohort={"manifest": str(tmp_path / "own.csv"), "root": str(images)})
    flow = json.loads((output / "cohort" / "cohort.json").read_text())["flows"]["own/mortality"]
    dropped = {step["step"]: step["images"] for step in flow}
    assert dropped["unreadable_image"] == 1
    assert dropped["missing_file"] == 1
    assert flow[-1]["patients"] == 58
    assert "cannot be read" in (output / "report" / "index.html").read_text()


def test_a_cohort_without_any_readable_image_is_a_sentence(tmp_path):
    images = tmp_path / "images"
    table = manifest_of(tmp_path, images)
    for path in table["path"]:
        (images / path).write_bytes(b"nothing")
    with pytest.raises(UserError, match="none of the 60 images"):
        prepare(spec(cohort={"manifest": str(tmp_path / "own.csv"), "root": str(images)}))
