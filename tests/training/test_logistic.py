"""Many logistic regressions at once, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from prognobench.training.logistic import solve_logistic


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(4, 40),
    columns=st.integers(1, 30),
    strength=st.sampled_from([1e-4, 1e-2, 1.0, 100.0]),
)
def test_it_is_the_optimum_of_scikit_learn(seed, rows, columns, strength):
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(2, rows, columns))
    targets = np.stack([np.arange(rows) % 2, np.arange(rows) % 4 == 0]).astype(float)
    weights = random.uniform(0.2, 3, (2, rows))
    weights[1, -1] = 0  # a row that only fills up
    strengths = np.array([strength, 10 * strength])
    arrays = (inputs, targets, weights, strengths)
    coefficients, intercepts = solve_logistic(*(torch.from_numpy(array) for array in arrays))
    for own in range(2):
        used = weights[own] > 0
        oracle = LogisticRegression(
            C=strengths[own], solver="newton-cholesky", tol=1e-12, max_iter=1000
        )
        oracle.fit(inputs[own][used], targets[own][used], sample_weight=weights[own][used])
        expected = oracle.decision_function(inputs[own])
        found = inputs[own] @ coefficients[own].numpy() + intercepts[own].item()
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_separable_data_and_a_weak_penalty_still_have_an_optimum():
    inputs = torch.tensor([[[-3.0], [-2.0], [2.0], [3.0]]], dtype=torch.float64)
    targets = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64)
    ones = torch.ones_like(targets)
    coefficients, intercepts = solve_logistic(inputs, targets, ones, torch.tensor([1e6]).double())
    assert coefficients.item() > 5
    assert intercepts.item() == pytest.approx(0, abs=1e-6)
    column = inputs[0, :, 0]
    left = targets[0] - torch.sigmoid(coefficients.item() * column)
    slope = coefficients.item() - 1e6 * float((column * left).sum())
    assert slope == pytest.approx(0, abs=1e-3)
