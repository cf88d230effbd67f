"""A benchmark with a grid of learning rates: what is run, what is chosen, by what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import typer

from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.execution import local
from prognobench.execution.estimate import summarise_plan
from prognobench.execution.prepare import prepare
from prognobench.plan import search_note
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec
from undrawn import undrawn

RATES = [1e-3, 1e-2, 1e-1]
SPEC = {
    "controls": [],
    "name": "grid",
    "cohort": {"source": "synthetic", "patients": 60, "seed": 3},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": [{"name": "linear", "lr": RATES}, {"name": "bitfit", "lr": [1e-3]}],
    "regimes": [
        {"name": "full_data", "folds": 3},
        {"name": "few_shot", "shots": [4], "episodes": 2, "folds": 3},
    ],
    "recipe": {"epochs": 3, "few_shot_steps": 3, "batch_size": 8, "precision": "float32"},
    "evaluation": {"replicates": 100},
    "audit": {"near_duplicates": False},
    "report": {"saliency": False},
}


def spec(**changes):
    return parse_spec({**SPEC, **changes}, "spec")


def stored(output):
    store = ResultsStore(output)
    runs = store.runs()
    predictions = {run: store.predictions(run) for run in runs.loc[runs["state"] == "done", "run"]}
    store.close()
    return runs.set_index("run"), predictions


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    output = tmp_path_factory.mktemp("grid") / "out"
    with undrawn():
        run_spec(spec(), output, None, Device.CPU)
    return output


def test_each_learning_rate_is_a_run_where_there_is_a_validation_part():
    runs = prepare(spec()).runs
    linear = [run for run in runs if run.strategy == "linear"]
    by_split = {}
    for run in linear:
        by_split.setdefault(run.split.name, []).append(run.options.lr)
    for name, rates in by_split.items():
        assert rates == (RATES if name.startswith("full_data") else [1e-2]), name
    assert len({run.id for run in runs}) == len(runs)


def test_the_one_without_a_choice_is_the_middle_of_the_grid_in_whatever_order():
    for rates, middle in (([1e-1, 1e-3, 1e-2], 1e-2), ([1e-2, 1e-3], 1e-3), ([0.3], 0.3)):
        one = spec(strategies=[{"name": "linear", "lr": rates}], regimes=[SPEC["regimes"][1]])
        assert {run.options.lr for run in prepare(one).runs} == {middle}


def test_validation_scores_are_recorded_and_the_best_is_in_the_results(done):
    runs, predictions = stored(done)
    full = runs[runs["regime"] == "full_data"]
    assert full["validation_score"].notna().all()
    assert runs.loc[runs["regime"] == "few_shot", "validation_score"].isna().all()
    results = pd.read_csv(done / "results.csv")
    linear = full[full["strategy"] == "linear"]
    assert len(linear) == 9
    for split, grid in linear.groupby("split"):
        # Recomputed from what is stored: the class-weighted log-loss of the validation part.
        losses = {}
        for run, row in grid.iterrows():
            table = predictions[run]
            val, train = (table[table["part"] == part] for part in ("val", "train"))
            events = train["target"].mean()
            weight = np.where(val["target"] == 1, 0.5 / events, 0.5 / (1 - events))
            loss = np.logaddexp(0, val["logit"]) - val["target"] * val["logit"]
            losses[run] = np.average(loss, weights=weight)
            assert row["validation_score"] == pytest.approx(-losses[run], abs=1e-6)
        best = min(losses, key=losses.get)
        shown = results[(results["strategy"] == "linear") & (results["split"] == split)]
        assert set(shown["run"]) == {best}
        assert set(shown["lr"]) == {linear.loc[best, "lr"]}
    board = pd.read_csv(done / "leaderboard.csv").set_index(["regime", "strategy"])
    assert board.loc[("full_data", "linear"), "n_runs"] == 3
    assert "learning rate chosen" in board.loc[("full_data", "linear"), "reason"]


def test_scrambled_test_labels_change_test_metrics_and_nothing_else(done, tmp_path, monkeypatch):
    """Every run is trained with the labels of its own test part turned around."""
    original = local.Worker.work

    def scrambled(self, group, images, started):
        for run in group:  # one by one, since one run's test part is in another's training part
            test = np.isin(images.patient_ids, run.split.patients("test"))
            assert test.any()
            targets = np.where(test, 1 - images.targets, images.targets)
            own = dataclasses.replace(images, targets=targets)
            yield from original(self, (run,), own, started)

    monkeypatch.setattr(local.Worker, "work", scrambled)
    output = tmp_path / "out"
    with undrawn():
        run_spec(spec(), output, None, Device.CPU)
    (before, old), (after, new) = stored(done), stored(output)
    assert set(old) == set(new)
    for run, table in old.items():
        other = new[run]
        # Trained alone instead of together, which changes rounding.
        np.testing.assert_allclose(table["logit"], other["logit"], atol=1e-5)
        test = table["part"] == "test"
        assert (table.loc[~test, "target"] == other.loc[~test, "target"]).all()
        assert (table.loc[test, "target"] == 1 - other.loc[test, "target"]).all()
    kept = ["lr", "validation_score", "prior_logit_shift", "threshold", "trainable_parameters"]
    pd.testing.assert_frame_equal(before[kept], after.loc[before.index, kept])
    one, two = (pd.read_csv(own / "results.csv") for own in (done, output))
    same = ["run", "strategy", "split", "seed", "lr", "metric", "n_test"]
    pd.testing.assert_frame_equal(one[same], two[same])
    auroc = [own.loc[own["metric"] == "auroc", "value"].to_numpy() for own in (one, two)]
    np.testing.assert_allclose(auroc[0], 1 - auroc[1])


def test_a_rate_that_diverges_fails_alone(tmp_path):
    grid = [{"name": "linear", "lr": [1e-2, 1e38]}]
    recipe = {**SPEC["recipe"], "gradient_clip": 1e30}
    output = tmp_path / "out"
    regimes = [SPEC["regimes"][0]]
    with pytest.raises(typer.Exit) as caught, undrawn():
        run_spec(spec(strategies=grid, recipe=recipe, regimes=regimes), output, None, Device.CPU)
    assert caught.value.exit_code == 1
    runs, _ = stored(output)
    assert runs.groupby("lr")["state"].unique().map(list).to_dict() == {
        1e-2: ["done"],
        1e38: ["failed"],
    }
    failed = runs[runs["state"] == "failed"]
    assert failed["reason"].str.contains("NonFiniteLossError: the .* became").all()
    results = pd.read_csv(output / "results.csv")
    assert set(results["lr"]) == {1e-2}
    board = pd.read_csv(output / "leaderboard.csv")
    assert board["state"].tolist() == ["done"]


def test_unequal_search_budgets_are_told_by_plan_and_report(done, tmp_path):
    told = "3 for linear; 1 for bitfit"
    assert told in search_note(spec())
    assert told in summarise_plan(prepare(spec()), tmp_path)["search_note"]
    assert told in (done / "report" / "index.html").read_text()
    equal = [{"name": "linear", "lr": RATES}, {"name": "bitfit", "lr": RATES}]
    assert search_note(spec(strategies=equal)) is None
    # A solved probe chooses among its penalties.
    assert "5 for linear" in search_note(spec(strategies=["linear", "bitfit"]))
    # Without a validation part nothing is chosen.
    assert search_note(spec(regimes=[SPEC["regimes"][1]])) is None
