"""The paper's preset on cohorts of the documented form: its plan, its cost, and its first runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import timm
from safetensors.torch import save_file

from prognobench.cli import main
from prognobench.execution.estimate import summarise_plan
from prognobench.execution.prepare import prepare
from prognobench.results.store import ResultsStore
from prognobench.spec import load_spec

ROOT = Path(__file__).parents[2]
PRESET = ROOT / "benchmarks" / "ruffini2025.yaml"
sys.path.insert(0, str(ROOT / "tests" / "cohorts"))

from dicom_fixtures import write_covid19_ar, write_ny_sbu  # noqa: E402
from table_fixtures import write_aiforcovid, write_cocross  # noqa: E402

WRITERS = {
    "aiforcovid": write_aiforcovid,
    "covid-19-ar": write_covid19_ar,
    "cocross": write_cocross,
    "covid-19-ny-sbu": write_ny_sbu,
}
PATIENTS = 40


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    for name, write in WRITERS.items():
        (folder / name).mkdir()
        write(folder / name, patients=PATIENTS)
    return folder


def roots(cohorts):
    return [f"tasks.{n}.cohort.root={cohorts / name}" for n, name in enumerate(WRITERS)]


def preset(cohorts, *changes):
    return load_spec(PRESET, [*roots(cohorts), *changes])


def test_the_plan_has_every_run_of_the_grid_and_its_cost(cohorts, tmp_path):
    prepared = prepare(preset(cohorts))
    table = pd.DataFrame([run.record() for run in prepared.runs])
    assert set(table["dataset"]) == {"aiforcovid", "covid19_ar", "cocross", "covid19_ny_sbu"}
    assert len(table[["dataset", "endpoint"]].drop_duplicates()) == 6
    assert table["backbone"].nunique() == 11
    ranks = {f"{name} r={r}" for name in ("lora", "vera") for r in (4, 8, 16)}
    assert set(table["strategy"]) == {"full", "linear", "bitfit", "ia3", *ranks}
    # Linear heads have three learning rates where there is a validation part, and one in few-shot.
    per_fold = 11 * (9 + 3)
    folds = table[table["regime"] == "full_data"]
    assert len(folds) == 6 * 5 * per_fold
    sites = table[table["regime"] == "leave_one_site_out"]
    assert len(sites) == 2 * 6 * per_fold
    episodes = table[table["regime"] == "few_shot"]
    assert len(episodes) == 6 * 5 * 20 * 11 * 10
    one_site = table[table["regime"] == "few_shot_one_site"]
    assert len(one_site) == 2 * 4 * 20 * 11 * 10
    assert len(table) == len(folds) + len(sites) + len(episodes) + len(one_site)
    # VeRA does not apply to the four convolutional networks.
    vera = table[table["strategy"].str.startswith("vera") & (table["state"] == "not_applicable")]
    assert vera["backbone"].nunique() == 4
    batches = {run.task.dataset: run.recipe.batch_size for run in prepared.runs}
    assert batches == {"aiforcovid": 128, "covid19_ar": 32, "cocross": 64, "covid19_ny_sbu": 128}
    summary = summarise_plan(prepared, tmp_path / "none")
    assert summary["runs"] == len(table)
    assert summary["pending"] + summary["not_possible"] == len(table)
    assert 1e18 < summary["operations"] < 1e21


SMALL_GRID = [
    "backbones=[demo_vit]",
    "strategies=[linear]",
    "regimes=[{name: full_data, folds: 5, validation_fraction: 0.25}]",
    "tasks.0.regimes=[{name: leave_one_site_out, validation_fraction: 0.1}]",
]


def run(cohorts, out, monkeypatch, *words):
    """Call ``prognobench run`` on the preset for six runs, with as little training as can be."""
    quick = ["recipe.epochs=1", "evaluation.replicates=100", "controls=[prevalence]"]
    # The fixtures' images are much alike, and comparing them takes a minute.
    quick += ["report.images=false", "report.saliency=false", "audit.near_duplicates=false"]
    words = ["run", PRESET, *roots(cohorts), *quick, *words]
    words += ["--output", out, "--device", "cpu", "--limit", 6]
    monkeypatch.setattr(sys, "argv", ["prognobench", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code


def check(out, backbone):
    """Each of the six tasks has one run with its metrics, and controls on every split."""
    store = ResultsStore(out)
    runs = store.runs()
    store.close()
    controls = runs[runs["backbone"] == "control"]
    assert set(controls["state"]) <= {"done", "not_feasible"}
    done = runs[(runs["state"] == "done") & (runs["backbone"] == backbone)]
    assert set(done["dataset"]) == {"aiforcovid", "covid19_ar", "cocross", "covid19_ny_sbu"}
    assert len(done[["dataset", "endpoint"]].drop_duplicates()) == len(done) == 6
    results = pd.read_csv(out / "results.csv", low_memory=False)
    own = results[results["run"].isin(done["run"]) & results["metric"].isin(["mcc", "pr_auc"])]
    assert len(own) == 12 and own["value"].notna().all() and own["chance"].notna().all()
    assert (out / "report" / "index.html").is_file() and (out / "ranks.csv").is_file()
    written = {path.stem for path in (out / "splits").glob("*.csv")}
    split = runs["dataset"] + "-" + runs["endpoint"] + "-" + runs["split"]
    assert written == set(split[controls.index[controls["state"] == "done"]])


def test_a_few_runs_try_each_of_the_six_tasks(cohorts, tmp_path, monkeypatch):
    run(cohorts, tmp_path / "out", monkeypatch, *SMALL_GRID)
    check(tmp_path / "out", "demo_vit")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_few_runs_of_the_whole_grid_try_each_of_the_six_tasks(cohorts, tmp_path, monkeypatch):
    weights = tmp_path / "weights" / "resnet18" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    save_file(timm.create_model("resnet18.tv_in1k", pretrained=False).state_dict(), weights)
    monkeypatch.setenv("PROGNOBENCH_WEIGHTS", str(tmp_path / "weights"))
    run(cohorts, tmp_path / "out", monkeypatch)
    check(tmp_path / "out", "resnet18")
