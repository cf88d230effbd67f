"""Recalibration: fitted as statsmodels fits it, chosen by patients it was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from prognobench.evaluation.recalibration import (
    Recalibration,
    choose_recalibration,
    fit,
)


def drawn(patients, slope, intercept, seed=0):
    """Probabilities, and outcomes of which ``intercept + slope * logit`` is the true logit."""
    random = np.random.default_rng(seed)
    linear = random.normal(-0.5, 1.2, patients)
    target = (random.random(patients) < expit(intercept + slope * linear)).astype(np.int64)
    return expit(linear), target


def test_the_fit_is_that_of_statsmodels():
    probability, target = drawn(300, 0.6, -0.8)
    found = fit("logistic", probability, target)
    oracle = sm.Logit(target, sm.add_constant(logit(probability))).fit(disp=0).params
    np.testing.assert_allclose([found.intercept, found.slope], oracle, atol=1e-7)
    moved = fit("intercept", probability, target)
    model = sm.GLM(
        target, np.ones((300, 1)), family=sm.families.Binomial(), offset=logit(probability)
    )
    assert moved.intercept == pytest.approx(model.fit().params[0], abs=1e-7)
    assert moved(probability).mean() == pytest.approx(target.mean(), abs=1e-9)


def test_what_is_miscalibrated_is_mended_and_what_is_not_is_left():
    probability, target = drawn(4000, 0.5, -1.0)
    folds = np.arange(4000) % 5
    found = choose_recalibration(probability, target, folds)
    assert found.chosen.method == "logistic"
    assert found.chosen.slope == pytest.approx(0.5, abs=0.1)
    assert found.log_loss["logistic"] < found.log_loss["none"]
    shifted, outcome = drawn(4000, 1.0, -1.0, seed=1)
    assert choose_recalibration(shifted, outcome, folds).chosen.method == "intercept"
    sound, event = drawn(60, 1.0, 0.0, seed=5)
    assert choose_recalibration(sound, event, np.arange(60) % 5).chosen == Recalibration()


def test_the_judgement_is_by_patients_that_the_fit_has_not_seen():
    probability, target = drawn(50, 1.0, 0.0, seed=2)
    folds = np.arange(50) % 5
    found = choose_recalibration(probability, target, folds)
    by_hand = np.empty(50)
    for fold in range(5):
        own = folds == fold
        by_hand[own] = fit("logistic", probability[~own], target[~own])(probability[own])
    loss = -np.log(np.where(target == 1, by_hand, 1 - by_hand)).mean()
    assert found.log_loss["logistic"] == pytest.approx(loss)
    seen = fit("logistic", probability, target)(probability)
    assert loss > -np.log(np.where(target == 1, seen, 1 - seen)).mean()


def test_an_order_is_never_turned_round():
    probability, target = drawn(400, -0.7, 0.0)
    assert fit("logistic", probability, target) is None
    found = choose_recalibration(probability, target, np.arange(400) % 4)
    assert "logistic could not be fitted" in found.reason
    assert found.chosen.method != "logistic"


def test_one_group_leaves_nobody_to_judge_by():
    probability, target = drawn(40, 0.3, 1.0)
    assert choose_recalibration(probability, target, [0] * 40).chosen == Recalibration()


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
    st.floats(-5, 5),
    st.floats(0.01, 5),
)
def test_probabilities_stay_probabilities_in_their_order(values, intercept, slope):
    probability = np.sort(np.array(values))
    found = Recalibration("logistic", intercept, slope)(probability)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()
