"""A small version of benchmarks/strategies_learn.py: every strategy beats what it starts from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "strategies_learn.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("strategies_learn", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_strategy_beats_its_start_and_its_loss_falls(benchmark):
    # Learning rates for some dozens of steps; the defaults are for longer training.
    rates = {"full": 5e-4, "lora": 5e-3, "vera": 3e-2, "bitfit": 5e-3, "ia3": 3e-2}
    measured = benchmark.measure(
        {
            "name": "learn",
            "cohort": {"source": "synthetic", "patients": 100, "seed": 0},
            "endpoints": ["mortality"],
            "backbones": ["demo_vit"],
            "strategies": ["linear", *({"name": name, "lr": lr} for name, lr in rates.items())],
            "regimes": [{"name": "full_data", "folds": 2}],
            # With others a head that is drawn at random may rank well by chance.
            "seeds": [43],
            "audit": {"near_duplicates": False},
            "recipe": {"epochs": 4, "batch_size": 16, "head_lr": 5e-3, "augmentation": "none"},
        }
    )
    found = {one["strategy"]: one for one in measured["results"]}
    assert set(found) == {"linear", *rates}
    for name, one in found.items():
        assert one["train_loss_trained"] < one["train_loss_start"] - 0.05, (name, one)
        assert one["runs_whose_train_loss_fell"] == 2, (name, one)
        assert one["auroc"]["difference"] > 0, (name, one)
        assert one["auroc"]["trained"] > 0.7, (name, one)


def test_the_measures_of_the_benchmark_are_those_of_scikit_learn(benchmark):
    random = np.random.default_rng(0)
    target = random.integers(0, 2, 50)
    score = random.normal(size=50).round(1)
    weights = random.integers(0, 4, (3, 50)).astype(float)
    expected = [roc_auc_score(target, score, sample_weight=own) for own in weights]
    np.testing.assert_allclose(benchmark.auroc(target, score, weights), expected)
    expected = []
    for own in weights:
        balance = own / np.where(target == 1, own[target == 1].sum(), own[target == 0].sum())
        expected.append(log_loss(target, 1 / (1 + np.exp(-score)), sample_weight=balance))
    np.testing.assert_allclose(benchmark.log_loss(target, score, weights), expected)
