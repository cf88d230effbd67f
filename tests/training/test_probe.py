"""The linear probe, its losses and the correction for class weighting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from problem import make_job
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from prognobench.training.features import cached_features, extract_features
from prognobench.training.job import prior_logit_shift
from prognobench.training.losses import class_weights, weighted_log_loss
from prognobench.training.probe import solve_probe


@pytest.fixture
def features():
    random = np.random.default_rng(1)
    job = make_job(32)
    return (random.normal(size=(40, 6)) + 2 * job.targets[:, None]).astype(np.float32)


def test_the_probe_is_the_optimum_of_scikit_learn(features):
    job = make_job(32)
    probe = solve_probe(job, features, (0.1,), 0.1, "balanced")
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
    probe = solve_probe(job, features, strengths, 0.5, "balanced")
    losses = {}
    for strength in strengths:
        own = solve_probe(job, features, (strength,), 0.5, "balanced")
        val = job.rows["val"]
        low, high = class_weights(job.targets[job.rows["train"]], "balanced")
        losses[strength] = float(
            weighted_log_loss(
                torch.as_tensor(own.logits[val]),
                torch.as_tensor(job.targets[val]).double(),
                (low, high),
            )
        )
    assert probe.chosen_c == min(losses, key=losses.get)
    targets = job.targets.copy()
    targets[job.rows["test"]] = 1 - targets[job.rows["test"]]
    scrambled = solve_probe(
        dataclasses.replace(job, targets=targets), features, strengths, 0.5, "balanced"
    )
    np.testing.assert_array_equal(probe.logits, scrambled.logits)


def test_without_validation_the_fixed_strength_is_taken(features):
    probe = solve_probe(make_job(32, few_shot=True), features, (1.0, 0.1), 0.03, "balanced")
    assert probe.chosen_c == 0.03


def test_class_weights_and_loss_are_those_of_scikit_learn_and_torch():
    targets = np.array([0, 0, 0, 1])
    weights = class_weights(targets, "balanced")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=targets)
    assert weights == pytest.approx(tuple(expected))
    assert class_weights(targets, "none") == (1.0, 1.0)
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5])
    two_classes = torch.stack([torch.zeros(4), logits], dim=1)
    oracle = functional.cross_entropy(
        two_classes, torch.as_tensor(targets), weight=torch.tensor(weights)
    )
    loss = weighted_log_loss(logits, torch.as_tensor(targets).float(), weights)
    assert float(loss) == pytest.approx(float(oracle), abs=1e-6)


def test_the_prior_shift_undoes_class_weighting():
    """A constant predictor fitted with weights predicts one half; corrected, the prevalence."""
    job = make_job(32)
    constant = np.zeros((40, 3), dtype=np.float32)
    probe = solve_probe(job, constant, (1.0,), 1.0, "balanced")
    job = dataclasses.replace(job, prevalence=float(job.targets[job.rows["train"]].mean()))
    corrected = probe.logits - prior_logit_shift(job, "balanced")
    np.testing.assert_allclose(1 / (1 + np.exp(-corrected)), job.prevalence, atol=1e-4)
    unweighted = solve_probe(job, constant, (1.0,), 1.0, "none")
    assert prior_logit_shift(job, "none") == pytest.approx(0.0)
    np.testing.assert_allclose(1 / (1 + np.exp(-unweighted.logits)), job.prevalence, atol=1e-4)


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
