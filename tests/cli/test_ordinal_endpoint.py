"""An ordinal endpoint from a spec to the report, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from prognobench.cli import main

SPEC = """
name: scores
cohort: {cohort}
endpoints: [severity_score]
backbones: [demo_vit]
strategies: {strategies}
regimes:
  - {{name: full_data, folds: 2}}
  - {{name: few_shot, shots: [2, 4], episodes: 3}}
  - {{name: imbalance}}
recipe: {{epochs: 1, batch_size: 16}}
controls: [prevalence, age_and_sex, permuted_labels]
evaluation: {{replicates: 100}}
report: {{saliency: false}}
audit: {{near_duplicates: false}}
"""


def run_cli(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["prognobench", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


def fresh_metrics(output, results):
    """Say that every value of results.csv is scikit-learn's on what is stored."""
    for run, own in results.groupby("run"):
        table = pd.read_parquet(output / "predictions" / f"{run}.parquet")
        tested = table[table["part"] == "test"].groupby("patient_id")[["target", "score"]].mean()
        target, level = tested["target"].astype(int), np.floor(tested["score"] + 0.5).astype(int)
        values = own.set_index("metric")["value"]
        expected = cohen_kappa_score(target, level, weights="quadratic", labels=range(19))
        assert values["quadratic_kappa"] == pytest.approx(expected, abs=1e-9)
        assert values["mae"] == pytest.approx(mean_absolute_error(target, level), abs=1e-9)


@pytest.mark.slow
def test_an_ordinal_benchmark_of_the_synthetic_cohort(tmp_path, monkeypatch):
    spec, output = tmp_path / "spec.yaml", tmp_path / "out"
    cohort = "{source: synthetic, patients: 60}"
    spec.write_text(SPEC.format(cohort=cohort, strategies="[linear, bitfit]"))
    assert run_cli(monkeypatch, "run", spec, "--output", output) == 0
    results = pd.read_csv(output / "results.csv")
    done = results[results["value"].notna()]
    assert set(done["metric"]) == {"quadratic_kappa", "mae"}
    fresh_metrics(output, done)
    board = pd.read_csv(output / "leaderboard.csv")
    full = board[board["regime"] == "full_data"]
    assert set(full.loc[full["backbone"] == "demo_vit", "rank"]) == {1, 2}
    assert full["ci_low"].notna().any()
    mean = full[full["strategy"] == "prevalence"].iloc[0]
    assert mean["estimate"] == pytest.approx(0, abs=1e-9)
    linear = full[full["strategy"] == "linear"].iloc[0]
    assert linear["estimate"] > 0.4  # its features were made to see the extent
    assert linear["mae"] < mean["mae"]
    few = board[board["regime"] == "few_shot"]
    assert set(few["state"]) == {"done"}
    assert few["estimate"].notna().all()
    others = board[~board["regime"].isin(["full_data", "few_shot"])]
    assert set(others["state"]) == {"not_applicable"}
    assert others["reason"].str.contains("a score has no events").all()
    page = (output / "report" / "index.html").read_text()
    assert "Predicted and true score" in page
    assert "training patients a band of scores" in page
    assert "ROC curves" not in page


@pytest.mark.slow
def test_the_real_brixia_scores_are_benchmarked(tmp_path, data_folder):
    spec, output = tmp_path / "spec.yaml", tmp_path / "out"
    folders = {"source": "brixia", "root": str(data_folder / "brixia")}
    cohort = json.dumps({**folders, "cohen": str(data_folder / "cohen")})
    spec.write_text(SPEC.format(cohort=cohort, strategies="[linear, bitfit]"))
    words = [sys.executable, "-m", "prognobench", "run", str(spec), "--output", str(output)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    results = pd.read_csv(output / "results.csv")
    done = results[results["value"].notna()]
    fresh_metrics(output, done)
    assert done.groupby("split")["n_test"].max().sum() > 50
