"""The command line as a user meets it: exit codes, sentences, JSON, real data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


def write_spec(folder: Path, **changes: str) -> Path:
    lines = {
        "name": "small",
        "cohort": "{source: synthetic, patients: 40}",
        "endpoints": "[mortality]",
        "backbones": "[demo_vit]",
        "strategies": "[linear]",
        "regimes": "[{name: full_data, folds: 2}]",
        "report": "{saliency: false}",
        "audit": "{near_duplicates: false}",
        **changes,
    }
    path = folder / "spec.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return path


def test_help_names_every_verb(call):
    code, out, _ = call("--help")
    assert code == 0
    for verb in ("demo", "run", "plan", "validate", "report", "ls", "cohort", "doctor"):
        assert verb in out


# Licence and way of access as the page of each dataset gives them.
OBTAINED = {
    "aiforcovid": ("no redistribution", "registration at the portal", "aiforcovid.radiomica.it"),
    "brixia": ("no redistribution", "registration", "brixia.github.io"),
    "cdsl": ("data use agreement", "registration: a PhysioNet", "10.13026/1176-6c44"),
    "cocross": ("authors", "on request", "10.3390/healthcare10020276"),
    "cohen": ("each image", "without registration", "ieee8023/covid-chestxray-dataset"),
    "covid19_ar": ("CC BY 4.0", "without registration", "10.7937/tcia.2020.py71-5978"),
    "csv": ("", "user's own", ""),
    "dicom": ("", "user's own", ""),
    "mhh": ("CC BY 3.0", "without registration", "10.25835/0090041"),
    "ny_sbu": ("CC BY 4.0", "without registration", "10.7937/tcia.bbag-2923"),
    "ricord": ("CC BY-NC 4.0", "without registration", "10.7937/91ah-v663"),
    "synthetic": ("Apache-2.0", "without registration", ""),
}


def test_ls_cohorts_says_where_each_is_obtained(call, monkeypatch):
    rows = {row["name"]: row for row in json.loads(call("ls", "cohorts", "--json")[1])}
    assert rows.keys() == OBTAINED.keys()
    monkeypatch.setenv("COLUMNS", "60")
    listed = call("ls", "cohorts")[1]
    for name, words in OBTAINED.items():
        for key, word in zip(("licence", "access", "url"), words, strict=True):
            assert word in rows[name][key]
            assert rows[name][key] in listed  # whole, on the narrowest terminal
        assert "registration" in rows[name]["access"] or "request" in rows[name]["access"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("backbones", "efficientnet_lite0"),
        ("strategies", "lora"),
        ("cohorts", "mhh"),
        ("metrics", "mcc"),
    ],
)
def test_ls_lists_as_table_and_as_json(call, kind, name):
    code, out, _ = call("ls", kind, "--json")
    rows = json.loads(out)
    assert code == 0
    assert name in {row["name"] for row in rows}
    code, out, _ = call("ls", kind)
    assert code == 0
    assert name in out


def test_ls_backbones_says_what_a_script_wants(call):
    rows = json.loads(call("ls", "backbones", "--json")[1])
    for row in rows:
        assert isinstance(row["feature_dim"], int)
        assert isinstance(row["input_size"], int)
        assert row["license"]


def test_validate_tells_about_the_cohort_before_it_misses_weights(call, tmp_path):
    spec = write_spec(tmp_path, backbones=["resnet18", "resnet50"])
    code, out, err = call("validate", spec)
    assert code == 2
    assert "patients" in out
    assert "the weights of resnet18, resnet50 are not on this machine" in " ".join(err.split())


def test_run_plan_validate_and_report(call, tmp_path):
    spec, output = write_spec(tmp_path), tmp_path / "out"
    code, out, _ = call("plan", spec, "--output", output, "--json")
    plan = json.loads(out)
    assert (code, plan["runs"], plan["done"], plan["estimated_seconds"]) == (0, 2, 0, None)
    assert not output.exists()
    assert call("validate", spec)[0] == 0
    code, out, _ = call("run", spec, "--output", output)
    assert code == 0
    assert "demo_vit" in out
    plan = json.loads(call("plan", spec, "--output", output, "--json")[1])
    assert (plan["done"], plan["pending"], plan["estimated_seconds"]) == (2, 0, 0.0)
    more = call("plan", spec, "seeds=[42,43]", "--output", output, "--json")[1]
    assert json.loads(more)["pending"] == 2
    assert json.loads(more)["estimated_seconds"] > 0
    page = output / "report" / "index.html"
    page.unlink()
    assert call("report", output)[0] == 0
    assert page.is_file()


BAD_INPUT = [
    (["run", "none.yaml"], "the spec none.yaml does not exist"),
    (["run", "SPEC", "recipe.epoch=3"], "did you mean 'epochs'"),
    (["run", "SPEC", "cohort={source: mhhh}"], "unknown cohort source 'mhhh': did you mean 'mhh'"),
    (["run", "SPEC", "cohort={source: mhh, root: nowhere}"], "nowhere"),
    (["run", "SPEC", "cohort={source: synthetic, patient: 3}"], "did you mean 'patients'"),
    (["run", "SPEC", "cohort={manifest: none.csv}"], "none.csv"),
    (["run", "SPEC", "cohort={manifest: one_class.csv}"], "0 patients with the event"),
    (["run", "SPEC", "cohort={manifest: no_folder.csv, root: nowhere}"], "nowhere"),
    (["run", "SPEC", "cohort={manifest: outside.csv}"], "outside"),
    (["run", "SPEC", "endpoints=[mortalty]"], "did you mean 'mortality'"),
    (["run", "SPEC", "regimes=[{name: full_data, folds: 30}]"], "use fewer folds"),
    (["run", "SPEC", "--device", "cuda"], "--device cuda"),
    (["validate", "none.yaml"], "does not exist"),
    (["plan", "none.yaml"], "does not exist"),
    (["report", "nowhere"], "holds no results.db"),
    (["cohort", "build", "mhh", "--root", "nowhere", "--output", "m.csv"], "nowhere"),
    (["cohort", "build", "nope", "--output", "m.csv"], "unknown cohort source 'nope'"),
    (["cohort", "build", "synthetic", "--output", "m.txt"], "must end .csv or .parquet"),
    (
        ["cohort", "build", "csv", "columns={icu: [", "--output", "m.csv"],
        "the value of 'columns={icu: [' cannot be read as YAML",
    ),
    (["cohort", "audit", "none.csv"], "none.csv"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD_INPUT)
def test_bad_input_is_one_sentence_and_exit_code_2(call, tmp_path, monkeypatch, words, sentence):
    import torch

    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    monkeypatch.chdir(tmp_path)
    spec = write_spec(tmp_path)
    header = "patient_id,path,mortality\n"
    rows = [f"p{number},{number}.png,0\n" for number in range(12)]
    Path("one_class.csv").write_text(header + "".join(rows))
    for number in range(12):
        Path(f"{number}.png").write_bytes(b"")
    Path("no_folder.csv").write_text(header + "".join(r.replace(",0\n", ",1\n") for r in rows[:5]))
    Path("outside.csv").write_text(header + "p1,../secret.png,1\np2,b.png,0\n")
    code, _, errors = call(*(spec if word == "SPEC" else word for word in words))
    assert code == 2, errors
    assert sentence in errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1


def test_hannover_is_built_and_described(call, tmp_path, data_folder):
    manifest = tmp_path / "mhh.csv"
    code, out, _ = call(
        "cohort", "build", "mhh", "--root", data_folder / "mhh", "--output", manifest
    )
    assert code == 0
    table = pd.read_csv(manifest)
    assert len(table) == 243
    assert table["patient_id"].nunique() == 71
    assert table.groupby("patient_id")["icu"].first().sum() == 29
    assert "25 of 67 patients with the event" in out
    # The search for copies takes most of the time: a picture a patient is enough of it here.
    table.sort_values("acquired").drop_duplicates("patient_id").to_csv(manifest, index=False)
    code, out, _ = call("cohort", "audit", manifest, "--endpoint", "icu", "--json")
    found = json.loads(out)
    assert any("view" in warning for warning in found["mhh/icu"]["warnings"])
    assert found["cohorts"]["mhh"]["images"] == 71
    assert found["duplicates"] == []


def test_a_built_cohort_warns_of_what_could_not_be_checked(call, tmp_path, data_folder):
    manifest = tmp_path / "cohen.csv"
    root = data_folder / "cohen"
    code, out, _ = call("cohort", "build", "cohen", "--root", root, "--output", manifest)
    assert code == 0
    assert "warning: the cohort 'cohen' does not say when images and the outcome 'mortality'" in out


@pytest.mark.parametrize("name", ["mhh_icu", "mhh_icu_all_images"])
def test_the_hannover_benchmarks_run_on_the_real_images(call, tmp_path, data_folder, name):
    output = tmp_path / "out"
    spec = Path(__file__).resolve().parents[2] / "benchmarks" / f"{name}.yaml"
    root = f"cohort.root={data_folder / 'mhh'}"
    few = ["--limit", "6", "report.saliency=false"]
    if name == "mhh_icu_all_images":
        few += ["audit.near_duplicates=false"]
    code, _, errors = call("run", spec, root, *few, "--output", output)
    assert code == 0, errors
    flow = json.loads((output / "cohort" / "cohort.json").read_text())["flows"]["mhh/icu"]
    counts = {step["step"]: (step["images"], step["patients"]) for step in flow}
    assert counts["source"] == (243, 71)
    if name == "mhh_icu":
        # 151 of the 186 images of ICU patients were taken after the day of admission to it.
        assert counts["after_outcome"] == (151, 4)
        assert counts["task"] == (67, 67)
    else:
        assert counts["task"] == (243, 71)
    page = (output / "report" / "index.html").read_text()
    assert ("taken after the day of the outcome" in page) == (name == "mhh_icu")


def test_the_installed_command_starts():
    found = subprocess.run(
        [sys.executable, "-m", "prognobench", "ls", "strategies", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {row["name"] for row in json.loads(found.stdout)} >= {"linear", "full", "lora", "bitfit"}


def test_doctor_finds_everything_in_place(call):
    code, out, _ = call("doctor", "--json")
    checks = json.loads(out)
    assert code == 0, [check for check in checks if not check["ok"]]
    assert {"torch", "weights of demo_vit", "cache"} <= {check["name"] for check in checks}
