"""Candidates against controls: who is compared, on what, and when it is said to beat them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from prognobench.evaluation.controls import CONTROL, CONTROLS
from prognobench.evaluation.tables import leaderboard

PATIENTS, FOLDS = 300, 5


def benchmark(signals, missing=()):
    """Runs of candidates and controls whose logit is the outcome times a signal, with noise."""
    random = np.random.default_rng(0)
    target = (np.arange(PATIENTS) % 3 == 0).astype(int)
    shared = random.normal(size=PATIENTS)
    rows, stored = [], {}
    for (backbone, strategy), signal in signals.items():
        own = signal * (target - 1 / 3) + 0.7 * shared + 0.7 * random.normal(size=PATIENTS)
        for fold in range(FOLDS):
            run = f"{backbone}-{strategy}-{fold}"
            state = "failed" if (strategy, fold) in missing else "done"
            rows.append(
                {
                    "run": run, "state": state, "reason": None, "dataset": "d", "endpoint": "e",
                    "backbone": backbone, "strategy": strategy, "regime": "full_data",
                    "shots": pd.NA, "level": np.nan, "split": f"fold{fold}", "fold": fold,
                    "episode": pd.NA, "seed": 1, "lr": np.nan, "validation_score": 0.5,
                    "prior_logit_shift": 0.0, "trainable_parameters": 1, "train_seconds": 1.0,
                    "threshold": 0.5,
                }
            )  # fmt: skip
            part = np.where(np.arange(PATIENTS) % FOLDS == fold, "test", "train")
            logit = own - 0.3
            stored[run] = pd.DataFrame(
                {
                    "patient_id": [f"p{i}" for i in range(PATIENTS)],
                    "image_id": [f"i{i}" for i in range(PATIENTS)],
                    "part": part, "target": target, "logit": logit,
                    "probability": 1 / (1 + np.exp(-logit)),
                }
            )  # fmt: skip
    return pd.DataFrame(rows), stored.__getitem__


def board(signals, missing=(), metric="auroc"):
    runs, predictions = benchmark(signals, missing)
    table = leaderboard(runs, predictions, metric, replicates=400)
    return table.set_index(["backbone", "strategy"])


def test_controls_are_in_the_table_without_a_rank_and_never_the_best():
    table = board({("net", "lora"): 1.0, (CONTROL, "clinical"): 3.0, (CONTROL, "prevalence"): 0.0})
    assert table.loc[("net", "lora"), "rank"] == 1
    assert table.loc[(CONTROL, "clinical"), "rank"] is pd.NA
    assert table.loc[(CONTROL, "clinical"), "estimate"] > table.loc[("net", "lora"), "estimate"]
    assert not table.loc[(CONTROL, "clinical"), "best_group"]


def test_the_best_control_is_the_one_to_beat():
    table = board(
        {
            ("net", "lora"): 4.0, ("net", "linear"): 1.0,
            (CONTROL, "clinical"): 1.1, (CONTROL, "border"): 0.1, (CONTROL, "permuted_labels"): 9.0,
        }
    )  # fmt: skip
    strong, weak = table.loc[("net", "lora")], table.loc[("net", "linear")]
    assert strong["control"] == weak["control"] == "clinical"
    assert strong["beats_controls"]
    assert strong["control_low"] > 0
    assert not weak["beats_controls"]
    difference = weak["estimate"] - table.loc[(CONTROL, "clinical"), "estimate"]
    assert weak["control_difference"] == pytest.approx(difference)
    assert weak["control_low"] < difference < weak["control_high"]


def test_a_metric_where_less_is_better_is_turned_around():
    table = board({("net", "lora"): 4.0, (CONTROL, "clinical"): 0.5}, metric="brier")
    assert table.loc[("net", "lora"), "control_difference"] < 0
    assert table.loc[("net", "lora"), "beats_controls"]


def test_only_what_both_have_finished_is_compared():
    table = board({("net", "lora"): 2.0, (CONTROL, "clinical"): 2.0}, missing={("clinical", 0)})
    whole = board({("net", "lora"): 2.0, (CONTROL, "clinical"): 2.0})
    row = table.loc[("net", "lora")]
    assert row["control"] == "clinical"
    difference = row["estimate"] - table.loc[(CONTROL, "clinical"), "estimate"]
    assert row["control_difference"] != pytest.approx(difference, abs=1e-9)
    assert whole.loc[("net", "lora"), "control_difference"] != row["control_difference"]


def test_without_controls_the_columns_are_empty():
    table = board({("net", "lora"): 2.0})
    assert table["control"].isna().all()
    assert table["beats_controls"].isna().all()


def test_every_control_has_words():
    assert all(CONTROLS.values())
