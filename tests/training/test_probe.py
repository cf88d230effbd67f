"""The linear probe: solved for, trained step by step, and the features it stands on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from problem import RECIPE, changed, make_job
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from prognobench.backbones.backbone import Backbone
from prognobench.training.course import NonFiniteLossError
from prognobench.training.features import cached_features, extract_features
from prognobench.training.probe import _mean_and_scale, solve_probe, train_probe


@pytest.fixture
def features():
    random = np.random.default_rng(1)
    job = make_job(32)
    return (random.normal(size=(40, 6)) + 2 * job.targets[:, None]).astype(np.float32)


def test_the_probe_is_the_optimum_of_scikit_learn(features):
    job = make_job(32)
    probe = solve_probe(job, features, (0.1,), 0.1, RECIPE)
    train = job.rows["train"]
    scaler = StandardScaler().fit(features[train])
    oracle = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-9, max_iter=10000)
    oracle.fit(scaler.transform(features[train]), job.targets[train])
    expected = oracle.decision_function(scaler.transform(features))
    np.testing.assert_allclose(probe.logits, expected, atol=2e-3)
    assert probe.parameters == 7


def test_the_strength_is_chosen_on_validation_and_test_labels_change_nothing(features):
    job = make_job(32)
    strengths = (1e-4, 1e-2, 1.0)
    probe = solve_probe(job, features, strengths, 0.5, RECIPE)
    losses = {}
    for strength in strengths:
        own = solve_probe(job, features, (strength,), 0.5, RECIPE)
        val, train = job.rows["val"], job.rows["train"]
        weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=job.targets[train])
        losses[strength] = log_loss(
            job.targets[val],
            1 / (1 + np.exp(-own.logits[val])),
            sample_weight=weights[job.targets[val]],
        )
    assert probe.info["C"] == min(losses, key=losses.get)
    assert probe.validation_score == pytest.approx(-min(losses.values()))
    targets = job.targets.copy()
    targets[job.rows["test"]] = 1 - targets[job.rows["test"]]
    scrambled = solve_probe(
        dataclasses.replace(job, targets=targets), features, strengths, 0.5, RECIPE
    )
    np.testing.assert_array_equal(probe.logits, scrambled.logits)


def test_without_validation_the_fixed_strength_is_taken(features):
    probe = solve_probe(make_job(32, few_shot=True), features, (1.0, 0.1), 0.03, RECIPE)
    assert probe.info["C"] == 0.03


@pytest.mark.parametrize("imbalance", ["class_weights", "logit_adjustment", "none"])
def test_training_goes_to_the_solved_optimum(features, imbalance):
    """Without a penalty, stochastic gradient descent and the solver have the same optimum."""
    job = make_job(32)
    random = np.random.default_rng(2)
    features = random.normal(size=(40, 2)).astype(np.float32)  # not separable: a finite optimum
    recipe = changed(
        RECIPE, imbalance=imbalance, epochs=400, patience=400, batch_size=20, gradient_clip=100.0
    )
    job = dataclasses.replace(job, rows={**job.rows, "val": job.rows["train"]})
    trained = train_probe(job, features, 0.5, recipe)
    solved = solve_probe(job, features, (1e6,), 1.0, recipe)
    used = np.isfinite(trained.logits)
    np.testing.assert_allclose(trained.logits[used], solved.logits[used], atol=1e-3)
    assert trained.parameters == solved.parameters == 3


def test_a_trained_probe_learns_and_is_its_own_runs_alone(features):
    recipe = changed(RECIPE, epochs=10)
    job = make_job(32)
    one, two = (train_probe(job, features, 0.05, recipe) for _ in range(2))
    np.testing.assert_array_equal(one.logits, two.logits)
    assert one.info["last_train_loss"] < 0.5 * one.info["first_train_loss"]
    other = train_probe(make_job(32, "another run"), features, 0.05, recipe)
    assert np.abs(one.logits - other.logits).max() > 1e-6
    with pytest.raises(NonFiniteLossError, match="lower learning rate"):
        train_probe(job, features, 1e38, changed(recipe, gradient_clip=1e30))


def test_under_balanced_sampling_the_solved_probe_is_the_weighted_one(features):
    job = make_job(32)
    one, two = (
        solve_probe(job, features, (0.1,), 0.1, changed(RECIPE, imbalance=imbalance))
        for imbalance in ("class_weights", "balanced_sampling")
    )
    np.testing.assert_array_equal(one.logits, two.logits)


def test_a_solved_probe_refuses_the_focal_loss(features):
    with pytest.raises(ValueError, match="cross-entropy"):
        solve_probe(make_job(32), features, (0.1,), 0.1, changed(RECIPE, loss="focal"))


def test_cached_features_are_reused_and_a_damaged_cache_is_made_anew(
    backbone, job, tmp_path, monkeypatch
):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    expected = extract_features(backbone, job.images)
    np.testing.assert_array_equal(cached_features(backbone, job.images, "key"), expected)
    stored = next((tmp_path / "features").glob("*.npy"))
    # What is in the cache is what is returned: other images under the same key show it.
    np.testing.assert_array_equal(cached_features(backbone, job.images * 0, "key"), expected)
    data = bytearray(stored.read_bytes())
    data[-3] ^= 255
    stored.write_bytes(data)
    np.testing.assert_array_equal(cached_features(backbone, job.images, "key"), expected)


def test_features_are_standardised_as_scikit_learn_does(features):
    own = features.astype(np.float64)[:20].copy()
    own[:, 0] = 0.3  # does not vary
    expected = StandardScaler().fit(own)
    centre, scale = _mean_and_scale(own)
    np.testing.assert_allclose(centre, expected.mean_, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(scale, expected.scale_, rtol=1e-12)
    assert scale[0] == 1.0


def test_features_of_weights_that_are_not_known_are_not_kept(backbone, job, tmp_path, monkeypatch):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    weights = dataclasses.replace(backbone.entry.weights, sha256="")
    entry = dataclasses.replace(backbone.entry, weights=weights)
    unknown = Backbone(entry, backbone.network)
    found = cached_features(unknown, job.images, "key")
    np.testing.assert_array_equal(found, extract_features(backbone, job.images))
    assert not (tmp_path / "features").exists()
