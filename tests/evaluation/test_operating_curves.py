"""Curves over all thresholds, against scikit-learn, statsmodels and the metrics they belong to."""

import numpy as np
import pandas as pd
import pytest
from simulated import cross_validated
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from prognobench.evaluation.controls import CONTROL
from prognobench.evaluation.detail import details, main_cells
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.operating_curves import (
    GRID,
    RISKS,
    Examined,
    calibration,
    decision,
    distribution,
    precision_recall,
    roc,
)
from prognobench.evaluation.patients import patient_predictions
from prognobench.evaluation.sample import Sample
from prognobench.evaluation.tables import leaderboard


def examined(stored, replicates=20, group=(0, 0), drawn=None):
    patients = patient_predictions(stored)
    random = np.random.default_rng(5)
    weights = np.ones((1 + replicates, len(patients.target)))
    weights[1:] = random.integers(0, 3, (replicates, len(patients.target)))
    return Examined(group, patients, weights, drawn)


@pytest.fixture(scope="module")
def folds():
    # Logits rounded, so that there are ties between the outcomes.
    runs, stored = cross_validated(np.random.default_rng(3), {"lora": 1.2}, patients=120, images=1)
    for table in stored.values():
        table["logit"] = table["logit"].round(1)
        table["probability"] = 1 / (1 + np.exp(-table["logit"]))
    return runs, stored


def test_roc_is_the_mean_of_the_folds_of_scikit_learn(folds):
    _, stored = folds
    expected = []
    for table in stored.values():
        false, true, _ = sk.roc_curve(
            table["target"], table["probability"], drop_intermediate=False
        )
        # The upper end where the curve is vertical.
        last = pd.Series(true).groupby(false).max()
        expected.append(np.interp(GRID, last.index.to_numpy(), last.to_numpy()))
        # Between two different rates the line leaves from the upper end: one is not the other's.
        for place, rate in enumerate(GRID):
            left = np.flatnonzero(false <= rate)[-1]
            if left + 1 < len(false):
                share = (rate - false[left]) / (false[left + 1] - false[left])
                expected[-1][place] = true[left] + share * (true[left + 1] - true[left])
    found = roc([examined(table) for table in stored.values()], 0.95)
    assert found["value"].to_numpy() == pytest.approx(np.mean(expected, axis=0), abs=1e-12)
    area = np.trapezoid(found["value"], found["x"])
    auroc = [sk.roc_auc_score(t["target"], t["probability"]) for t in stored.values()]
    assert area == pytest.approx(np.mean(auroc), abs=0.01)
    assert (found["ci_low"] <= found["ci_high"]).all()


def test_precision_is_that_of_the_highest_threshold_that_reaches_the_recall(folds):
    _, stored = folds
    expected, average = [], []
    for table in stored.values():
        precision, recall, _ = sk.precision_recall_curve(table["target"], table["probability"])
        # scikit-learn goes from low to high thresholds: the last with the recall is the highest.
        expected.append([precision[recall >= wanted - 1e-9][-1] for wanted in GRID[1:]])
        average.append(sk.average_precision_score(table["target"], table["probability"]))
    found = precision_recall([examined(table) for table in stored.values()], 0.95)
    assert found["value"].to_numpy() == pytest.approx(np.mean(expected, axis=0), abs=1e-12)
    assert found["value"].mean() == pytest.approx(np.mean(average), abs=0.02)


def test_weights_are_repeated_patients(folds):
    _, stored = folds
    table = stored["lora-0"]
    own = examined(table, replicates=1)
    repeated = np.repeat(np.arange(len(own.patients.target)), own.weights[1].astype(int))
    twice = table.sort_values("patient_id").iloc[repeated].reset_index(drop=True)
    twice["patient_id"] = twice["image_id"] = [f"{place:03}" for place in range(len(twice))]
    for curve in (roc, precision_recall, decision):
        both = curve([own], 0.95)
        alone = curve([examined(twice)], 0.95)
        assert both["ci_low"].to_numpy() == pytest.approx(alone["value"].to_numpy(), abs=1e-9)


def test_decision_agrees_with_the_metric_at_its_risks(folds):
    _, stored = folds
    parts = [examined(table) for table in stored.values()]
    found = decision(parts, 0.95).set_index("x")
    for risk in (0.1, 0.2, 0.3):
        metric = METRICS[f"net_benefit_{round(100 * risk)}"]
        summed = sum(metric.statistics(Sample.of(own.patients)) for own in parts)
        assert found.loc[risk, "value"] == pytest.approx(metric.value(summed)[0], abs=1e-12)
    target = pd.concat(stored.values()).drop_duplicates("patient_id")["target"]
    prevalence = target.mean()
    expected = prevalence - (1 - prevalence) * RISKS / (1 - RISKS)
    assert found["treat_all"].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_calibration_bins_are_shares_with_wilsons_interval_of_patients(folds):
    _, stored = folds
    once = [examined(table) for table in stored.values()]
    found = calibration(once, 0.9)
    bins = found[found["kind"] == "bin"]
    assert bins["n"].sum() == 120
    assert len(bins) == 6
    pooled = pd.concat(stored.values())
    first = pooled[pooled["probability"] < pooled["probability"].quantile(1 / 6)]
    row = bins.iloc[0]
    assert row["x"] == pytest.approx(first["probability"].mean())
    assert row["value"] == pytest.approx(first["target"].mean())
    ends = proportion_confint(first["target"].sum(), len(first), alpha=0.1, method="wilson")
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(ends)
    # A second seed with the same predictions is no further evidence.
    again = calibration(once + [examined(table, group=(1, 0)) for table in stored.values()], 0.9)
    assert again["ci_low"].to_numpy() == pytest.approx(found["ci_low"].to_numpy(), nan_ok=True)
    smooth = found[found["kind"] == "smooth"]
    assert len(smooth) and smooth["value"].between(0, 1).all()


def test_distribution_has_each_outcome_once(folds):
    _, stored = folds
    found = distribution([examined(table) for table in stored.values()])
    assert found["events"].sum() == pytest.approx(1)
    assert found["others"].sum() == pytest.approx(1)
    assert (found["events"] * found["low"]).sum() > (found["others"] * found["low"]).sum()


def test_a_fold_without_events_is_left_out_and_episodes_are_weighted(folds):
    _, stored = folds
    table = stored["lora-0"]
    without = table.assign(target=0, patient_id=table["patient_id"] + "x")
    alone = roc([examined(table)], 0.95)
    assert roc([examined(table), examined(without)], 0.95)["value"].equals(alone["value"])
    assert roc([examined(without)], 0.95).empty
    never = np.zeros(21)
    never[0] = 1.0
    first = examined(table, group=(0,), drawn=2 * np.ones(21))
    # The same patients, ranked the other way round.
    reversed_ = table.assign(logit=-table["logit"], probability=1 - table["probability"])
    second = examined(reversed_, group=(1,), drawn=never)
    both = decision([first, second], 0.95)
    assert both["ci_low"].to_numpy() == pytest.approx(
        decision([first], 0.95)["ci_low"].to_numpy(), abs=1e-12
    )
    assert not np.allclose(both["value"], decision([first], 0.95)["value"])


def with_others(table):
    """The same predictions, and those of twenty patients more."""
    numbers = table["patient_id"].unique()[:20]
    more = table[table["patient_id"].isin(numbers)]
    return pd.concat([table, more.assign(patient_id="other" + more["patient_id"])])


def test_details_are_of_the_best_and_the_best_control_in_the_main_setting():
    effects = {"a": 0.2, "b": 1.8, "c": 1.0, "d": 1.4, "border": 0.5}
    runs, stored = cross_validated(np.random.default_rng(8), effects)
    runs.loc[runs["strategy"] == "border", "backbone"] = CONTROL
    few = runs.assign(run="few-" + runs["run"], regime="few_shot", shots=4)
    few["shots"] = few["shots"].astype("Int64")
    # Patients whom no run of the main setting tests are drawn from all the same.
    stored |= {f"few-{name}": with_others(table) for name, table in stored.items()}
    everything = pd.concat([few, runs], ignore_index=True)
    board = leaderboard(everything, stored.__getitem__, replicates=50)
    main = main_cells(board)
    assert set(main["regime"]) == {"full_data"}
    images = pd.DataFrame(
        {
            "image_id": [f"image{place}" for place in range(60)],
            "patient_id": [str(place) for place in range(60)],
            "acquired": 0.0, "site": "A", "view": "AP",
        }
    )  # fmt: skip
    tested = {("simulated", "icu"): {p for own in stored.values() for p in own["patient_id"]}}
    found = details(
        everything,
        stored.__getitem__,
        board,
        {"simulated": images},
        tested=tested,
        replicates=50,
        confidence=0.95,
    )
    assert set(found.curves["regime"]) == {"full_data"}
    ranked = main[main["rank"].notna()].sort_values("rank")["strategy"].head(3)
    assert list(dict.fromkeys(found.curves["strategy"])) == [*ranked, "border"]
    assert set(found.subgroups["strategy"]) == {ranked.iloc[0]}
    best = main[main["rank"] == 1].iloc[0]
    everybody = found.subgroups[found.subgroups["attribute"] == "everybody"].set_index("metric")
    told = everybody.loc["mcc", ["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    # The same draws as the leaderboard's.
    assert told == pytest.approx(best[["estimate", "ci_low", "ci_high"]].to_numpy(dtype=float))
