"""Which run of a learning-rate grid stands for its candidate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import cross_validated, predictions_table, runs_table

from prognobench.evaluation.choice import choose_runs
from prognobench.evaluation.tables import leaderboard, run_metrics


def grid(*runs, **common):
    rows = [
        {"run": str(place), "lr": lr, "validation_score": score, "state": state, **common}
        for place, (lr, score, state) in enumerate(runs)
    ]
    return runs_table(rows)


@pytest.mark.parametrize(
    ("runs", "lr", "state"),
    [
        ([(1e-4, -0.7, "done"), (1e-3, -0.5, "done"), (1e-2, -0.9, "done")], 1e-3, "done"),
        # Ties to the smaller, in whatever order they come.
        ([(1e-2, 0.3, "done"), (1e-3, 0.3, "done"), (1e-4, 0.1, "done")], 1e-3, "done"),
        # One that diverged does not stand in the way of the others.
        ([(1e-4, 0.1, "done"), (1e-3, None, "failed")], 1e-4, "done"),
        # A score that is no number cannot win.
        ([(1e-4, -5.0, "done"), (1e-3, None, "done")], 1e-4, "done"),
        # No choice is shown that may yet change.
        ([(1e-4, 0.9, "done"), (1e-3, None, "pending")], 1e-3, "pending"),
        ([(1e-4, None, "failed"), (1e-3, None, "failed")], 1e-4, "failed"),
        ([(1e-4, None, "failed")], 1e-4, "failed"),
    ],
)
def test_the_best_validation_score_is_taken(runs, lr, state):
    chosen = choose_runs(grid(*runs))
    assert len(chosen) == 1
    assert chosen["lr"].iloc[0] == lr
    assert chosen["state"].iloc[0] == state
    assert chosen["n_learning_rates"].iloc[0] == len(runs)


def test_where_all_failed_the_reason_says_how_many():
    table = grid((1e-4, None, "failed"), (1e-3, None, "failed"), reason="the loss became nan")
    reason = choose_runs(table)["reason"].iloc[0]
    assert reason == "all 2 learning rates failed, the loss became nan"


@given(
    st.lists(
        st.tuples(st.sampled_from([1e-4, 1e-3, 1e-2]), st.integers(0, 2), st.integers(0, 3)),
        min_size=1,
        max_size=20,
        unique_by=lambda run: (run[0], run[2]),
    ),
    st.randoms(),
)
def test_one_run_a_split_whatever_the_order(drawn, shuffler):
    rows = [
        {"run": f"{lr}-{split}", "lr": lr, "validation_score": score, "split": f"fold{split}"}
        for lr, score, split in drawn
    ]
    chosen = choose_runs(runs_table(rows))
    expected = {}
    for lr, score, split in drawn:
        key = (-score, lr)
        expected[split] = min(expected.get(split, key), key)
    found = dict(zip(chosen["split"], chosen["lr"], strict=True))
    assert found == {f"fold{split}": lr for split, (_, lr) in expected.items()}
    shuffler.shuffle(rows)
    assert set(choose_runs(runs_table(rows))["run"]) == set(chosen["run"])


@pytest.fixture
def searched():
    """Two learning rates of lora on five folds: the second validates better on folds 1 and 3."""
    runs, stored = cross_validated(np.random.default_rng(1), {"lora": 1.5, "linear": 1.4})
    first = runs.assign(lr=1e-4, validation_score=0.5)
    lora = first[first["strategy"] == "lora"]
    better = lora["split"].map(lambda split: 0.9 if split[-1] in "13" else 0.1)
    second = lora.assign(run=lora["run"] + "-high", lr=1e-3, validation_score=better)
    random = np.random.default_rng(7)
    for run in lora["run"]:
        noise = random.normal(size=len(stored[run]))
        logit = stored[run]["logit"] + noise
        stored[f"{run}-high"] = stored[run].assign(
            logit=logit, probability=1 / (1 + np.exp(-logit))
        )
    return pd.concat([first, second], ignore_index=True), stored


def test_the_tables_hold_the_chosen_runs_and_say_their_learning_rates(searched):
    runs, stored = searched
    results = run_metrics(runs, stored.__getitem__)
    lora = results[(results["metric"] == "auroc") & (results["strategy"] == "lora")]
    assert lora.sort_values("split")["lr"].tolist() == [1e-4, 1e-3, 1e-4, 1e-3, 1e-4]
    board = leaderboard(runs, stored.__getitem__, replicates=20).set_index("strategy")
    alone = runs[~runs["run"].isin([f"lora-{f}-high" for f in (0, 2, 4)] + ["lora-1", "lora-3"])]
    expected = leaderboard(alone, stored.__getitem__, replicates=20).set_index("strategy")
    for name in ("estimate", "ci_low", "ci_high", "auroc", "difference_to_best"):
        assert board.loc["lora", name] == expected.loc["lora", name]
    assert board.loc["lora", "n_runs"] == 5
    assert board.loc["lora", "reason"].endswith(
        "learning rate chosen by validation: 0.0001 (3 runs), 0.001 (2 runs)"
    )


def test_predictions_that_were_not_chosen_are_never_read(searched):
    runs, stored = searched
    read = []

    def predictions(run):
        read.append(run)
        return stored[run]

    run_metrics(runs, predictions)
    leaderboard(runs, predictions, replicates=5)
    assert set(read) == set(choose_runs(runs)["run"])


def test_other_test_labels_change_metrics_and_no_choice(searched):
    runs, stored = searched
    scrambled = {
        run: table.assign(target=np.where(table["part"] == "test", 1 - table["target"], 0))
        for run, table in stored.items()
    }
    one, two = (run_metrics(runs, own.__getitem__) for own in (stored, scrambled))
    labels = ["run", "lr", "split", "seed"]
    pd.testing.assert_frame_equal(one[labels], two[labels])
    aurocs = [own.loc[own["metric"] == "auroc", "value"].to_numpy() for own in (one, two)]
    np.testing.assert_allclose(aurocs[0], 1 - aurocs[1])


def test_a_grid_that_is_not_finished_has_no_result_yet():
    stored = {"0": predictions_table("abcd", [0, 0, 1, 1], [-1.0, -2.0, 1.0, 2.0])}
    table = grid((1e-4, 0.9, "done"), (1e-3, None, "pending"))
    assert run_metrics(table, stored.__getitem__).empty
    board = leaderboard(table, stored.__getitem__, replicates=5)
    assert board["state"].tolist() == ["pending"]
    assert board["estimate"].isna().all()
