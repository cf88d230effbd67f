import numpy as np
import pytest

from prognobench.evaluation.bootstrap import (
    episode_multiplicities,
    patient_multiplicities,
    percentile_interval,
)


def test_each_replicate_keeps_the_number_of_patients_of_each_outcome():
    target = np.array([0, 1, 0, 0, 1, 0])
    weights = patient_multiplicities(target, 50, "mhh", "icu")
    assert weights.shape == (51, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, target == 1].sum(axis=1) == 2).all()
    assert (weights[:, target == 0].sum(axis=1) == 4).all()


def test_draws_belong_to_the_task():
    target = np.arange(40) % 2
    first = patient_multiplicities(target, 20, "mhh", "icu")
    assert (first == patient_multiplicities(target, 20, "mhh", "icu")).all()
    assert (first != patient_multiplicities(target, 20, "mhh", "mortality")).any()
    episodes = episode_multiplicities(7, 20, "mhh", "icu", "few_shot")
    assert episodes.shape == (21, 7)
    assert (episodes.sum(axis=1) == 7).all()


def test_undefined_replicates_are_left_out_until_too_many_are():
    values = np.append(np.linspace(0, 1, 101), np.full(50, np.nan))
    assert percentile_interval(values, 0.9) == pytest.approx((0.05, 0.95))
    assert np.isnan(percentile_interval(np.append(values, np.full(60, np.nan)), 0.9)).all()
    assert np.isnan(percentile_interval(np.array([]), 0.9)).all()
