import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from prognobench.errors import UserError
from prognobench.evaluation.metrics import HEADLINE, MAIN_METRICS, METRICS, Need, get_metric
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
}


def sample(target, probability, corrected=None, threshold=0.5, weights=None):
    probability = np.asarray(probability, dtype=float)
    corrected = probability if corrected is None else np.asarray(corrected, dtype=float)
    weights = np.ones((1, len(probability))) if weights is None else np.asarray(weights, float)
    return Sample(np.asarray(target), probability, corrected, threshold, weights)


@st.composite
def samples(draw):
    size = draw(st.integers(2, 30))
    # Few distinct values, so that ties, whole-sample ties among them, are common.
    grid = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.500001, 0.9, 1.0])
    target = draw(hnp.arrays(np.int64, size, elements=st.integers(0, 1)))
    probability = draw(hnp.arrays(float, size, elements=grid))
    corrected = draw(hnp.arrays(float, size, elements=grid))
    weights = draw(hnp.arrays(float, (3, size), elements=st.integers(0, 3).map(float)))
    threshold = draw(st.sampled_from([0.0, 0.1, 0.5, 0.7]))
    return Sample(target, probability, corrected, threshold, weights)


def oracle(name, sample, weights):
    """The value that scikit-learn gives, or None where a metric is undefined."""
    kept = weights > 0
    target = sample.target[kept]
    called = sample.predicted[kept]
    there = {
        Need.BOTH_CLASSES: len(set(target)) == 2,
        Need.EVENT: target.any(),
        Need.NO_EVENT: not target.all(),
        Need.CALLED_POSITIVE: called.any(),
        Need.CALLED_NEGATIVE: not called.all(),
    }
    if not kept.any() or not all(there[need] for need in METRICS[name].needs):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ORACLES[name](
            target, sample.probability[kept], sample.corrected[kept], sample.threshold,
            weights[kept],
        )  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(sample=samples())
def test_every_weighting_agrees_with_scikit_learn_and_is_undefined_exactly_where_said(name, sample):
    metric = METRICS[name]
    for value, weights in zip(metric(sample), sample.weights, strict=True):
        expected = oracle(name, sample, weights)
        if expected is None:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(expected, abs=1e-9)
            assert metric.lowest <= value <= metric.highest
    point = Sample.of(_as_patients(sample), sample.threshold)
    assert np.isnan(metric(point)[0]) == (metric.undefined_reason(point) is not None)


def _as_patients(sample):
    size = len(sample.target)
    ids = np.array([f"{i:03}" for i in range(size)], dtype=object)
    return PatientPredictions(
        ids, sample.target, sample.probability, sample.corrected, np.ones(size, int)
    )


@settings(max_examples=50, deadline=None)
@given(sample=samples())
def test_a_multiplicity_is_the_same_as_a_repeated_patient(sample):
    times = sample.weights[0].astype(int)
    if not times.any():
        return
    repeated = Sample(
        np.repeat(sample.target, times),
        np.repeat(sample.probability, times),
        np.repeat(sample.corrected, times),
        sample.threshold,
        np.ones((1, times.sum())),
    )
    for metric in METRICS.values():
        np.testing.assert_allclose(metric(sample)[0], metric(repeated)[0], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(sample=samples())
def test_a_ranking_does_not_change_with_the_scale_of_the_scores(sample):
    stretched = Sample(
        sample.target, sample.probability**3 / 2, sample.corrected, 0.5, sample.weights
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
        assert METRICS[name](noise)[0] == pytest.approx(METRICS[name].chance(0.2), abs=0.02)
    ignorant = sample(target, np.full(20000, 0.2))
    for name in ("brier", "brier_raw", "log_loss"):
        assert METRICS[name](ignorant)[0] == pytest.approx(METRICS[name].chance(0.2), abs=1e-12)
    assert METRICS["log_loss"].chance(0.0) == 0.0


def test_the_registry_is_consistent():
    assert next(iter(METRICS)) == HEADLINE
    assert set(MAIN_METRICS) <= set(METRICS)
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.description.endswith(".") and metric.source
    with pytest.raises(UserError, match="did you mean 'auroc'"):
        get_metric("auroch")
