"""Who is called worse than the best, where runs are missing and where episodes vary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated import cross_validated, predictions_table, runs_table

from prognobench.evaluation.tables import leaderboard


@pytest.mark.parametrize("metric", ["auroc", "brier"])
def test_nobody_is_worse_by_being_better_on_what_both_have_done(metric):
    runs, stored = cross_validated(np.random.default_rng(2), {"lora": 2.5, "linear": 0.0}, 200)
    # What "linear" has alone is easy, and what "lora" has alone is hard: the worse one leads.
    hard = stored["lora-0"]
    stored["lora-0"] = predictions_table(
        hard["patient_id"], hard["target"], -2.0 * (hard["target"] - 0.5)
    )
    for fold in (3, 4):
        easy = stored[f"linear-{fold}"]
        stored[f"linear-{fold}"] = predictions_table(
            easy["patient_id"], easy["target"], 30.0 * (easy["target"] - 0.5)
        )
    missing = runs["run"].isin(["lora-3", "lora-4", "linear-0"])
    runs.loc[missing, ["state", "reason"]] = ["failed", "loss is not finite"]
    # Of the two that both have done, "lora" is better.
    board = leaderboard(runs, stored.__getitem__, metric, 200).set_index("strategy")
    assert set(board["state"]) == {"partial"}
    lora = board.loc["lora"]
    assert board.loc["linear", "rank"] == 1 and lora["rank"] == 2
    better = lora["difference_low"] > 0 if metric == "auroc" else lora["difference_high"] < 0
    assert better and lora["best_group"]


def test_episodes_that_favour_now_one_and_now_the_other_are_no_evidence():
    """DeLong's test would take the training patients that were drawn for given."""
    random = np.random.default_rng(0)
    effects = {"lora": (3.0, 0.0, 3.0), "linear": (0.5, 1.0, 0.5)}
    rows, stored = [], {}
    for strategy, drawn in effects.items():
        for episode, effect in enumerate(drawn):
            members = np.arange(200) + 200 * episode
            target = (members % 2 == 0).astype(int)
            run = f"{strategy}-{episode}"
            stored[run] = predictions_table(
                members, target, effect * (target - 0.5) + random.normal(size=200)
            )
            where = {"regime": "few_shot", "shots": 2, "episode": episode, "fold": episode}
            rows.append({"run": run, "strategy": strategy, "split": f"e{episode}", **where})
    runs = runs_table(rows)
    board = leaderboard(runs, stored.__getitem__, "auroc", 200).set_index("strategy")
    assert board["p_delong"].isna().all()
    assert board.loc["linear", "best_group"] and board.loc["linear", "p_value"] > 0.05
    # As three folds, which test given patients by models that are given, the two are apart.
    folds = runs.assign(regime="full_data", shots=pd.array([pd.NA] * len(runs), dtype="Int64"))
    folds["episode"] = pd.array([pd.NA] * len(runs), dtype="Int64")
    board = leaderboard(folds, stored.__getitem__, "auroc", 200).set_index("strategy")
    assert board.loc["linear", "p_delong"] < 0.001 and not board.loc["linear", "best_group"]
