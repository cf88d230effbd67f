"""A small version of benchmarks/coverage.py: do intervals and tests hold what they promise?"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from prognobench.evaluation import comparison, evaluated

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"
REPETITIONS = 60
# With 60 repetitions a share of 95 % has a standard deviation of 2.8 %, one of 5 % as well.
LOWEST_COVERAGE, HIGHEST_REJECTION = 0.87, 0.13


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def measured(coverage):
    # Three images a patient, 150 patients: small enough for intervals that are wrong to fail.
    setting = coverage.Setting(150, 0.25, 3)
    return coverage.measure(setting, REPETITIONS, 200, 0, seed=3)["shares"]


@pytest.fixture(scope="module")
def shares(coverage):
    patch = pytest.MonkeyPatch()
    patch.setattr(coverage, "METRIC_NAMES", ("mcc", "auroc"))
    patch.setattr(coverage, "LARGE", 150_000)
    yield measured(coverage)
    patch.undo()


@pytest.mark.parametrize("metric", ["mcc", "auroc"])
def test_intervals_hold_the_truth(shares, metric):
    for what in ("interval", "null_difference", "difference"):
        assert shares[metric][what] >= LOWEST_COVERAGE, what


@pytest.mark.parametrize("metric", ["mcc", "auroc"])
def test_tests_of_a_true_null_keep_their_level(shares, metric):
    assert 0 < shares[metric]["null_rejected"] <= HIGHEST_REJECTION


def halved(interval):
    def narrow(replicates, confidence, rarer):
        low, high = interval(replicates, confidence, rarer)
        return low + (high - low) / 4, high - (high - low) / 4

    return narrow


def halved_error(compared):
    def narrow(difference, error, *others):
        return compared(difference, error / 2, *others)

    return narrow


def test_the_band_notices_intervals_that_are_half_as_wide(coverage, monkeypatch):
    monkeypatch.setattr(coverage, "METRIC_NAMES", ("auroc",))
    monkeypatch.setattr(coverage, "LARGE", 150_000)
    monkeypatch.setattr(
        evaluated.bootstrap,
        "percentile_interval",
        halved(evaluated.bootstrap.percentile_interval),
    )
    monkeypatch.setattr(comparison, "_student", halved_error(comparison._student))
    shares = measured(coverage)["auroc"]
    for what in ("interval", "null_difference", "difference"):
        assert shares[what] < LOWEST_COVERAGE
    assert shares["null_rejected"] > HIGHEST_REJECTION


def test_comparisons_are_those_of_the_leaderboard(coverage):
    setting = coverage.Setting(150, 0.25, 3)
    for number in range(3):
        random = np.random.default_rng([0, number])
        effects = {"a": setting.effect, "b": setting.effect, "c": setting.worse}
        cohort = coverage.draw_cohort(random, setting, effects)
        weights = coverage.bootstrap.patient_multiplicities(
            150, 200, "simulated", f"event {number}"
        )
        units = {name: coverage._units(cohort, name, weights) for name in "ac"}
        found = coverage.compared(cohort, units, "a", "c")
        for name in coverage.METRIC_NAMES:
            rows = coverage.rows_of(cohort, "ac", weights, name)
            (behind,) = (row for row in rows if "p_value" in row)
            own, sign = found[name]["leaderboard"], -1 if behind["strategy"] == "c" else 1
            assert own.p_value == pytest.approx(behind["p_value"], rel=1e-9)
            ends = sorted((sign * own.low, sign * own.high))
            assert ends == pytest.approx([behind["difference_low"], behind["difference_high"]])
    differences = dict.fromkeys(coverage.METRIC_NAMES, 0.0)
    counts = coverage.comparisons(setting, range(3), 200, differences)
    assert counts["auroc"]["delong_made"] == counts["auroc"]["difference_made"] == 3


def test_the_band_notices_images_that_are_taken_for_patients(coverage):
    """Resampling images, each with its patient's outcome, is what one must not do."""
    setting = coverage.Setting(150, 0.25, 3)
    images = coverage.Setting(450, 0.25, 1)
    held = []
    truth = coverage.truths(coverage.Setting(150_000, 0.25, 1), setting.effect, 0)["auroc"]
    for repetition in range(REPETITIONS):
        random = np.random.default_rng(repetition)
        cohort = coverage.draw_cohort(random, setting, {"a": setting.effect})
        patients = cohort.predictions["a"]
        thrice = {
            name: np.repeat(getattr(patients, name), 3) for name in patients.__dataclass_fields__
        }
        thrice["patient_id"] = np.array([f"{n:04d}" for n in range(images.patients)], dtype=object)
        spread = coverage.SimulatedCohort(
            {"a": type(patients)(**thrice)}, np.repeat(cohort.fold, 3)
        )
        weights = coverage.bootstrap.patient_multiplicities(
            images.patients, 200, "simulated", str(repetition)
        )
        (row,) = coverage.rows_of(spread, "a", weights, "auroc")
        held.append(row["ci_low"] <= truth["large_sample"] <= row["ci_high"])
    assert np.mean(held) < LOWEST_COVERAGE


def test_what_lies_outside_the_bands_is_named(coverage):
    setting = {"patients": 100, "prevalence": 0.3, "images": 3}

    def named(interval, rejected, trained):
        shares = {"mcc": {"interval": interval, "null_rejected": 0.5}}
        tests = {"leaderboard": rejected, "null_difference": 0.95, "difference": 0.95}
        measured = [{"setting": setting, "shares": shares, "compared": {"mcc": tests}}]
        return coverage.outside(measured, {"100 patients": {"corrected_t": trained, "plain_t": 1}})

    assert named(0.92, 0.07, 0.03) == []
    for outside in ((0.918, 0.05, 0.05), (0.95, 0.072, 0.05), (0.95, 0.05, 0.028)):
        (sentence,) = named(*outside)
        assert sentence.startswith("100 patients")


def test_the_corrected_t_test_keeps_its_level_where_a_plain_one_does_not(coverage):
    rejected = coverage.trained_rejections(100, 4, 200)
    assert rejected["corrected_t"] <= 0.08
    assert rejected["plain_t"] > 0.15
