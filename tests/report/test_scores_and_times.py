"""Figures and words of scores and of times."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.scores import PatientScores
from prognobench.evaluation.scores import agreement as agreed
from prognobench.evaluation.time_curves import ExaminedTimes
from prognobench.evaluation.time_curves import calibration_at as calibrated
from prognobench.evaluation.time_curves import risk_groups as grouped
from prognobench.evaluation.times import PatientTimes
from prognobench.report.answer import answers
from prognobench.report.audit_section import audit_section
from prognobench.report.checklist import facts
from prognobench.report.content import Saliency, cells
from prognobench.report.drawing import own_style
from prognobench.report.figures.agreement import agreement
from prognobench.report.figures.curves import curves
from prognobench.report.figures.times import calibration_at, risk_groups
from prognobench.report.tables import metrics


@pytest.fixture(autouse=True)
def style():
    with own_style():
        yield


@pytest.fixture(scope="module")
def cell(content):
    return replace(cells(content)[0], metric=METRICS["c_index"])


def drawn(count=80, effect=1.0):
    random = np.random.default_rng(4)
    log_hazard = random.normal(size=count)
    time = np.ceil(random.exponential(8 * np.exp(-effect * log_hazard)))
    target = np.where(random.random(count) < 0.4, -time, time)
    names, ones = np.array([f"p{n}" for n in range(count)], dtype=object), np.ones(count)
    patients = PatientTimes(names, target, log_hazard, ones.astype(np.int64), ones, ones)
    return ExaminedTimes(patients, 1 - np.exp(-0.5 * np.exp(log_hazard)))


def named(table, curve, *names):
    keys = ("backbone", "strategy")
    made = [table.assign(**dict(zip(keys, own, strict=True)), curve=curve) for own in names]
    return pd.concat(made, ignore_index=True)


def test_curves_of_risk_groups_say_how_many_are_left(cell):
    table = grouped([drawn()], 0.95)
    figure = risk_groups(
        cell, named(table, "risk_groups", ("vit", "linear"), ("control", "border"))
    )
    assert "thirds of the predicted hazard of vit with linear and control: border" in (
        figure.alternative
    )
    pd.testing.assert_series_equal(
        figure.data["value"].iloc[: len(table)], table["value"], check_names=False
    )
    texts = re.findall(r">\s*([^<>\s][^<>]*)</text>", figure.svg)
    for count in table.loc[table["kind"] == "at_risk", "n"]:
        assert texts.count(str(count)) >= 2  # in both panels
    assert "share without the event" in texts
    # Who has one prediction for all has one curve, and the legend knows only that.
    flat = grouped(
        [ExaminedTimes(replace(drawn().patients, log_hazard=np.zeros(80)), np.ones(80))], 0.95
    )
    texts = risk_groups(cell, named(flat, "risk_groups", ("vit", "linear"))).svg
    assert "middle third" in texts and "high third" not in texts
    assert risk_groups(cell, named(table, "roc", ("vit", "linear"))) is None


def test_calibration_at_a_horizon_says_its_day_and_numbers(cell):
    table = calibrated([drawn()], 7.0, 0.95)
    figure = calibration_at(
        cell, named(table, "calibration_at", ("vit", "linear"), ("control", "prevalence"))
    )
    assert figure.title == "Calibration at day 7"
    told = re.findall(
        r"<title>predicted ([\d.]+).%, observed ([\d.]+).% .*?, (\d+) pat", figure.svg
    )
    assert len(told) == len(table)  # the control has no panel
    for (x, value, count), row in zip(told, table.to_dict("records"), strict=True):
        assert float(x) == pytest.approx(100 * row["x"], abs=0.51)
        assert float(value) == pytest.approx(100 * row["value"], abs=0.51)
        assert int(count) == row["n"]
    assert set(figure.data["backbone"]) == {"vit"}


def test_predicted_scores_are_drawn_over_true_ones(cell):
    names, ones = np.array(["a", "b", "c", "d"], dtype=object), np.ones(4, dtype=np.int64)
    scores = PatientScores(names, np.array([0, 4, 4, 18]), np.array([2, 4, 6, 12]), ones)
    table = agreed([scores])
    figure = agreement(cell, named(table, "agreement", ("vit", "linear")))
    assert figure.data[["x", "value", "share"]].to_numpy().tolist() == [
        [0, 2, 0.25], [4, 4, 0.25], [4, 6, 0.25], [18, 12, 0.25],
    ]  # fmt: skip
    assert figure.svg.count("<use") >= 4
    assert "predicted score" in figure.svg


def test_few_shot_curves_say_what_a_shot_is_of(content):
    found = [own for own in cells(content) if own.regime == "few_shot"]
    for name, words in {
        "c_index": "training patients with the event seen, and as many without",
        "quadratic_kappa": "training patients a band of scores",
        "mcc": "training patients a class",
    }.items():
        figure = curves([replace(own, metric=METRICS[name]) for own in found])
        assert words in figure.svg


def test_an_answer_on_times_speaks_of_no_share_of_events(content):
    found = [replace(own, metric=METRICS["c_index"]) for own in cells(content)]
    answer = answers(content, found)[0]
    assert re.search(r"the event of \d+ was seen", answer.patients)
    assert "%" not in answer.patients
    events = max(
        row["n_positive"] for own in found for row in own.ranked if own.task == answer.task
    )
    assert any(f"{events} patients with the event were tested" in own for own in answer.limits)


def test_the_page_explains_the_metrics_of_its_tasks_alone(content):
    board = content.leaderboard.assign(metric="c_index")
    assert list(metrics(replace(content, leaderboard=board)).data["In files"]) == [
        "c_index", "integrated_brier",
    ]  # fmt: skip
    names = set(metrics(content).data["In files"])
    assert "mcc" in names and "c_index" not in names


def test_an_audit_of_scores_and_times_speaks_of_no_events_and_no_groups():
    common = {"patients": 9, "by": {}, "shortcuts": [], "contradictory_patients": 0}
    common |= {"images_after_outcome": 0, "images_after_outcome_left_out": 0}
    score = {**common, "events": None, "levels": {"0": 3, "4": 2, "12": 4}}
    times = {**common, "events": 4, "median_days": 7.5}
    audit = {"a/s": {"endpoints": {"s": score}}, "a/t": {"endpoints": {"t": times}}}
    found = audit_section(audit, ["a/s", "a/t"])
    facts_of = [dict(own.facts) for own in found.tasks]
    assert facts_of[0]["Scores"] == "0 to 12, 3 different ones"
    assert "With the event" not in facts_of[0]
    assert facts_of[1]["With the event"] == "4"
    assert facts_of[1]["Median days to the event or the end of the follow-up"] == "7.5"
    assert not any(own.balance.rows for own in found.tasks)


def test_guidelines_are_told_what_scores_and_times_give_and_how_it_is_measured(content):
    found = cells(content)
    kinds = {name: [replace(own, metric=METRICS[name]) for own in found] for name in METRICS}
    times, scores = facts(content, kinds["c_index"]), facts(content, kinds["quadratic_kappa"])
    assert times["output"].startswith("A log hazard")
    assert scores["output"] == "A score, rounded to the nearest level."
    for known in (times, scores):
        assert "threshold" not in known["output"] and "net benefit" not in known["metrics"]
        assert "corrected" not in known.get("imbalance", "")
    mixed = facts(content, [*found, *kinds["mae"]])
    assert mixed["output"].startswith("Binary: A probability")
    assert "Ordinal: A score" in mixed["output"]
    last = {"step": "task", "patients": 9, "events": None}
    flows = {own.task: [last] for own in found}
    unseen = replace(content, flows=flows, saliency=[Saliency("t", {"reason": "none"})])
    told = facts(unseen, kinds["mae"])
    assert "9 patients" in told["size"] and "event" not in told["size"]
    assert "saliency" not in told
