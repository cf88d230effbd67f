"""Tests of two candidates against independent implementations, and over repetitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from prognobench.evaluation import comparison
from prognobench.evaluation.comparison import (
    bootstrap_t,
    corrected_resampled_t,
    delong,
    delong_over_folds,
    holm,
)
from prognobench.evaluation.ranks import rank_candidates


def definition_of_delong(target, first, second):
    """The test as its paper defines it: every pair of an event and another, ties counting half."""
    pairs = []
    for score in (first, second):
        events, others = score[target == 1], score[target == 0]
        pairs.append((events[:, None] > others) + 0.5 * (events[:, None] == others))
    by_event = np.array([matrix.mean(axis=1) for matrix in pairs])
    by_other = np.array([matrix.mean(axis=0) for matrix in pairs])
    spread = np.cov(by_event) / by_event.shape[1] + np.cov(by_other) / by_other.shape[1]
    contrast = np.array([1, -1])
    z = (pairs[0].mean() - pairs[1].mean()) / np.sqrt(contrast @ spread @ contrast)
    return 2 * stats.norm.sf(abs(z))


@pytest.mark.parametrize("seed", range(5))
def test_delong_is_what_its_paper_defines(seed):
    random = np.random.default_rng(seed)
    target = (random.uniform(size=60) < 0.3).astype(int)
    first = (target + random.normal(size=60)).round(1)  # with ties
    second = (0.5 * target + random.normal(size=60)).round(1)
    found = delong(target, first, second)
    expected = roc_auc_score(target, first) - roc_auc_score(target, second)
    assert found.difference == pytest.approx(expected, abs=1e-12)
    assert found.p_value == pytest.approx(definition_of_delong(target, first, second), abs=1e-9)
    assert found.low < found.difference < found.high
    assert delong(target, first, first).p_value == 1.0
    with pytest.raises(ValueError, match="two patients"):
        delong(np.array([1, 0, 0]), first[:3], second[:3])


def test_delong_rejects_a_true_null_as_often_as_it_says():
    random = np.random.default_rng(0)
    target = np.repeat([0, 1], [70, 30])
    rejected = 0
    for _ in range(400):
        common = target + random.normal(size=100)
        first, second = (common + 0.7 * random.normal(size=100) for _ in range(2))
        rejected += delong(target, first, second).p_value < 0.05
    # 400 repetitions of a 5 % test: standard deviation 1.1 %.
    assert 0.02 <= rejected / 400 <= 0.085


def test_the_corrected_test_equals_the_formula_and_a_plain_one_rejects_too_often():
    first, second = [0.8, 0.7, 0.9, 0.6, 0.75], [0.7, 0.68, 0.8, 0.62, 0.6]
    found = corrected_resampled_t(first, second, 0.25)
    plain = stats.ttest_rel(first, second)
    # Only the variance differs: 1/k becomes 1/k + n_test/n_train.
    t = plain.statistic * np.sqrt((1 / 5) / (1 / 5 + 0.25))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 4), abs=1e-12)
    assert found.p_value > plain.pvalue
    assert corrected_resampled_t([1, 1], [1, 1], 0.5).p_value == 1.0
    assert np.isnan(corrected_resampled_t([1], [0], 0.5).p_value)


def test_a_bootstrap_test_agrees_with_its_interval_and_with_the_formula():
    random = np.random.default_rng(2)
    for centre in (0.0, 0.15, 0.3, 0.6):
        values = np.append(centre, random.normal(centre, 0.15, size=999))
        for rarer in (12, 100):
            found = bootstrap_t(values, rarer)
            assert (found.p_value > 0.05) == (found.low <= 0 <= found.high)
            error = values[1:].std(ddof=1)
            interval = stats.t(2 * (rarer - 1), centre, error).interval(0.95)
            assert (found.low, found.high) == pytest.approx(interval)
    undefined = np.array([0.1, np.nan, np.nan, 0.2])
    for values, rarer in ((undefined, 10), (np.zeros(9), 1), (np.array([0.1, 0.2]), 10)):
        assert np.isnan(bootstrap_t(values, rarer).p_value)
        assert np.isnan(bootstrap_t(values, rarer).low)
    assert bootstrap_t(np.zeros(9), 10).p_value == 1.0
    assert bootstrap_t(np.array([0.1, 0.1, np.nan, 0.2]), 10).p_value > 0.0


def test_a_difference_that_does_not_vary_is_not_tested():
    target = np.array([1, 1, 0, 0])
    perfect, constant = np.array([0.9, 0.8, 0.2, 0.1]), np.full(4, 0.5)
    for found, difference in (
        (delong(target, perfect, constant), 0.5),
        (delong_over_folds([(target, perfect, constant)] * 3), 0.5),
        (bootstrap_t(np.full(100, 0.5), 20), 0.5),
        (corrected_resampled_t([0.9, 0.8, 0.7], [0.7, 0.6, 0.5], 0.25), 0.2),
    ):
        assert found.difference == pytest.approx(difference)
        assert np.isnan([found.low, found.high, found.p_value]).all()
    for found in (
        delong(target, perfect, perfect),
        bootstrap_t(np.zeros(100), 20),
        corrected_resampled_t([0.9, 0.8], [0.9, 0.8], 0.25),
    ):
        assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_delong_is_left_out_where_a_fold_has_a_single_event():
    random = np.random.default_rng(3)
    target = np.array([1, 1, 0, 0, 0])
    fold = target, random.random(5), random.random(5)
    alone = np.array([1, 0, 0, 0, 0]), random.random(5), random.random(5)
    assert delong_over_folds([fold, fold]) is not None
    assert delong_over_folds([fold, alone]) is None
    assert delong_over_folds([]) is None


def test_holm_multiplies_by_what_is_left():
    assert holm([0.01, 0.04, 0.03, float("nan")])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([]) == []


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for size in (1, 2, 7, 100):
        given = np.round(random.uniform(size=size) ** 3, 3)  # with equal ones
        expected = multipletests(given, method="holm")[1]
        assert holm(given.tolist()) == pytest.approx(expected, abs=1e-15)


def test_intervals_and_p_values_are_those_of_students_distribution():
    for degrees in (1, 4, 30, math.inf):
        found = comparison._student(0.3, 0.2, degrees, 0.9)
        assert found.p_value == pytest.approx(2 * stats.t.sf(1.5, degrees), rel=1e-9)
        assert found.high - 0.3 == pytest.approx(0.2 * stats.t.ppf(0.95, degrees), rel=1e-12)


def results(datasets, effects, noise, seed=0):
    random = np.random.default_rng(seed)
    rows = [
        {"dataset": f"d{d}", "endpoint": e, "candidate": name, "estimate": effect + own}
        for d, e in itertools.product(range(datasets), ("icu", "death"))
        for (name, effect), own in zip(
            effects.items(), random.normal(0, noise, len(effects)), strict=True
        )
    ]
    return pd.DataFrame(rows)


def test_ranks_over_cohorts_tell_apart_what_differs_and_group_the_rest():
    effects = {"best": 0.9, "near": 0.89, "far": 0.2, "farther": 0.19}
    found = rank_candidates(results(12, effects, 0.05))
    assert found.blocks == 12
    assert found.p_value < 0.01
    assert set(found.groups) == {("best", "near"), ("far", "farther")} or {
        frozenset(group) for group in found.groups
    } == {frozenset(("best", "near")), frozenset(("far", "farther"))}
    lower = rank_candidates(results(12, effects, 0.05), higher_is_better=False)
    assert {lower.mean_ranks.index[0], lower.mean_ranks.index[1]} == {"far", "farther"}


def ranks_and_tests(table):
    """Mean ranks, Friedman's and Nemenyi's test of ranks in cohorts, by SciPy's functions."""
    by_endpoint = [
        pd.Series(stats.rankdata(-own["estimate"]), own["candidate"]).rename(name)
        for name, own in table.groupby(["dataset", "endpoint"])
    ]
    cohorts = pd.DataFrame(by_endpoint).groupby(lambda name: name[0]).mean()
    ranks = stats.rankdata(cohorts, axis=1)
    blocks, count = ranks.shape
    mean = ranks.mean(axis=0)
    # Nemenyi's statistic by its definition (Demsar 2006, section 3.2.2).
    distance = np.abs(mean[:, None] - mean) / np.sqrt(count * (count + 1) / (6 * blocks))
    nemenyi = stats.studentized_range.sf(distance * np.sqrt(2), count, np.inf)
    return pd.Series(mean, cohorts.columns), stats.friedmanchisquare(*ranks.T).pvalue, nemenyi


def test_mean_ranks_and_both_tests_are_of_the_same_ranks():
    effects = {"a": 0.1, "b": 0.0, "c": -0.05, "d": -0.1}
    rejected = 0
    for seed in range(30):
        table = results(6, effects, 0.12, seed)
        found = rank_candidates(table)
        mean, friedman, nemenyi = ranks_and_tests(table)
        pd.testing.assert_series_equal(
            found.mean_ranks, mean[found.mean_ranks.index], check_names=False
        )
        assert found.p_value == pytest.approx(friedman, abs=1e-12)
        assert np.isnan(found.critical_difference) == (friedman > 0.05)
        rejected += friedman <= 0.05
        for (i, one), (j, other) in itertools.combinations(enumerate(mean.index), 2):
            apart = not any({one, other} <= set(group) for group in found.groups)
            assert apart == (friedman <= 0.05 and nemenyi[i, j] <= 0.05)
            difference = abs(found.mean_ranks[one] - found.mean_ranks[other])
            assert apart == (difference >= found.critical_difference)
    assert 5 < rejected < 30


def test_few_cohorts_and_equal_candidates_make_one_group():
    few = rank_candidates(results(2, {"a": 0.9, "b": 0.5, "c": 0.1}, 0.0))
    assert few.groups == (("a", "b", "c"),)
    assert "too few" in few.note and np.isnan(few.p_value)
    equal = rank_candidates(results(10, {"a": 0.5, "b": 0.5, "c": 0.5}, 0.1, seed=3))
    assert len(equal.groups) == 1
    table = results(5, {"a": 0.9, "b": 0.5, "c": 0.1}, 0.0)
    table.loc[0, "estimate"] = np.nan
    assert list(rank_candidates(table).mean_ranks.index) == ["b", "c"]


def test_sums_that_differ_by_rounding_alone_are_tied():
    values = (0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1, 0.5)
    assert values[0] != values[1]
    rows = [
        {"dataset": dataset, "endpoint": "icu", "candidate": name, "estimate": value}
        for dataset in "xyz"
        for name, value in zip("abc", values, strict=True)
    ]
    assert rank_candidates(pd.DataFrame(rows)).mean_ranks.to_dict() == {
        "a": 1.5,
        "b": 1.5,
        "c": 3.0,
    }
