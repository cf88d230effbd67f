"""A closer look at times and scores: curves of risk groups, calibration at a horizon, agreement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_times import drawn, made_runs

from prognobench.evaluation.choice import choose_runs
from prognobench.evaluation.detail import details
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.scores import PatientScores, agreement
from prognobench.evaluation.tables import leaderboard, patients_tested
from prognobench.evaluation.time_curves import (
    ExaminedTimes,
    calibration_at,
    kaplan_meier,
    median_event,
    risk_groups,
)
from prognobench.evaluation.times import PatientTimes, event_risk, patient_times, uncensored


def test_the_curve_is_the_product_limit_with_greenwood_s_interval():
    # Six patients, events at 1, 3 and 3, follow-ups to 2, 4 and 5.
    target = np.array([1.0, -2.0, 3.0, 3.0, -4.0, -5.0])
    time, share, low, high = kaplan_meier(target, 0.95)
    assert time.tolist() == [0.0, 1.0, 3.0, 5.0]
    np.testing.assert_allclose(share, [1, 5 / 6, 5 / 6 * 2 / 4, 5 / 6 * 2 / 4], atol=1e-12)
    greenwood = np.sqrt(1 / (6 * 5) + 2 / (4 * 2))
    last = share[2]
    width = 1.959963985 * greenwood / abs(np.log(last))
    assert low[2] == pytest.approx(last ** np.exp(width), abs=1e-9)
    assert high[2] == pytest.approx(last ** np.exp(-width), abs=1e-9)
    assert np.isnan(low[0]) and np.isnan(high[0])
    # Each patient twice is no second patient: the curve and its interval stay.
    again = kaplan_meier(np.repeat(target, 2), 0.95, repeats=2)
    np.testing.assert_allclose(again[1], share, atol=1e-12)
    assert (again[2][1:] >= low[1:] - 1e-12).all() and (again[2][2] - low[2]) < 0.05


def test_the_curve_is_that_of_uncensored_times_turned_round():
    # Where no time is both an event's and a follow-up's, each is the other's mirror.
    target = drawn(3, levels=10_000)["target"].to_numpy() + np.linspace(0, 0.5, 120)
    time, share, *_ = kaplan_meier(target, 0.95)
    np.testing.assert_allclose(share, uncensored(-target, time), atol=1e-12)


def test_curves_are_the_same_as_scikit_survival_s():
    estimator = pytest.importorskip("sksurv.nonparametric").kaplan_meier_estimator
    target = drawn(5)["target"].to_numpy()
    when, expected, ends = estimator(target > 0, np.abs(target), conf_type="log-log")
    time, share, low, high = kaplan_meier(target, 0.95)
    place = np.searchsorted(when, time[1:], side="right") - 1
    np.testing.assert_allclose(share[1:], expected[place], atol=1e-9)
    inside = np.isfinite(low[1:])
    np.testing.assert_allclose(low[1:][inside], ends[0][place][inside], atol=1e-9)
    np.testing.assert_allclose(high[1:][inside], ends[1][place][inside], atol=1e-9)


def examined(stored, horizon=5.0):
    return ExaminedTimes(patient_times(stored), event_risk(stored, horizon))


def test_a_risk_that_tells_parts_the_thirds_and_one_that_does_not_leaves_all_in_the_middle():
    stored = drawn(2, test=90)
    table = risk_groups([examined(stored)], 0.95)
    counts = table[(table["kind"] == "at_risk") & (table["x"] == 0)].set_index("group")["n"]
    assert counts.sum() == 90
    assert counts.between(20, 40).all()
    curve = table[table["kind"] == "curve"]
    at_five = {
        group: own.loc[own["x"] <= 5, "value"].iloc[-1] for group, own in curve.groupby("group")
    }
    assert at_five["low"] > at_five["middle"] > at_five["high"]
    constant = risk_groups([examined(stored.assign(log_hazard=0.0))], 0.95)
    assert set(constant["group"]) == {"middle"}
    twice = risk_groups([examined(stored), examined(stored)], 0.95)
    pd.testing.assert_series_equal(twice["n"], table["n"])
    np.testing.assert_allclose(twice["value"], table["value"], atol=1e-12)


def test_calibration_lies_on_the_line_where_the_risk_is_the_truth_and_off_it_elsewhere():
    random, count, horizon = np.random.default_rng(0), 40_000, 6.0
    log_hazard = random.normal(0, 0.8, count)
    event = random.exponential(10 * np.exp(-log_hazard))
    end = random.uniform(2, 20, count)
    target, ones = np.where(event <= end, event, -end), np.ones(count)
    names = np.array([f"p{number}" for number in range(count)], dtype=object)
    patients = PatientTimes(names, target, log_hazard, ones.astype(np.int64), ones, ones)

    def binned(hazard):
        risk = 1 - np.exp(-horizon / 10 * np.exp(hazard))
        return calibration_at([ExaminedTimes(patients, risk)], horizon, 0.95)

    true = binned(log_hazard)
    assert true["n"].sum() == count
    assert np.abs(true["x"] - true["value"]).max() < 0.03
    assert (true["ci_low"] < true["value"]).all() and (true["value"] < true["ci_high"]).all()
    assert ((true["ci_low"] <= true["x"]) & (true["x"] <= true["ci_high"])).mean() >= 0.8
    # Who counts those whose follow-up ended before as without the event is too low.
    seen = (target > 0) & (target <= horizon)
    assert (true["value"] * true["n"]).sum() / count > seen.mean() + 0.02
    off = binned(2 * log_hazard)
    assert np.abs(off["x"] - off["value"]).max() > 0.1


def test_a_bin_that_nobody_was_followed_in_has_no_share():
    stored = drawn(2)
    short = stored.assign(target=stored["target"].where(stored["part"] != "test", -1.0))
    assert calibration_at([examined(short)], 5.0, 0.95).empty
    # An event on the last day of follow-ups does not say what came after it.
    place = stored.groupby("part").cumcount()
    mixed = short.assign(target=short["target"].where(place % 2 == 0, short["target"].abs()))
    assert calibration_at([examined(mixed)], 5.0, 0.95).empty
    seen = stored.assign(target=stored["target"].where(stored["part"] != "test", 1.0))
    assert (calibration_at([examined(seen)], 5.0, 0.95)["value"] == 1.0).all()
    assert median_event(np.array([-1.0, -2.0])) is None
    assert median_event(np.array([-1.0, 4.0, 6.0])) == 5.0


def test_agreement_counts_each_patient_once():
    names, ones = np.array(["a", "b"], dtype=object), np.ones(2, dtype=np.int64)
    runs = [PatientScores(names, np.array([1, 3]), np.array(own), ones) for own in ([1, 2], [1, 3])]
    table = agreement(runs).set_index(["x", "value"])["share"]
    assert table.to_dict() == {(1, 1): 0.5, (3, 2): 0.25, (3, 3): 0.25}


def test_the_closer_look_at_times_takes_the_best_candidates_and_the_control():
    runs, kept = made_runs({"good": 1.0, "bad": 0.2, "control": 0.0})
    board = leaderboard(runs, kept.__getitem__, replicates=50)
    tested = patients_tested(choose_runs(runs), Runs.of(kept.__getitem__))
    found = details(
        runs, kept.__getitem__, board, {}, tested=tested, replicates=50, confidence=0.95
    )
    assert found.subgroups.empty
    names = found.curves.groupby("curve")["backbone"].unique()
    assert set(names.index) == {"risk_groups", "calibration_at"}
    assert list(names["risk_groups"]) == ["good", "bad", "control"]
    every = np.concatenate([kept[run].query("part == 'test'")["target"] for run in runs["run"]])
    assert set(found.curves["horizon"].dropna()) == {median_event(every)}
