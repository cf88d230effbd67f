import numpy as np
import pytest
from scipy import stats

from prognobench.evaluation.bootstrap import (
    episode_multiplicities,
    patient_multiplicities,
    percentile_interval,
)


def test_each_replicate_draws_as_many_patients_and_not_always_as_many_events():
    weights = patient_multiplicities(6, 50, "mhh", "icu")
    assert weights.shape == (51, 6)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 6).all()
    assert len(set(weights[:, [1, 4]].sum(axis=1))) > 2


def test_draws_belong_to_the_task():
    first = patient_multiplicities(40, 20, "mhh", "icu")
    assert (first == patient_multiplicities(40, 20, "mhh", "icu")).all()
    assert (first != patient_multiplicities(40, 20, "mhh", "mortality")).any()
    episodes = episode_multiplicities(7, 20, "mhh", "icu", "few_shot")
    assert episodes.shape == (21, 7)
    assert (episodes.sum(axis=1) == 7).all()


MANY = 10**9


def test_undefined_replicates_are_left_out_until_too_many_are():
    values = np.append(np.linspace(0, 1, 101), np.full(50, np.nan))
    assert percentile_interval(values, 0.9, MANY) == pytest.approx((0.05, 0.95))
    assert np.isnan(percentile_interval(np.append(values, np.full(60, np.nan)), 0.9, MANY)).all()
    assert np.isnan(percentile_interval(np.array([]), 0.9, MANY)).all()


def test_few_patients_give_the_interval_that_students_distribution_gives_a_mean():
    # Replicates that are exactly normal: the expanded percentiles are those of Student's.
    spread = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    for rarer in (5, 10, 40):
        low, high = percentile_interval(spread, 0.95, rarer)
        assert high == pytest.approx(stats.t.ppf(0.975, rarer - 1), abs=2e-3)
        assert low == pytest.approx(-high, abs=2e-3)
    assert np.isnan(percentile_interval(spread, 0.95, 1)).all()
