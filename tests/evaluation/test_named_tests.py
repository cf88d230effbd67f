"""The tests that are known by name, from stored predictions to the leaderboard's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import predictions_table, runs_table
from sklearn.metrics import roc_auc_score

from prognobench.evaluation.tables import leaderboard


def trained_by(seeds, folds, again=0.0):
    """Two candidates on folds, each a range of patients, trained by some seeds, and their AUROC."""
    random = np.random.default_rng(3)
    patients = np.concatenate(list(folds))
    target = np.array([number % 3 == 0 for number in range(patients.max() + 1)]).astype(int)
    target[folds[-1]] = 0
    rows, stored, values = [], {}, {}
    effects = {"lora": 1.2, "linear": 0.4}
    shown = {name: own * target + random.normal(size=len(target)) for name, own in effects.items()}
    for strategy in effects:
        for fold, members in enumerate(folds):
            outside = np.setdiff1d(patients, members)
            for seed in range(seeds):
                run = f"{strategy}-{fold}-{seed}"
                logit = shown[strategy] + again * random.normal(size=len(target))
                stored[run] = pd.concat(
                    [
                        predictions_table(members, target[members], logit[members]),
                        predictions_table(outside, target[outside], logit[outside], "train"),
                    ]
                )
                rows.append({"run": run, "strategy": strategy, "fold": fold, "split": f"f{fold}",
                             "seed": seed})  # fmt: skip
                if target[members].any():
                    values[strategy, fold, seed] = roc_auc_score(target[members], logit[members])
    return runs_table(rows), stored, pd.Series(values)


def p_corrected_t(runs, stored):
    board = leaderboard(runs, stored.__getitem__, "auroc", replicates=20).set_index("rank")
    return board.loc[2, "p_corrected_t"]


# The last fold has no event, and a value of nobody: its many patients are in no ratio.
FOLDS = [np.arange(20), np.arange(20, 45), np.arange(45, 60), np.arange(60, 75), np.arange(75, 125)]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_corrected_test_counts_splits_and_not_seeds(seeds):
    runs, stored, values = trained_by(seeds, FOLDS, again=0.5)
    by_fold = values.groupby(level=[0, 1]).mean()
    plain = stats.ttest_rel(by_fold["lora"], by_fold["linear"])
    share = np.mean([len(fold) / (125 - len(fold)) for fold in FOLDS[:4]])
    t = plain.statistic * np.sqrt((1 / 4) / (1 / 4 + share))
    assert p_corrected_t(runs, stored) == pytest.approx(2 * stats.t.sf(abs(t), 3), rel=1e-9)


def test_a_seed_that_gives_the_same_again_is_no_evidence():
    once = p_corrected_t(*trained_by(1, FOLDS)[:2])
    assert p_corrected_t(*trained_by(10, FOLDS)[:2]) == pytest.approx(once, rel=1e-9)


def test_seeds_that_one_of_them_lacks_are_left_out_of_both():
    runs, stored, values = trained_by(2, FOLDS, again=0.5)
    failed = runs["run"].isin(["linear-0-1", "lora-1-0"])
    runs.loc[failed, ["state", "reason"]] = ["failed", "loss is not finite"]
    both = pd.DataFrame({name: values[name] for name in ("lora", "linear")})
    by_fold = both.drop([(0, 1), (1, 0)]).groupby(level=0).mean()
    plain = stats.ttest_rel(by_fold["lora"], by_fold["linear"])
    share = np.mean([len(fold) / (125 - len(fold)) for fold in FOLDS[:4]])
    t = plain.statistic * np.sqrt((1 / 4) / (1 / 4 + share))
    assert p_corrected_t(runs, stored) == pytest.approx(2 * stats.t.sf(abs(t), 3), rel=1e-9)
