"""Exported models give the benchmark's own numbers, from the image files."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest
from exported import SPEC, export, run
from peft import PeftModel
from scipy.special import expit, logit

import prognobench
from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.backbones.separate_qkv import separate_qkv
from prognobench.cli import main
from prognobench.cohorts.load import load_cohort
from prognobench.errors import UserError
from prognobench.evaluation.patients import patient_predictions
from prognobench.evaluation.recalibration import Recalibration
from prognobench.evaluation.tables import leaderboard
from prognobench.export.card import write_card
from prognobench.export.choice import Asked, _findings, choose
from prognobench.files import file_digest
from prognobench.prediction.folder import SUMS
from prognobench.results.store import ResultsStore
from prognobench.spec import EvaluationSpec


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return run(tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def runs(benchmark):
    store = ResultsStore(benchmark)
    yield store.runs()
    store.close()


@pytest.fixture(scope="module")
def lora_model(benchmark, runs, tmp_path_factory):
    """The model of a run of LoRA on the transformer."""
    target = tmp_path_factory.mktemp("models") / "lora"
    export(benchmark, target, run=one_run(runs, VIT, "lora")["run"])
    return target


@pytest.fixture(scope="module")
def cohort():
    """The synthetic cohort as image files: its table and its folder."""
    options = {key: value for key, value in SPEC["cohort"].items() if key != "policy"}
    return load_cohort(options)


def one_run(runs, backbone, strategy, fold=0):
    own = runs[(runs["backbone"] == backbone) & (runs["strategy"] == strategy)]
    return own[own["fold"] == fold].iloc[0]


def files_of(cohort, image_ids):
    paths = cohort.table.set_index("image_id")["path"]
    return [cohort.root / paths[image_id] for image_id in image_ids]


VIT, CNN = "demo_vit", "efficientnet_lite0 32px"


@pytest.mark.parametrize(
    ("backbone", "strategy"),
    [
        (VIT, "linear"),
        (VIT, "lora"),
        (CNN, "full"),
        (CNN, "bitfit"),
        *(
            pytest.param(*cell, marks=pytest.mark.slow)
            for cell in ((VIT, "bitfit"), (VIT, "full"), (CNN, "linear"), (CNN, "lora"))
        ),
    ],
)
def test_a_picked_run_gives_its_stored_predictions(
    benchmark, runs, cohort, backbone, strategy, tmp_path
):
    row = one_run(runs, backbone, strategy)
    written = export(benchmark, tmp_path / "model", run=row["run"])
    stored = pd.read_parquet(benchmark / "predictions" / f"{row['run']}.parquet")
    stored = stored[stored["part"] == "test"]
    files = files_of(cohort, stored["image_id"])
    model = prognobench.load_model(tmp_path / "model")
    predicted = model.predict(files)
    assert predicted["path"].tolist() == [str(path) for path in files]
    np.testing.assert_allclose(predicted["logit"], stored["logit"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(predicted["probability"], stored["probability"], atol=1e-5, rtol=0)
    shift = row["prior_logit_shift"]
    assert shift != 0
    np.testing.assert_allclose(
        predicted["corrected"], expit(stored["logit"] - shift), atol=1e-5, rtol=0
    )
    own = patient_predictions(stored, shift)
    averaged = model.average(predicted, stored["patient_id"].tolist())
    assert averaged["patient_id"].tolist() == own.patient_id.tolist()
    assert averaged["images"].max() > 1
    np.testing.assert_allclose(averaged["probability"], own.probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose(averaged["corrected"], own.corrected, atol=1e-5, rtol=0)
    assert (averaged["positive"] == (averaged["probability"] >= row["threshold"])).all()
    assert written.largest_difference < 1e-5


def test_a_run_whose_model_was_not_kept_is_trained_again_and_proven(
    benchmark, runs, cohort, lora_model, tmp_path
):
    row = one_run(runs, "demo_vit", "lora")
    copy = shutil.copytree(benchmark, tmp_path / "copy")
    shutil.rmtree(copy / "models")
    again = export(copy, tmp_path / "again", run=row["run"][:8])
    assert again.about.origin["run"] == row["run"]
    kept, trained = (prognobench.load_model(path) for path in (lora_model, tmp_path / "again"))
    files = files_of(cohort, cohort.table["image_id"][:3])
    np.testing.assert_allclose(
        kept.predict(files)["logit"], trained.predict(files)["logit"], atol=1e-5, rtol=0
    )
    assert again.largest_difference < 1e-5
    # What it predicted is what it must predict again: other stored numbers are refused.
    path = copy / "predictions" / f"{row['run']}.parquet"
    stored = pd.read_parquet(path)
    stored.assign(probability=stored["probability"] * 0.99).to_parquet(path, index=False)
    with contextlib.closing(sqlite3.connect(copy / "results.db")) as database, database:
        values = (file_digest(path), row["run"])
        database.execute("UPDATE runs SET predictions_sha256 = ? WHERE run = ?", values)
    with pytest.raises(UserError, match="trained again here its predictions differ"):
        export(copy, tmp_path / "other", run=row["run"])
    assert not (tmp_path / "other").exists()


def test_findings_do_without_an_interval():
    row = dict.fromkeys(("ci_low", "ci_high", "control_low", "control_high"))
    row |= {"metric": "mcc", "estimate": 1.0, "rank": 1, "best_group": True, "backbone": "a"}
    row |= {"state": "done"}
    row |= {"strategy": "lora", "control": "prevalence", "control_difference": 1.0}
    *_, last = _findings(row | {"beats_controls": False, "n_failed": 0}, [row])
    assert "the control 'prevalence' (difference 1.00, no interval)" in last


def test_findings_name_who_has_runs_missing_and_not_who_cannot_be():
    row = {"metric": "mcc", "estimate": 1.0, "best_group": True, "backbone": "a", "control": None}
    row |= {"ci_low": 0.9, "ci_high": 1.0, "n_failed": 0}
    states = {"lora": "done", "full": "partial", "linear": "pending", "bitfit": "not_applicable"}
    rows = [
        row | {"strategy": name, "state": state, "rank": rank}
        for rank, (name, state) in enumerate(states.items(), start=1)
    ]
    for own in rows[2:]:
        own |= {"estimate": None, "rank": None, "best_group": False}
    assert not any("another may turn out" in line for line in _findings(rows[0], rows))
    leading = [row | {"strategy": "vera", "state": "partial", "rank": 1}, rows[1]]
    told = " ".join(_findings(leading[1], leading))
    assert "cannot be told apart from the best, a with vera" in told
    assert "All candidates have runs missing" in told
    _, missing, *rest = _findings(rows[0], rows)
    assert missing == "Not compared, because runs are missing: a with full, a with linear."
    assert not any("told apart" in line for line in rest)
    assert (
        "has runs missing and is not compared with the best, a with lora"
        in _findings(rows[1], rows)[1]
    )


def test_the_best_is_trained_anew_on_everybody(benchmark, runs, cohort, tmp_path):
    written = export(benchmark, tmp_path / "model", backbone="demo_vit", strategy="lora")
    about = written.about
    words = " ".join(written.findings)
    assert "chosen by the user" in words or "has the best estimate of 8 candidates" in words
    assert "the control 'prevalence'" in words or about.performance["control"]["beaten"]
    assert about.performance["refitted"]
    trained = about.training["patients"]
    assert trained["train"] + trained["val"] == about.training["task_patients"] == 30
    assert trained["test"] == 0
    assert set(about.origin["run"]) and about.origin["run"] not in set(runs["run"])
    assert written.largest_difference < 1e-5
    text = (tmp_path / "model" / "README.md").read_text()
    for words in ("research only", "icu", "Not validated outside", "Apache-2.0", "Subgroups"):
        assert words in text
    for word in ("recommended", str(tmp_path), str(cohort.root)):
        assert word not in text + (tmp_path / "model" / "export.json").read_text()
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".md", ""}
    assert (tmp_path / "model" / SUMS).is_file()


def test_an_adapter_is_one_that_peft_reads_alone(lora_model):
    backbone = load_backbone(get_entry("demo_vit"))
    separate_qkv(backbone)
    wrapped = PeftModel.from_pretrained(backbone.network, str(lora_model / "trained"))
    assert any("lora_A" in name for name, _ in wrapped.named_parameters())


def test_the_backbone_s_weights_can_be_carried_along(
    benchmark, runs, cohort, tmp_path, monkeypatch
):
    row = one_run(runs, "efficientnet_lite0 32px", "bitfit")
    export(benchmark, tmp_path / "with", run=row["run"], include_backbone=True)
    plain = export(benchmark, tmp_path / "without", run=row["run"])
    assert not plain.about.backbone.included
    files = [cohort.root / path for path in cohort.table["path"][:3]]
    expected = prognobench.load_model(tmp_path / "without").predict(files)

    def gone(entry):
        raise UserError("the weights are gone")

    monkeypatch.setattr("prognobench.backbones.weights.locate", gone)
    with pytest.raises(UserError, match="are gone"):
        prognobench.load_model(tmp_path / "without")
    alone = prognobench.load_model(tmp_path / "with").predict(files)
    pd.testing.assert_frame_equal(alone, expected)


@pytest.mark.slow
def test_full_fine_tuning_needs_no_pretrained_weights(benchmark, runs, tmp_path, monkeypatch):
    row = one_run(runs, "demo_vit", "full")
    export(benchmark, tmp_path / "model", run=row["run"])

    def gone(entry):
        raise UserError("the weights are gone")

    monkeypatch.setattr("prognobench.backbones.weights.locate", gone)
    prognobench.load_model(tmp_path / "model")


def test_weights_that_must_not_be_passed_on_are_not(benchmark, tmp_path, monkeypatch):
    import dataclasses

    from prognobench.export import export as module

    entry = dataclasses.replace(get_entry("demo_vit"), license="DINOv3 licence")
    with pytest.raises(UserError, match="leave out --include-backbone"):
        module._check_license(entry, include_backbone=True)
    module._check_license(entry, include_backbone=False)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"task": "synthetic/icuu"}, "did you mean 'synthetic/icu'"),
        ({"backbone": "demo_vitt"}, "did you mean 'demo_vit'"),
        ({"strategy": "lorra"}, "did you mean 'lora'"),
        ({"regime": "few_shot"}, "there is no regime 'few_shot'"),
        ({"run": "zzz"}, "there is no run 'zzz'"),
        ({"calibration": "logistic"}, "--calibration logistic cannot be fitted"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(benchmark, tmp_path, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        export(benchmark, tmp_path / "model", **asked)
    assert not list(tmp_path.iterdir())


def test_a_run_whose_learning_rate_was_not_chosen_is_described_by_no_number(runs):
    row = one_run(runs, "demo_vit", "lora")
    other = row.to_dict() | {"run": "other", "lr": 1.0, "validation_score": -9.0}
    grid = pd.concat([runs, pd.DataFrame([other])], ignore_index=True)
    asked = (None, EvaluationSpec())
    with pytest.raises(UserError, match=f"validation did not choose.*name '{row['run']}'"):
        choose(grid, *asked, Asked(run="other"), {})
    grid.loc[grid["run"] == row["run"], "state"] = "pending"
    with pytest.raises(UserError, match="not known before all are done"):
        choose(grid, *asked, Asked(run="other"), {})


def test_intervals_are_of_the_draws_that_the_whole_benchmark_has(benchmark, runs):
    store = ResultsStore(benchmark)
    row = one_run(runs, "demo_vit", "lora")
    evaluation = EvaluationSpec(replicates=100)
    known = {str(own) for own in store.predictions(row["run"])["patient_id"]}
    # Another regime may test patients whom this one leaves out.
    tested = {("synthetic", "icu"): known | {"left out by this regime"}}
    found = choose(runs, store.predictions, evaluation, Asked(run=row["run"]), tested)
    both = {
        name: leaderboard(runs, store.predictions, replicates=100, tested=own)
        .set_index(["backbone", "strategy"])
        .loc[("demo_vit", "lora")]
        for name, own in (("whole", tested), ("alone", None))
    }
    store.close()
    ends = ["ci_low", "ci_high", "difference_low", "control_low"]
    assert [found.row[name] for name in ends] == both["whole"][ends].tolist()
    assert both["whole"]["ci_low"] != both["alone"]["ci_low"]


def test_a_calibration_that_was_asked_for_was_not_chosen(benchmark, runs, tmp_path):
    row = one_run(runs, "demo_vit", "linear")
    export(benchmark, tmp_path / "model", run=row["run"], calibration="none")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "so it was asked for, and no other method was tried" in card
    about = prognobench.load_model(tmp_path / "model").about
    fitted = about.calibration.model_copy(
        update={"method": "logistic", "about": about.calibration.about | {"events": 30}}
    )
    for asked, words in (("logistic", "method that was asked for"), (None, "chosen by the log")):
        own = fitted.model_copy(update={"about": fitted.about | {"asked_for": asked}})
        assert words in write_card(about.model_copy(update={"calibration": own}))


def test_a_control_is_no_model(benchmark, runs, tmp_path):
    control = runs[runs["backbone"] == "control"].iloc[0]["run"]
    with pytest.raises(UserError, match="is a control"):
        export(benchmark, tmp_path / "model", run=control)


def test_predict_on_the_command_line(benchmark, runs, cohort, tmp_path, monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr("sys.argv", ["prognobench", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    row = one_run(runs, "demo_vit", "linear")
    model = tmp_path / "model"
    code, out, _ = call("export", benchmark, "--run", row["run"], "--output", model, "--json")
    assert (code, json.loads(out)["run"]) == (0, row["run"])
    folder = tmp_path / "images"
    folder.mkdir()
    for number, path in enumerate(cohort.table["path"][:3]):
        shutil.copy(cohort.root / path, folder / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    code, out, errors = call("predict", model, folder)
    assert code == 0
    assert "For research only" in errors
    assert "3 of 3 images predicted, 1 other files" in errors
    rows = pd.read_csv(pd.io.common.StringIO(out))
    assert rows["calibrated"].between(0, 1).all()
    expected = prognobench.load_model(model).predict(folder)
    np.testing.assert_allclose(rows["logit"], expected["logit"], atol=1e-12)
    # A broken file is named and counted, and the others are predicted.
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    code, out, errors = call("predict", model, folder, "--json")
    found = json.loads(out)
    assert code == 1
    assert [own["path"] for own in found["unreadable"]] == [str(folder / "broken.png")]
    assert sum(own["logit"] is not None for own in found["predictions"]) == 3
    assert "broken.png" in errors and "1 unreadable" in errors
    assert call("predict", model, folder / "broken.png")[0] == 2
    # Patients, averaged.
    table = tmp_path / "patients.csv"
    table.write_text("path,patient_id\nimages/0.png,a\nimages/1.png,a\nimages/2.png,b\n")
    written = tmp_path / "predicted.csv"
    assert call("predict", model, "--patients", table, "--output", written)[0] == 0
    patients = pd.read_csv(written)
    assert patients["patient_id"].tolist() == ["a", "b"]
    assert patients["images"].tolist() == [2, 1]
    mean = expected["probability"][:2].mean()
    assert patients["probability"][0] == pytest.approx(mean, abs=1e-7)


def test_recalibration_is_applied_to_the_patient_s_mean(lora_model, cohort):
    model = prognobench.load_model(lora_model)
    model._recalibrate = Recalibration("logistic", -0.3, 1.7)
    predicted = model.predict([cohort.root / path for path in cohort.table["path"][:2]])
    averaged = model.average(predicted, ["a", "a"])
    mean = predicted["corrected"].mean()
    assert averaged["calibrated"][0] == pytest.approx(expit(-0.3 + 1.7 * logit(mean)))
