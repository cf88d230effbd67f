import itertools
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels import api as statsmodels

from prognobench.errors import UserError
from prognobench.evaluation.metric import Need
from prognobench.evaluation.metrics import (
    HEADLINE,
    MAIN_METRICS,
    METRICS,
    get_headline,
    get_metric,
    metrics_of,
)
from prognobench.evaluation.patients import PatientPredictions
from prognobench.evaluation.sample import Sample

ORACLES = {
    "mcc": lambda y, p, c, t, w: sk.matthews_corrcoef(y, p >= t, sample_weight=w),
    "pr_auc": lambda y, p, c, t, w: sk.average_precision_score(y, p, sample_weight=w),
    "auroc": lambda y, p, c, t, w: sk.roc_auc_score(y, p, sample_weight=w),
    "balanced_accuracy": lambda y, p, c, t, w: sk.balanced_accuracy_score(
        y, p >= t, sample_weight=w
    ),
    "f1": lambda y, p, c, t, w: sk.f1_score(y, p >= t, sample_weight=w),
    "sensitivity": lambda y, p, c, t, w: sk.recall_score(y, p >= t, sample_weight=w),
    "specificity": lambda y, p, c, t, w: sk.recall_score(y, p >= t, pos_label=0, sample_weight=w),
    "ppv": lambda y, p, c, t, w: sk.precision_score(y, p >= t, sample_weight=w),
    "npv": lambda y, p, c, t, w: sk.precision_score(y, p >= t, pos_label=0, sample_weight=w),
    "brier": lambda y, p, c, t, w: sk.brier_score_loss(y, c, sample_weight=w),
    "brier_raw": lambda y, p, c, t, w: sk.brier_score_loss(y, p, sample_weight=w),
    "log_loss": lambda y, p, c, t, w: sk.log_loss(y, c, sample_weight=w, labels=[0, 1]),
    "calibration_slope": lambda y, p, c, t, w: slope(y, c, w),
    "calibration_slope_raw": lambda y, p, c, t, w: slope(y, p, w),
    "calibration_intercept": lambda y, p, c, t, w: intercept(y, c, w),
    "calibration_intercept_raw": lambda y, p, c, t, w: intercept(y, p, w),
    "ece": lambda y, p, c, t, w: calibration_error(y, c, w),
    "ece_raw": lambda y, p, c, t, w: calibration_error(y, p, w),
    "net_benefit_10": lambda y, p, c, t, w: benefit(y, c, w, 0.1),
    "net_benefit_20": lambda y, p, c, t, w: benefit(y, c, w, 0.2),
    "net_benefit_30": lambda y, p, c, t, w: benefit(y, c, w, 0.3),
}
for base in ("mcc", "balanced_accuracy", "f1", "sensitivity", "specificity", "ppv", "npv"):
    ORACLES[f"{base}_validated"] = ORACLES[base]
    ORACLES[f"{base}_at_sensitivity_90"] = ORACLES[base]


def logits(probability):
    edge = np.finfo(float).eps
    return logit(np.clip(probability, edge, 1 - edge))


def slope(target, probability, weights):
    return slope_fit(target, probability, weights).params[1]


def slope_fit(target, probability, weights):
    design = statsmodels.add_constant(logits(probability), has_constant="add")
    family = statsmodels.families.Binomial()
    return statsmodels.GLM(target, design, family, freq_weights=weights).fit(tol=1e-14)


def digits_left(sample, weights, used):
    """The relative error that rounding alone gives a slope where the scores hardly differ."""
    kept = weights > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = slope_fit(sample.target[kept], used[kept], weights[kept])
    return 10 * np.finfo(float).eps * np.linalg.cond(fit.cov_params())


def intercept(target, probability, weights):
    ones, family = np.ones(len(target)), statsmodels.families.Binomial()
    offset = logits(probability)
    model = statsmodels.GLM(target, ones, family, offset=offset, freq_weights=weights)
    # From where the answer is: statsmodels' own start diverges for probabilities of 0 and 1.
    start = brentq(lambda a: np.sum(weights * (target - expit(offset + a))), -80, 80)
    return model.fit(start_params=[start], tol=1e-14).params[0]


def calibration_error(target, probability, weights):
    """The definition; scikit-learn's calibration_curve puts what lies on an edge elsewhere."""
    total = 0.0
    for lower in range(10):
        inside = (probability >= lower / 10) & (probability < (lower + 1) / 10)
        if lower == 9:
            inside |= probability == 1.0
        if weights[inside].sum():
            gap = np.average(target[inside], weights=weights[inside]) - np.average(
                probability[inside], weights=weights[inside]
            )
            total += weights[inside].sum() * abs(gap)
    return total / weights.sum()


def benefit(target, probability, weights, risk):
    counts = sk.confusion_matrix(
        target, probability >= risk, labels=[0, 1], sample_weight=weights, normalize="all"
    )
    return counts[1, 1] - counts[0, 1] * risk / (1 - risk)


def sample(target, probability, corrected=None, threshold=0.5, weights=None):
    probability = np.asarray(probability, dtype=float)
    corrected = probability if corrected is None else np.asarray(corrected, dtype=float)
    weights = np.ones((1, len(probability))) if weights is None else np.asarray(weights, float)
    return Sample(np.asarray(target), probability, corrected, {"fixed": threshold}, weights)


@st.composite
def samples(draw):
    size = draw(st.integers(2, 30))
    # Few distinct values, so that ties, whole-sample ties among them, are common.
    grid = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.501, 0.9, 1.0])
    target = draw(hnp.arrays(np.int64, size, elements=st.integers(0, 1)))
    probability = draw(hnp.arrays(float, size, elements=grid))
    corrected = draw(hnp.arrays(float, size, elements=grid))
    weights = draw(hnp.arrays(float, (3, size), elements=st.integers(0, 3).map(float)))
    threshold = draw(st.sampled_from([0.0, 0.1, 0.5, 0.7]))
    thresholds = {"fixed": threshold, "validated": 0.25, "sensitive": 0.1}
    return Sample(target, probability, corrected, thresholds, weights)


def overlap(score, event):
    if event.all() or not event.any():
        return False
    return score[event].min() < score[~event].max() and score[event].max() > score[~event].min()


def oracle(name, sample, weights):
    """The value that scikit-learn gives, or None where a metric is undefined."""
    kept = weights > 0
    target = sample.target[kept]
    point = METRICS[name].operating_point
    called = sample.called(point)[kept]
    score = sample.probability[kept]
    event = target == 1
    there = {
        Need.BOTH_CLASSES: len(set(target)) == 2,
        Need.EVENT: target.any(),
        Need.NO_EVENT: not target.all(),
        Need.CALLED_POSITIVE: called.any(),
        Need.CALLED_NEGATIVE: not called.all(),
        Need.DIFFERENCES: len(set(score)) > 1,
        Need.DIFFERENCES_CORRECTED: len(set(sample.corrected[kept])) > 1,
        Need.OVERLAP: overlap(score, event),
        Need.OVERLAP_CORRECTED: overlap(sample.corrected[kept], event),
    }
    if not kept.any() or not all(there[need] for need in METRICS[name].needs):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLES[name](
            target, score, sample.corrected[kept], sample.threshold_at(point), weights[kept]
        )


@settings(max_examples=60)
@given(sample=samples())
def test_every_weighting_agrees_with_scikit_learn_and_is_undefined_exactly_where_said(sample):
    for name in metrics_of("binary"):
        check_against_oracle(name, sample)


def check_against_oracle(name, sample):
    metric = METRICS[name]
    for value, weights in zip(metric(sample), sample.weights, strict=True):
        expected = oracle(name, sample, weights)
        used = sample.probability if name.endswith("_raw") else sample.corrected
        if expected is None:
            assert np.isnan(value), name
        elif name.startswith("calibration_") and not 0 < used.min() <= used.max() < 1:
            # Logits of 36 leave no oracle 9 digits: the value is there, and no more is asked.
            assert not np.isinf(value), name
        else:
            slack = digits_left(sample, weights, used) if "slope" in name else 0.0
            assert value == pytest.approx(expected, rel=max(1e-9, slack), abs=1e-9), name
            assert metric.lowest <= value <= metric.highest, name
    point = Sample.of(_as_patients(sample), sample.thresholds)
    assert np.isnan(metric(point)[0]) == (metric.undefined_reason(point) is not None), name


@pytest.mark.parametrize(("size", "prevalence"), [(25, 0.2), (400, 0.05), (1500, 0.5)])
def test_random_scores_agree_with_the_libraries_that_the_documentation_names(size, prevalence):
    random = np.random.default_rng(size)
    target = (random.permutation(size) < prevalence * size).astype(int)
    linear = random.normal(-1, 1.5, size) + target
    thresholds = {"fixed": 0.5, "validated": 0.21, "sensitive": 0.12}
    ones = np.ones((1, size))
    drawn = Sample(target, expit(linear + 1.3), expit(linear), thresholds, ones)
    for name, metric in metrics_of("binary").items():
        assert metric(drawn)[0] == pytest.approx(oracle(name, drawn, ones[0]), abs=1e-9), name
    for name, used in (("ece", drawn.corrected), ("ece_raw", drawn.probability)):
        observed, predicted = calibration_curve(target, used, n_bins=10)
        counts = np.histogram(used, 10, (0, 1))[0]
        expected = np.average(np.abs(observed - predicted), weights=counts[counts > 0])
        assert METRICS[name](drawn)[0] == pytest.approx(expected, abs=1e-9)


def _as_patients(sample):
    size = len(sample.target)
    ids = np.array([f"{i:03}" for i in range(size)], dtype=object)
    return PatientPredictions(
        ids, sample.target, sample.probability, sample.corrected, np.ones(size, int)
    )


CERTAIN = Sample(
    np.array([1, 0, 1]),
    np.zeros(3),
    np.array([0.0, 0.0, 1.0]),
    {"fixed": 0.0, "validated": 0.25, "sensitive": 0.1},
    np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]),
)
"""Probabilities of 0 and 1 that are right: any intercept is as likely but for rounding."""


@settings(max_examples=50)
@example(sample=CERTAIN)
@given(sample=samples())
def test_a_multiplicity_is_the_same_as_a_repeated_patient(sample):
    times = sample.weights[0].astype(int)
    if not times.any():
        return
    repeated = Sample(
        np.repeat(sample.target, times),
        np.repeat(sample.probability, times),
        np.repeat(sample.corrected, times),
        sample.thresholds,
        np.ones((1, times.sum())),
    )
    for metric in metrics_of("binary").values():
        np.testing.assert_allclose(metric(sample)[0], metric(repeated)[0], atol=1e-9)


@settings(max_examples=30)
@given(sample=samples())
def test_a_ranking_does_not_change_with_the_scale_of_the_scores(sample):
    stretched = Sample(
        sample.target, sample.probability**3 / 2, sample.corrected, {"fixed": 0.5}, sample.weights
    )
    for name in ("auroc", "pr_auc"):
        np.testing.assert_allclose(METRICS[name](sample), METRICS[name](stretched), atol=1e-12)


@pytest.mark.parametrize("constant", [0.1, 0.9])
@pytest.mark.parametrize(("patients", "events"), [(20, 2), (100, 10), (200, 5)])
def test_a_constant_prediction_keeps_honest_values_and_a_flag(patients, events, constant):
    target = np.arange(patients) < events
    collapsed = sample(target.astype(int), np.full(patients, constant))
    expected = {"mcc": 0.0, "pr_auc": events / patients, "auroc": 0.5, "balanced_accuracy": 0.5}
    for name, value in expected.items():
        assert METRICS[name](collapsed)[0] == pytest.approx(value, abs=1e-12)
        assert METRICS[name].constant_prediction(collapsed)


def test_a_model_that_ranks_but_calls_one_class_is_constant_for_the_threshold_only():
    ranked = sample([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    assert METRICS["mcc"].constant_prediction(ranked)
    assert METRICS["mcc"](ranked)[0] == 0.0
    assert not METRICS["auroc"].constant_prediction(ranked)
    assert METRICS["auroc"](ranked)[0] == 1.0


@pytest.mark.parametrize("target", [0, 1])
def test_a_fold_of_one_class_has_no_value_where_two_are_compared(target):
    one = sample(np.full(4, target), [0.1, 0.2, 0.8, 0.9])
    for name in ("mcc", "pr_auc", "auroc", "balanced_accuracy"):
        assert np.isnan(METRICS[name](one)[0])
        assert "one class" in METRICS[name].undefined_reason(one)


def test_chance_levels_are_what_noise_gives():
    random = np.random.default_rng(3)
    target = (np.arange(20000) < 4000).astype(int)
    noise = sample(target, random.permutation(20000) / 20000)
    for name in ("mcc", "pr_auc", "auroc", "balanced_accuracy", "ppv", "npv"):
        assert METRICS[name](noise)[0] == pytest.approx(METRICS[name].chance(20000, 4000), abs=0.02)
    ignorant = sample(target, np.full(20000, 0.2))
    for name in ("brier", "brier_raw", "log_loss"):
        assert METRICS[name](ignorant)[0] == pytest.approx(
            METRICS[name].chance(20000, 4000), abs=1e-12
        )
    assert METRICS["log_loss"].chance(10, 0) == 0.0


def test_the_registry_is_consistent():
    assert next(iter(METRICS)) == HEADLINE
    assert set(MAIN_METRICS) <= set(METRICS)
    assert set(ORACLES) == set(metrics_of("binary"))
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.description.endswith(".") and metric.source
    with pytest.raises(UserError, match="did you mean 'auroc'"):
        get_metric("auroch")


def test_chance_of_the_average_precision_is_the_mean_over_all_rankings():
    for patients, events in ((5, 1), (6, 2), (7, 3), (4, 4)):
        values = []
        for members in itertools.combinations(range(patients), events):
            target = np.isin(np.arange(patients), members).astype(int)
            values.append(sk.average_precision_score(target, -np.arange(patients)))
        chance = METRICS["pr_auc"].chance(patients, events)
        assert chance == pytest.approx(np.mean(values), abs=1e-12)


def test_calibration_sees_what_was_done_to_the_probabilities():
    random = np.random.default_rng(0)
    linear = random.normal(-1, 1.2, size=40000)
    target = (random.uniform(size=len(linear)) < expit(linear)).astype(int)
    honest = sample(target, expit(linear))
    assert METRICS["calibration_slope"](honest)[0] == pytest.approx(1, abs=0.05)
    assert METRICS["calibration_intercept"](honest)[0] == pytest.approx(0, abs=0.05)
    assert METRICS["ece"](honest)[0] < 0.01
    extreme = sample(target, expit(2 * linear + 1.5))
    assert METRICS["calibration_slope"](extreme)[0] == pytest.approx(0.5, abs=0.03)
    assert METRICS["calibration_intercept"](extreme)[0] < -0.5
    assert METRICS["ece"](extreme)[0] > 0.1
    assert METRICS["net_benefit_20"](honest)[0] > METRICS["net_benefit_20"](extreme)[0]


def test_a_slope_is_found_where_scores_of_0_lie_far_from_hardly_different_others():
    probability = [0.5, 0.0, 0.5, 0.500001, 0.500001, 0.500001, 0.500001]
    one_in_two_three_in_four = sample([0, 0, 1, 0, 1, 1, 1], probability)
    expected = np.log(3) / (logit(0.500001) - logit(0.5))
    assert METRICS["calibration_slope"](one_in_two_three_in_four)[0] == pytest.approx(
        expected, rel=1e-6
    )


def test_nothing_is_ranked_by_a_metric_without_a_direction():
    with pytest.raises(UserError, match="neither more nor less is better"):
        get_headline("calibration_slope")


@pytest.mark.parametrize("name", ["calibration_slope", "calibration_slope_raw"])
def test_constant_predictions_are_not_said_to_separate(name):
    target = np.array([0, 1, 0, 1])
    constant, perfect = np.full(4, 0.3), np.array([0.1, 0.9, 0.1, 0.9])
    thresholds = {"fixed": 0.5}
    weights = np.ones((1, 4))
    reasons = [
        METRICS[name].undefined_reason(Sample(target, own, own, thresholds, weights))
        for own in (constant, perfect)
    ]
    assert "is the same for every test patient" in reasons[0]
    assert "separate the test patients" in reasons[1]
