"""Every regime, from a benchmark file to its tables: what is written, trained on and tested."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.execution import local
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec
from prognobench.splits.split import read_split

pytestmark = pytest.mark.slow

FOLDS = 3
MEMBERS = {"north": 3, "south": 4}
SPEC = {
    "name": "regimes",
    "cohort": {
        "name": "both",
        "combine": [
            {"source": "synthetic", "patients": 60, "seed": seed, "name": name}
            for name, seed in MEMBERS.items()
        ],
    },
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
    "regimes": [
        {"name": "full_data", "folds": FOLDS, "repeats": 2},
        "leave_one_site_out",
        {"name": "fixed_split", "column": "dataset", "train": ["north"], "test": ["south"]},
        {"name": "few_shot", "shots": [1, 2, 4, 90], "episodes": 4, "folds": FOLDS},
        {"name": "few_shot", "one_site": True, "shots": [1, 2], "episodes": 4, "folds": FOLDS},
        {"name": "train_size", "folds": FOLDS, "fractions": [0.5, 1.0]},
        {"name": "imbalance", "folds": FOLDS, "event_rates": [0.5, 0.25]},
        {"name": "imbalance", "folds": FOLDS, "event_rates": [0.5, 0.25], "fixed": "events"},
    ],
    "recipe": {"epochs": 1, "few_shot_steps": 1, "batch_size": 16},
    "evaluation": {"replicates": 100},
    "report": {"images": False},
    "controls": ["prevalence", "permuted_labels"],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The output folder, its runs with what each predicted, and its results."""
    output = tmp_path_factory.mktemp("regimes") / "out"
    work = local.Worker.work

    def after_the_splits(self, group, *further):
        for run in group:
            assert read_split(output / "splits" / f"both-mortality-{run.split.name}.csv")
        yield from work(self, group, *further)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.Worker, "work", after_the_splits)
        run_spec(parse_spec(SPEC, "spec"), output, None, Device.CPU)
    store = ResultsStore(output)
    runs = store.runs()
    finished = runs.loc[runs["state"] == "done", "run"]
    predictions = {run: store.predictions(run) for run in finished}
    store.close()
    return output, runs, predictions


def patients(table, part):
    own = table[table["part"] == part].drop_duplicates("patient_id")
    return own.set_index("patient_id")["target"]


def of(done, regime, backbone="demo_vit"):
    """The finished runs of a regime, with the table that each predicted."""
    _, runs, predictions = done
    chosen = runs[(runs["regime"] == regime) & (runs["backbone"] == backbone)]
    return [(row, predictions[row["run"]]) for row in chosen.to_dict("records")
            if row["run"] in predictions]  # fmt: skip


def test_every_run_is_done_or_not_feasible_with_its_reason(done):
    _, runs, _ = done
    feasible = runs["shots"] != 90
    assert set(runs.loc[feasible, "state"]) == {"done"}
    assert set(runs.loc[~feasible, "state"]) == {"not_feasible"}
    assert runs.loc[~feasible, "reason"].str.contains("90 shots need 90 patients").all()


def test_candidates_and_controls_see_the_parts_that_were_written_before(done):
    output, runs, predictions = done
    for split, own in runs[runs["state"] == "done"].groupby("split"):
        written = read_split(output / "splits" / f"both-mortality-{split}.csv")
        assert sorted(own["strategy"]) == ["linear", "permuted_labels", "prevalence"]
        for run in own["run"]:
            table = predictions[run]
            assert dict(zip(table["patient_id"], table["part"], strict=True)) == written


def test_full_data_tests_everybody_once_a_repetition_and_validates_inside(done):
    tables = of(done, "full_data")
    tested = pd.concat([patients(table, "test") for _, table in tables])
    assert len(tables) == 2 * FOLDS
    assert (tested.groupby(level=0).size() == 2).all() and tested.index.nunique() == 120
    for _, table in tables:
        assert {0, 1} == set(patients(table, "val")) == set(patients(table, "train"))


def test_a_site_left_out_is_tested_alone(done):
    output, *_ = done
    images = pd.read_parquet(output / "cohort" / "manifest.parquet")
    site = images.drop_duplicates("patient_id").set_index("patient_id")["site"]
    tested = set()
    for _, table in of(done, "leave_one_site_out"):
        (own,) = set(site[patients(table, "test").index])
        assert own not in set(site[patients(table, "train").index])
        assert own not in set(site[patients(table, "val").index])
        tested.add(own)
    assert tested == set(site)


def test_one_cohort_trains_and_another_is_tested(done):
    for _, table in of(done, "fixed_split"):
        assert {name.split("/")[0] for name in patients(table, "test").index} == {"south"}
        for part in ("train", "val"):
            assert {name.split("/")[0] for name in patients(table, part).index} == {"north"}


@pytest.mark.parametrize("regime", ["few_shot", "few_shot_one_site"])
def test_shots_are_nested_and_the_test_fold_is_that_of_the_full_data(done, regime):
    folds = {row["fold"]: set(patients(table, "test").index)
             for row, table in of(done, "full_data") if row["repeat"] == 0}  # fmt: skip
    drawn = {}
    for row, table in of(done, regime):
        train = patients(table, "train")
        assert (train == 1).sum() == (train == 0).sum() == row["shots"]
        assert set(patients(table, "test").index) == folds[row["fold"]]
        drawn[row["episode"], row["shots"]] = set(train.index)
    for episode in range(4):
        sizes = sorted(shots for own, shots in drawn if own == episode)
        for fewer, more in itertools.pairwise(sizes):
            assert drawn[episode, fewer] < drawn[episode, more]


@pytest.mark.parametrize("regime", ["train_size", "imbalance_patients", "imbalance_events"])
def test_only_training_and_validation_are_thinned(done, regime):
    whole = {row["fold"]: table for row, table in of(done, "full_data") if row["repeat"] == 0}
    sizes = []
    for row, table in of(done, regime):
        full = whole[row["fold"]]
        assert patients(table, "test").equals(patients(full, "test"))
        train, all_of_it = patients(table, "train"), patients(full, "train")
        assert set(train.index) <= set(all_of_it.index)
        if regime == "train_size":
            assert len(train) == pytest.approx(row["level"] * len(all_of_it), abs=1)
        else:
            assert train.mean() == pytest.approx(row["level"], abs=1 / len(train))
        sizes.append((row["fold"], len(train), int(train.sum())))
    for fold in range(FOLDS):
        numbers = {own[1:] for own in sizes if own[0] == fold}
        assert len(numbers) == 2
        if regime != "train_size":
            kept = 0 if regime == "imbalance_patients" else 1
            assert len({own[kept] for own in numbers}) == 1


def test_cells_that_cannot_be_are_empty_rows_with_their_reason(done):
    output, *_ = done
    results = pd.read_csv(output / "results.csv")
    cannot = results[results["shots"] == 90]
    assert len(cannot) and cannot[["value", "chance", "n_test"]].isna().all(axis=None)
    assert cannot["reason"].str.contains("the smaller class has").all()
    board = pd.read_csv(output / "leaderboard.csv")
    assert set(board.loc[board["shots"] == 90, "state"]) == {"not_feasible"}
    folds = results[(results["regime"] == "full_data") & (results["metric"] == "pr_auc")]
    # Few events raise the average precision that chance gives above their share.
    assert (folds["chance"] > folds["n_positive"] / folds["n_test"]).all()
    assert np.isfinite(folds["value"]).all()
    flagged = results[(results["strategy"] == "prevalence") & (results["metric"] == "mcc")]
    flagged = flagged[flagged["shots"] != 90]
    assert (flagged["value"] == 0).all() and (flagged["flag"] == "constant_prediction").all()
