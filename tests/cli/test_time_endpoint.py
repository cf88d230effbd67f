"""A time to an event from a spec to the report, by the command line."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from prognobench.cli import main
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.times import TimeSample, patient_times
from prognobench.report import build
from prognobench.results.store import ResultsStore

SPEC = """
name: times
cohort: {source: synthetic, patients: 70}
endpoints: [survival]
backbones: [demo_vit]
strategies: [linear, bitfit]
regimes: [{name: full_data, folds: 2}, {name: few_shot, shots: [2, 4], episodes: 3, folds: 2}]
recipe: {epochs: 1, batch_size: 16}
controls: [prevalence, age_and_sex, permuted_labels]
evaluation: {replicates: 100}
report: {saliency: false}
audit: {near_duplicates: false}
"""


def run_cli(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["prognobench", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


def drawn_shifts(output):
    """Return each run with what its draw added to the log odds of a seen event."""
    store = ResultsStore(output)
    table = store.runs().rename(columns={"prior_logit_shift": "shift"})
    store.close()
    return table[["run", "shift"]].to_dict("records")


@pytest.mark.slow
def test_a_benchmark_of_times_of_the_synthetic_cohort(tmp_path, monkeypatch):
    spec, output = tmp_path / "spec.yaml", tmp_path / "out"
    spec.write_text(SPEC)
    assert run_cli(monkeypatch, "run", spec, "--output", output) == 0
    results = pd.read_csv(output / "results.csv")
    done = results[results["value"].notna()]
    assert set(done["metric"]) == {"c_index", "integrated_brier"}
    shifts = {own["run"]: own["shift"] for own in drawn_shifts(output)}
    for run, own in done.groupby("run"):
        table = pd.read_parquet(output / "predictions" / f"{run}.parquet")
        train = table[table["part"] == "train"]
        assert train["log_hazard"].mean() == pytest.approx(0, abs=1e-6)
        sample = TimeSample.of(patient_times(table, prior_logit_shift=shifts[run]))
        for name, value in zip(own["metric"], own["value"], strict=True):
            assert METRICS[name](sample)[0] == pytest.approx(value, abs=1e-9)
    board = pd.read_csv(output / "leaderboard.csv")
    full = board[board["regime"] == "full_data"].set_index("strategy")
    assert full.loc["prevalence", "estimate"] == 0.5
    assert full.loc["linear", "estimate"] > 0.6  # its features were made to see the extent
    assert full.loc["linear", "ci_low"] < full.loc["linear", "estimate"]
    assert full.loc["linear", "n_positive"] > 5
    few = board[board["regime"] == "few_shot"]
    assert set(few["state"]) == {"done"}
    assert few["estimate"].notna().all()
    assert few["integrated_brier"].between(0, 1).all()
    page = (output / "report" / "index.html").read_text()
    for figure in ("Observed times by predicted risk", "Calibration at day"):
        assert figure in page
    assert "with the event seen, and as many without" in page
    assert "ROC curves" not in page


ALL_KINDS = """
name: kinds
cohort: {source: synthetic, patients: 40}
endpoints: [mortality, severity_score, survival]
backbones: [demo_vit]
strategies: [linear]
regimes: [{name: full_data, folds: 2}]
controls: [prevalence]
evaluation: {replicates: 100}
report: {saliency: false}
audit: {near_duplicates: false}
"""


def test_outcomes_of_all_kinds_are_evaluated_beside_each_other(tmp_path, monkeypatch):
    # Drawing figures takes longer than all the rest; the slow tests have them.
    monkeypatch.setattr(build, "write_report", lambda output, _: output)
    spec, output = tmp_path / "spec.yaml", tmp_path / "out"
    spec.write_text(ALL_KINDS)
    assert run_cli(monkeypatch, "run", spec, "--output", output) == 0
    board = pd.read_csv(output / "leaderboard.csv").set_index(["endpoint", "strategy"])
    headlines = {"mortality": "mcc", "severity_score": "quadratic_kappa", "survival": "c_index"}
    assert board["metric"].to_dict() == {
        (endpoint, strategy): metric
        for endpoint, metric in headlines.items()
        for strategy in ("linear", "prevalence")
    }
    assert board["estimate"].notna().all()
    assert board.loc[("mortality", "linear"), "brier"] > 0
    assert pd.isna(board.loc[("survival", "linear"), "brier"])
    assert pd.isna(board.loc[("mortality", "linear"), "mae"])
    results = pd.read_csv(output / "results.csv")
    counted = results.groupby("endpoint")["metric"].nunique()
    assert (counted["severity_score"], counted["survival"]) == (2, 2)
    assert counted["mortality"] > 20
