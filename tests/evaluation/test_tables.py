import itertools

import numpy as np
import pandas as pd
import pytest
from simulated import cross_validated, predictions_table, runs_table
from sklearn import metrics as sk

from prognobench.errors import UserError
from prognobench.evaluation import cells, controls
from prognobench.evaluation.comparison import bootstrap_t
from prognobench.evaluation.metrics import metrics_of
from prognobench.evaluation.tables import (
    RESULT_COLUMNS,
    leaderboard,
    leaderboard_columns,
    run_metrics,
)


@pytest.fixture
def two():
    return cross_validated(np.random.default_rng(1), {"lora": 1.5, "linear": 1.4})


def row(board, **where):
    chosen = board
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_results_are_one_row_a_run_and_metric(two):
    runs, stored = two
    table = run_metrics(runs, stored.__getitem__)
    assert list(table.columns) == list(RESULT_COLUMNS)
    assert len(table) == len(runs) * len(metrics_of("binary"))
    patients = (
        stored["lora-0"].groupby("patient_id").agg({"target": "first", "probability": "mean"})
    )
    expected = sk.roc_auc_score(patients["target"], patients["probability"])
    found = row(table, run="lora-0", metric="auroc")
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert (found["n_test"], found["n_positive"]) == (20, patients["target"].sum())
    assert pd.isna(found["reason"]) and pd.isna(found["flag"])


def test_each_value_stands_beside_what_permuted_outcomes_give_on_its_fold(two):
    runs, stored = two
    table = run_metrics(runs, stored.__getitem__).set_index(["run", "metric"])
    fold = stored["lora-0"].groupby("patient_id").agg({"target": "first", "probability": "mean"})
    random = np.random.default_rng(0)
    permuted = [random.permutation(fold["target"]) for _ in range(100)]
    for name, measure in (
        ("pr_auc", sk.average_precision_score),
        ("auroc", sk.roc_auc_score),
        ("mcc", lambda target, score: sk.matthews_corrcoef(target, score >= 0.5)),
    ):
        values = [measure(target, fold["probability"]) for target in permuted]
        chance = table.loc[("lora-0", name), "chance"]
        assert chance == pytest.approx(np.mean(values), abs=4 * np.std(values) / 10)
    assert table.loc[("lora-0", "pr_auc"), "chance"] > 6 / 20 + 0.04
    assert np.isnan(table.loc[("lora-0", "calibration_slope"), "chance"])


def test_runs_without_predictions_have_empty_values_and_their_reason():
    runs = runs_table(
        [
            {"run": "a", "split": "a", "state": "failed", "reason": "out of memory"},
            {"run": "b", "split": "b", "state": "not_applicable", "reason": "VeRA needs it"},
            {"run": "c", "split": "c", "state": "not_feasible"},
            {"run": "d", "split": "d", "state": "pending"},
            {"run": "e", "split": "e"},
            {"run": "f", "split": "f"},
        ]
    )
    stored = {
        "e": predictions_table("ab", [0, 1], [0.0, np.nan]),
        "f": predictions_table("ab", [1, 1], [0.3, 0.3]),
    }
    table = run_metrics(runs, stored.__getitem__)
    mcc = table[table["metric"] == "mcc"].set_index("run")
    assert list(mcc.index) == ["a", "b", "c", "e", "f"]
    assert mcc["value"].isna().all()
    assert mcc.loc["a", "reason"] == "out of memory"
    assert mcc.loc["b", "reason"] == "VeRA needs it"
    assert mcc.loc["c", "reason"] == "the run is not feasible"
    assert "not a finite number" in mcc.loc["e", "reason"]
    assert "one class" in mcc.loc["f", "reason"]
    assert mcc["chance"].isna().all()
    assert mcc.loc["f", "flag"] == "constant_prediction"
    assert mcc.loc["f", "n_test"] == 2 and pd.isna(mcc.loc["a", "n_test"])


def test_folds_are_put_together_as_each_metric_asks(two):
    runs, stored = two
    board = leaderboard(runs, stored.__getitem__, replicates=50)
    assert list(board.columns) == leaderboard_columns()
    found = row(board, strategy="lora")
    folds = [
        stored[f"lora-{fold}"].groupby("patient_id").agg({"target": "first", "probability": "mean"})
        for fold in range(5)
    ]
    pooled = pd.concat(folds)
    called = pooled["probability"] >= 0.5
    target = pooled["target"]
    assert found["estimate"] == pytest.approx(sk.matthews_corrcoef(target, called), abs=1e-12)
    assert found["auroc"] == pytest.approx(
        np.mean([sk.roc_auc_score(f["target"], f["probability"]) for f in folds]), abs=1e-12
    )
    assert found["pr_auc"] == pytest.approx(
        np.mean([sk.average_precision_score(f["target"], f["probability"]) for f in folds])
    )
    assert found["brier"] == pytest.approx(sk.brier_score_loss(target, pooled["probability"]))
    assert (found["n_patients"], found["n_positive"], found["n_runs"]) == (100, 30, 5)
    assert (found["prevalence"], found["chance"]) == (0.3, 0.0)
    for name, own in (("", sk.matthews_corrcoef), ("pr_auc_", sk.average_precision_score)):
        values = [own(f["target"], f["probability"] if name else f["probability"] >= 0.5)
                  for f in folds]  # fmt: skip
        assert found[f"{name}fold_mean"] == pytest.approx(np.mean(values), abs=1e-12)
        assert found[f"{name}fold_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    # By whatever metric candidates are ranked, MCC is there both ways.
    other = row(leaderboard(runs, stored.__getitem__, "auroc", 50), strategy="lora")
    assert other["mcc"] == found["estimate"]
    assert other["mcc_fold_sd"] == found["fold_sd"] and other["mcc_fold_mean"] != other["mcc"]
    for name in ("auroc", "pr_auc", "brier", "balanced_accuracy"):
        assert found[f"{name}_ci_low"] < found[name] < found[f"{name}_ci_high"]
    assert found["ci_low"] < found["estimate"] < found["ci_high"]


SITES = [(400, 200), (20, 2), (20, 1), (20, 0)]
"""Patients and events of test folds that differ in both, as those of sites do."""


def uninformed(sites, **where):
    """A model that gives every patient of a fold the share of events there."""
    rows, stored, pooled = [], {}, []
    for number, (patients, events) in enumerate(sites):
        run = f"{where.get('seed', 0)}-{number}"
        target = (np.arange(patients) < events).astype(int)
        share = np.clip(events / patients, 1e-12, 1 - 1e-12)
        names = [f"{number}-{patient}" for patient in range(patients)]
        stored[run] = predictions_table(
            names, target, np.full(patients, np.log(share / (1 - share)))
        )
        rows.append({"run": run, "fold": number, "split": f"f{number}", **where})
        pooled.append(pd.DataFrame({"target": target, "probability": share, "fold": number}))
    return rows, stored, pd.concat(pooled)


@pytest.mark.parametrize("name", ["brier", "log_loss", "ppv", "npv"])
def test_chance_of_what_is_summed_over_folds_counts_their_patients(name):
    rows, stored, pooled = uninformed(SITES)
    again, others, _ = uninformed(SITES, seed=1)
    board = leaderboard(runs_table(rows + again), (stored | others).__getitem__, name, 20).iloc[0]
    random = np.random.default_rng(0)
    called = random.integers(2, size=(1000, len(pooled)))  # by chance, as often in each fold
    target = pooled["target"].to_numpy()
    expected = {
        "brier": sk.brier_score_loss(target, pooled["probability"]),
        "log_loss": sk.log_loss(target, pooled["probability"]),
        "ppv": (called @ target / called.sum(axis=1)).mean(),
        "npv": ((1 - called) @ (1 - target) / (1 - called).sum(axis=1)).mean(),
    }[name]
    assert board["chance"] == pytest.approx(expected, abs=1e-9 if name[0] in "bl" else 5e-3)
    if name[0] in "bl":
        assert board["estimate"] == pytest.approx(board["chance"], abs=1e-6)


def test_chance_of_what_is_averaged_over_folds_is_of_those_with_a_value():
    rows, stored, pooled = uninformed(SITES)
    board = leaderboard(runs_table(rows), stored.__getitem__, "pr_auc", replicates=20).iloc[0]
    random = np.random.default_rng(0)
    levels = [
        np.mean([sk.average_precision_score(own, random.random(len(own))) for _ in range(1000)])
        for _, own in pooled.groupby("fold")["target"]
        if own.nunique() == 2
    ]
    assert board["chance"] == pytest.approx(np.mean(levels), abs=0.01)
    # Folds of one class each have an MCC together, and chance beside it.
    rows, stored, _ = uninformed([(20, 20), (30, 0)])
    board = leaderboard(runs_table(rows), stored.__getitem__, replicates=20).iloc[0]
    assert (board["estimate"], board["chance"]) == (1.0, 0.0)
    rows, stored, _ = uninformed([(30, 0), (30, 0)])
    board = leaderboard(runs_table(rows), stored.__getitem__, replicates=20).iloc[0]
    assert np.isnan(board["estimate"]) and np.isnan(board["chance"]) and board["brier_chance"] == 0


def test_chance_of_episodes_is_that_of_each():
    rows, stored, pooled = uninformed(SITES)
    episodes = [row | {"episode": row["fold"], "regime": "few_shot", "shots": 2} for row in rows]
    board = leaderboard(runs_table(episodes), stored.__getitem__, "brier", replicates=20).iloc[0]
    expected = [
        sk.brier_score_loss(own["target"], own["probability"], pos_label=1)
        for _, own in pooled.groupby("fold")
    ]
    assert board["chance"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_seeds_and_repeats_are_averaged(two):
    runs, stored = two
    runs = runs[runs["strategy"] == "lora"]
    other = runs.assign(run=runs["run"] + "b", seed=1)
    stored = stored | {
        f"lora-{f}b": stored[f"lora-{f}"].assign(probability=0.9, logit=2.0) for f in range(5)
    }
    single = leaderboard(runs, stored.__getitem__, replicates=20)["estimate"].iloc[0]
    both = leaderboard(pd.concat([runs, other]), stored.__getitem__, replicates=20).iloc[0]
    assert both["estimate"] == pytest.approx(single / 2)
    assert both["reason"] == "constant prediction in 5 of 10 runs"
    # The same as a second repetition of the cross-validation, told apart by its split ids.
    repeat = other.assign(seed=0, split="repeat1" + other["split"])
    again = leaderboard(pd.concat([runs, repeat]), stored.__getitem__, replicates=20).iloc[0]
    assert again["estimate"] == both["estimate"]


def test_few_shot_episodes_are_valued_alone_then_averaged():
    random = np.random.default_rng(5)
    rows, stored, values = [], {}, []
    for episode in range(4):
        members = np.arange(20) + 20 * (episode % 2)
        target, logit = members % 4 == 0, random.normal(size=20)
        stored[str(episode)] = predictions_table(members, target, logit)
        values.append(sk.matthews_corrcoef(target, logit >= 0))
        where = {"regime": "few_shot", "shots": 2, "episode": episode, "fold": episode % 2}
        rows.append({"run": str(episode), "split": f"episode{episode}", **where})
    found = leaderboard(runs_table(rows), stored.__getitem__, replicates=100).iloc[0]
    assert found["estimate"] == pytest.approx(np.mean(values), abs=1e-12)
    assert found["shots"] == 2 and found["n_runs"] == 4
    assert found["ci_low"] < found["estimate"] < found["ci_high"]


def test_what_others_have_finished_leaves_a_candidate_as_it_is():
    """Episodes are drawn from as planned: an interval must not move while others go on."""
    random = np.random.default_rng(5)
    rows, stored = [], {}
    for strategy in ("lora", "linear"):
        for episode in range(4):
            run = f"{strategy}-{episode}"
            members = np.arange(20)
            stored[run] = predictions_table(members, members % 4 == 0, random.normal(size=20))
            where = {"regime": "few_shot", "shots": 2, "episode": episode, "fold": 0}
            rows.append({"run": run, "strategy": strategy, "split": f"e{episode}", **where})
    runs = runs_table(rows)
    runs.loc[runs["run"] == "lora-3", "state"] = "pending"
    later = runs.assign(state=runs["state"].mask(runs["run"] == "linear-3", "pending"))
    known = ["estimate", "ci_low", "ci_high", "n_replicates"]
    both = [
        leaderboard(own, stored.__getitem__, replicates=100).set_index("strategy").loc["lora"]
        for own in (later, runs)
    ]
    pd.testing.assert_series_equal(both[0][known], both[1][known])
    # An episode that cannot be had is not drawn from.
    impossible = runs.assign(state=runs["state"].mask(runs["episode"] == 3, "not_feasible"))
    found = leaderboard(impossible, stored.__getitem__, replicates=100).set_index("strategy")
    assert found.loc["lora", "ci_low"] != both[0]["ci_low"]
    assert found.loc["lora", "estimate"] == both[0]["estimate"]


def test_the_same_predictions_share_rank_and_best_group(two):
    runs, stored = two
    twin = runs[runs["strategy"] == "lora"].assign(strategy="vera")
    stored |= {f"vera-{fold}": stored[f"lora-{fold}"] for fold in range(5)}
    twin["run"] = [f"vera-{fold}" for fold in range(5)]
    board = leaderboard(pd.concat([runs, twin]), stored.__getitem__, replicates=50)
    same = board[board["strategy"].isin(["lora", "vera"])]
    assert same["best_group"].all()
    for name in ("rank", "difference_to_best", "ci_low"):
        assert same[name].iloc[0] == same[name].iloc[1]


def test_a_clearly_worse_candidate_is_told_apart():
    runs, stored = cross_validated(np.random.default_rng(2), {"lora": 4.0, "linear": 0.0}, 200)
    board = leaderboard(runs, stored.__getitem__, replicates=200).set_index("strategy")
    assert board["rank"].to_dict() == {"lora": 1, "linear": 2}
    assert board["best_group"].to_dict() == {"lora": True, "linear": False}
    assert board.loc["linear", "difference_high"] < 0
    # Where lower is better the order is the same and the sign is not.
    board = leaderboard(runs, stored.__getitem__, "brier", 200).set_index("strategy")
    assert board["rank"].to_dict() == {"lora": 1, "linear": 2}
    assert board.loc["linear", "difference_low"] > 0


def test_a_candidate_with_missing_folds_ranks_after_the_complete_ones_and_is_compared_on_common():
    runs, stored = cross_validated(np.random.default_rng(2), {"lora": 4.0, "linear": 1.0})
    runs.loc[runs["run"] == "lora-3", ["state", "reason"]] = ["failed", "loss is not finite"]
    stored["lora-4"] = stored["lora-4"].assign(probability=np.nan)
    board = leaderboard(runs, stored.__getitem__, replicates=50).set_index("strategy")
    lora, linear = board.loc["lora"], board.loc["linear"]
    assert (lora["state"], lora["rank"], lora["n_runs"], lora["n_failed"]) == ("partial", 2, 3, 2)
    assert lora["reason"].startswith("2 of 5 runs failed: loss is not finite")
    assert linear["rank"] == 1
    common = runs[runs["run"].isin([f"linear-{fold}" for fold in range(3)])]
    alone = leaderboard(common, stored.__getitem__, replicates=50)["estimate"].iloc[0]
    assert lora["difference_to_best"] == pytest.approx(lora["estimate"] - alone)


def test_the_best_is_estimated_anew_once_for_all_that_lack_the_same_fold(monkeypatch):
    skills = {"lora": 4.0, "linear": 1.0, "vera": 0.9, "ia3": 0.8}
    runs, stored = cross_validated(np.random.default_rng(2), skills)
    lacking = runs["run"].isin(["linear-3", "vera-3", "ia3-3"])
    runs.loc[lacking, ["state", "reason"]] = ["failed", "loss is not finite"]
    made, again = [], cells.units_again

    def counted(own, read):
        made.append(own.runs["strategy"].iloc[0])
        return again(own, read)

    monkeypatch.setattr(cells, "units_again", counted)
    leaderboard(runs, stored.__getitem__, replicates=20)
    assert made == ["lora"]


def test_cells_that_cannot_be_run_are_rows_with_their_reason(two):
    runs, stored = two
    absent = runs_table(
        [
            {"run": "x", "strategy": "vera", "state": "not_applicable", "reason": "no linear"},
            {"run": "y", "strategy": "full", "state": "failed", "reason": "out of memory"},
        ]
    )
    board = leaderboard(pd.concat([runs, absent]), stored.__getitem__, replicates=20)
    assert board["strategy"].tolist()[2:] == ["full", "vera"]
    vera = row(board, strategy="vera")
    assert (vera["state"], vera["reason"], vera["n_runs"]) == ("not_applicable", "no linear", 0)
    assert vera[["rank", "estimate", "ci_low", "pr_auc", "n_patients", "chance"]].isna().all()
    assert not vera["best_group"]
    assert row(board, strategy="full")["n_failed"] == 1
    nothing = leaderboard(absent, stored.__getitem__, replicates=20)
    assert nothing["estimate"].isna().all()


def test_no_interval_where_resampling_cannot_give_one():
    one_event = runs_table([{"run": "a"}])
    stored = {"a": predictions_table("abcd", [0, 0, 0, 1], [-1.0, 0.3, -0.2, 0.1])}
    found = leaderboard(one_event, stored.__getitem__, replicates=20).iloc[0]
    assert np.isfinite(found["estimate"]) and np.isnan(found["ci_low"])
    assert found["reason"] == "no interval: the rarer class has 1 test patients"
    perfect = {"a": predictions_table("abcd", [0, 0, 1, 1], [-1.0, -2.0, 1.0, 2.0])}
    found = leaderboard(one_event, perfect.__getitem__, replicates=20).iloc[0]
    assert (found["ci_low"], found["ci_high"]) == (1.0, 1.0)
    assert "no width" in found["reason"]


@pytest.mark.parametrize("regime", ["full_data", "few_shot"])
def test_degrees_of_freedom_are_of_the_folds_that_both_have(monkeypatch, regime):
    """With events in folds 0 to 3 of 3, 1, 5 and 6, and two seeds; each lacks another fold."""
    random = np.random.default_rng(0)
    rows, stored = [], {}
    lacking = {"a": (0,), "b": (2,), "control": (3,)}
    for strategy, fold, seed in itertools.product(lacking, range(4), range(2)):
        run = f"{strategy}-{fold}-{seed}"
        target = (np.arange(15) < (3, 1, 5, 6)[fold]).astype(int)
        logit = target * {"a": 3.0, "b": 1.0, "control": 0.0}[strategy] + random.normal(size=15)
        stored[run] = predictions_table(np.arange(15) + 15 * fold, target, logit)
        where = {"fold": fold, "split": f"f{fold}", "seed": seed, "regime": regime}
        where |= {"backbone": "control"} if strategy == "control" else {}
        where |= {"episode": fold, "shots": 2} if regime == "few_shot" else {}
        where |= {"state": "failed", "reason": "x"} if fold in lacking[strategy] else {}
        rows.append({"run": run, "strategy": strategy, **where})
    asked = []

    def counted(values, rarer, confidence):
        asked.append(rarer)
        return bootstrap_t(values, rarer, confidence)

    for module in (cells, controls):
        monkeypatch.setattr(module, "bootstrap_t", counted)
    leaderboard(runs_table(rows), stored.__getitem__, "auroc", replicates=20)
    # The best by itself, b on folds 1 and 3, and the control: with a on 1 and 2, with b on 0 and 1.
    assert asked == [1 + 5 + 6, 1 + 6, 1 + 5, 3 + 1]


@pytest.mark.parametrize("metric", ["mcc", "auroc"])
def test_who_cannot_be_tested_stays_in_the_best_group_and_out_of_the_correction(metric):
    random = np.random.default_rng(0)
    shown = {"perfect": 6.0, "blurred": 2.0, "constant": 0.0}
    rows, stored = [], {}
    for strategy, effect in [*shown.items(), ("prevalence", 0.0)]:
        for fold in range(2):
            run, target = f"{strategy}{fold}", np.arange(20) % 2
            noise = {"perfect": 0.1, "blurred": 2.0}.get(strategy, 0.0) * random.normal(size=20)
            logit = effect * (target - 0.5) + noise - (effect == 0.0)
            stored[run] = predictions_table(np.arange(20) + 20 * fold, target, logit)
            backbone = "control" if strategy == "prevalence" else "resnet18"
            rows.append({"run": run, "backbone": backbone, "strategy": strategy, "fold": fold,
                         "split": f"f{fold}"})  # fmt: skip
    board = leaderboard(runs_table(rows), stored.__getitem__, metric, 200).set_index("strategy")
    tested, untested = board.loc["blurred"], board.loc["constant"]
    ends = ["p_value", "p_holm", "difference_low", "difference_high", "p_corrected_t"]
    assert untested[ends].isna().all() and untested["best_group"]
    assert untested["difference_to_best"] < 0
    # Holm's method corrects for the one comparison that was made.
    assert tested["p_holm"] == tested["p_value"] < 0.05 and not tested["best_group"]
    perfect = board.loc["perfect"]
    assert perfect["control"] == "prevalence" and perfect["control_difference"] > 0
    assert perfect[["control_low", "control_high"]].isna().all()
    assert not perfect["beats_controls"] and board.loc["blurred", "beats_controls"]


def test_the_table_does_not_depend_on_the_order_of_the_runs(two):
    runs, stored = two
    first = leaderboard(runs, stored.__getitem__, replicates=30)
    second = leaderboard(runs.sample(frac=1, random_state=0), stored.__getitem__, replicates=30)
    pd.testing.assert_frame_equal(first, second, rtol=1e-12)


def test_wrong_input_gets_a_sentence(two):
    runs, stored = two
    with pytest.raises(UserError, match="unknown metric 'auc'"):
        leaderboard(runs, stored.__getitem__, metric="auc")
    with pytest.raises(UserError, match="lacks the column seed"):
        run_metrics(runs.drop(columns="seed"), stored.__getitem__)
    with pytest.raises(UserError, match="at least 1"):
        leaderboard(runs, stored.__getitem__, replicates=0)
    with pytest.raises(UserError, match="names a run twice"):
        leaderboard(pd.concat([runs, runs]), stored.__getitem__)
    stored["linear-0"] = stored["linear-0"].assign(target=1 - stored["linear-0"]["target"])
    with pytest.raises(UserError, match="disagree on a patient's outcome"):
        leaderboard(runs, stored.__getitem__, replicates=5)
