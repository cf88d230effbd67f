"""Exported models of scores and of times give the benchmark's own numbers, from the image files."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from exported import export, run

import prognobench
from prognobench.cli import main
from prognobench.cohorts.load import load_cohort
from prognobench.errors import UserError
from prognobench.evaluation.kinds import read_patients
from prognobench.evaluation.times import event_risk
from prognobench.export.contents import _outcome
from prognobench.results.store import ResultsStore

SCORES, TIMES = "severity_score", "survival"
COLUMNS = {SCORES: ["score", "level"], TIMES: ["log_hazard", "risk"]}
KINDS = {SCORES: "ordinal", TIMES: "time_to_event"}


def made(folder, strategy):
    # Few patients have one score in all images: the policy of the others would leave nothing.
    return run(
        folder,
        cohort={"source": "synthetic", "patients": 40, "seed": 3},
        endpoints=[SCORES, TIMES],
        backbones=["demo_vit"],
        strategies=[strategy],
        regimes=[
            {"name": "full_data", "folds": 2, "validation_fraction": 0.4},
            {"name": "few_shot", "shots": [2], "folds": 2, "episodes": 1},
        ],
        recipe={"epochs": 1, "few_shot_steps": 3},
        save_models=False,
    )


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return made(tmp_path_factory.mktemp("benchmark"), "linear")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    return made(tmp_path_factory.mktemp("adapted"), {"name": "lora", "r": 2})


def one_run(benchmark, endpoint, regime):
    store = ResultsStore(benchmark)
    runs = store.runs()
    store.close()
    own = runs[(runs["endpoint"] == endpoint) & (runs["backbone"] == "demo_vit")]
    return own[own["regime"] == regime].iloc[0]


@pytest.fixture(scope="module")
def cohort():
    return load_cohort({"source": "synthetic", "patients": 40, "seed": 3})


def predicted(benchmark, cohort, row, folder):
    """Export a run; return its stored test predictions, the model and what it predicts of them."""
    written = export(benchmark, folder, run=row["run"])
    assert written.largest_difference < 1e-5
    stored = pd.read_parquet(benchmark / "predictions" / f"{row['run']}.parquet")
    paths = cohort.table.set_index("image_id")["path"]
    tested = stored[stored["part"] == "test"]
    model = prognobench.load_model(folder)
    return stored, model, model.predict([cohort.root / paths[own] for own in tested["image_id"]])


@pytest.mark.parametrize(("endpoint", "regime"), [(SCORES, "full_data"), (TIMES, "few_shot")])
def test_a_run_gives_its_stored_predictions(benchmark, cohort, endpoint, regime, tmp_path):
    check_stored(benchmark, cohort, endpoint, regime, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("endpoint", "regime"), [(SCORES, "few_shot"), (TIMES, "full_data")])
def test_a_run_of_lora_gives_its_stored_predictions(adapted, cohort, endpoint, regime, tmp_path):
    check_stored(adapted, cohort, endpoint, regime, tmp_path)


def check_stored(benchmark, cohort, endpoint, regime, tmp_path):
    row = one_run(benchmark, endpoint, regime)
    stored, model, found = predicted(benchmark, cohort, row, tmp_path / "model")
    tested = stored[stored["part"] == "test"]
    value, judged = COLUMNS[endpoint]
    assert list(found) == ["path", value, judged, "error"]
    np.testing.assert_allclose(found[value], tested[value], atol=1e-5, rtol=0)
    assert np.ptp(found[value]) > 1e-3
    shift = float(row["prior_logit_shift"])
    # Two images a patient: the mean of what is stored, as evaluation has it.
    names = [f"{number // 2:03d}" for number in range(len(tested))]
    averaged = model.average(found, names)
    assert averaged["images"].max() == 2
    pooled = stored.assign(patient_id=stored["patient_id"].astype(object))
    pooled.loc[pooled["part"] == "test", "patient_id"] = names
    pooled.loc[pooled["part"] == "test", "target"] = stored["target"].max()
    own = read_patients(KINDS[endpoint], pooled, shift, "patient")
    assert averaged["patient_id"].tolist() == own.patient_id.tolist()
    if endpoint == SCORES:
        assert averaged["level"].tolist() == own.predicted.tolist()
        assert (found["level"] == np.floor(found["score"] + 0.5)).all()
        return
    np.testing.assert_allclose(averaged["log_hazard"], own.log_hazard, atol=1e-5, rtol=0)
    train = stored[stored["part"] == "train"]
    horizon = train.loc[train["target"] > 0, "target"].median()
    assert model.about.outcome.horizon == horizon
    np.testing.assert_allclose(averaged["risk"], event_risk(pooled, horizon, shift), atol=1e-5)
    assert averaged["risk"].between(0.01, 0.99).any()
    assert (shift != 0) == (regime == "few_shot")


@pytest.mark.parametrize("endpoint", [SCORES, TIMES])
def test_the_best_is_trained_anew_with_a_card_that_speaks_of_no_probability(
    benchmark, cohort, endpoint, tmp_path, monkeypatch, capsys
):
    def call(*words):
        monkeypatch.setattr("sys.argv", ["prognobench", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, " ".join(captured.err.split())

    model = tmp_path / "model"
    code, out, _ = call("export", benchmark, "--task", endpoint, "--output", model, "--json")
    told = json.loads(out)
    assert (code, told["thresholds"], told["calibration"]) == (0, None, None)
    assert told["outcome"]["kind"] == KINDS[endpoint]
    card = (model / "README.md").read_text()
    assert "threshold" not in card and "probability of:" not in card
    assert {SCORES: "`score` is the predicted", TIMES: "`risk` is the predicted"}[endpoint] in card
    assert {SCORES: "| Quadratic kappa |", TIMES: "| C-index (IPCW) |"}[endpoint] in card
    assert ("had the event." in card) == (endpoint == TIMES)
    image = cohort.root / cohort.table["path"].iloc[0]
    code, out, _ = call("predict", model, image, "--json")
    (one,) = json.loads(out)["predictions"]
    assert code == 0
    assert set(one) == {"path", *COLUMNS[endpoint], "error"}
    code, _, errors = call("predict", model, image, "--threshold", "validated")
    assert code == 2
    assert f"the model of '{endpoint}' predicts no event that happens or not" in errors
    words = ("export", benchmark, "--task", endpoint, "--output", tmp_path / "no")
    code, _, errors = call(*words, "--calibration", "logistic")
    assert code == 2
    assert "only probabilities of an event that happens or not are recalibrated" in errors


def test_a_file_that_cannot_be_read_has_no_level(benchmark, cohort, tmp_path):
    row = one_run(benchmark, SCORES, "full_data")
    _, model, _ = predicted(benchmark, cohort, row, tmp_path / "model")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (found,) = model.predict(broken).to_dict("records")
    assert found["error"] and pd.isna(found["score"]) and pd.isna(found["level"])
    assert model.average(model.predict(broken), ["a"]).empty


def test_a_changed_stored_prediction_is_no_longer_the_model(benchmark, tmp_path, monkeypatch):
    row = one_run(benchmark, TIMES, "full_data")
    kept = ResultsStore.predictions

    def changed(store, name):
        return kept(store, name).assign(log_hazard=lambda own: own["log_hazard"] * 1.01)

    monkeypatch.setattr(ResultsStore, "predictions", changed)
    with pytest.raises(UserError, match="trained again here its predictions differ"):
        export(benchmark, tmp_path / "model", run=row["run"])


def test_the_hazard_is_that_of_patients_however_many_images_they_have():
    random = np.random.default_rng(4)
    images = random.integers(1, 6, 30)
    patient = np.repeat(np.arange(30), images)
    # Whoever has more images has the event sooner.
    time = (400.0 / images + random.uniform(0, 20, 30)) * np.where(random.random(30) < 0.7, 1, -1)
    predictions = pd.DataFrame(
        {
            "patient_id": [str(number) for number in patient],
            "image_id": [str(number) for number in range(len(patient))],
            "part": np.where(patient < 25, "train", "test"),
            "target": time[patient],
            "log_hazard": random.normal(size=len(patient)),
        }
    )
    model = SimpleNamespace(predictions=predictions, info={}, prior_logit_shift=0.3)
    task = SimpleNamespace(kind="time_to_event", outcome=SimpleNamespace(highest=None))
    told = _outcome(task, model)
    tested = read_patients("time_to_event", predictions, 0.3, "patient")
    risk = 1.0 - np.exp(-told["baseline_hazard"] * np.exp(tested.log_hazard))
    expected = event_risk(predictions, told["horizon"], 0.3)
    np.testing.assert_allclose(risk, expected, atol=1e-12)
    assert told["horizon"] == np.median(time[:25][time[:25] > 0])
