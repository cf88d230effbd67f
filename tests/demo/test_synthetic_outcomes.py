"""The true model of the outcomes and its two ceilings."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prognobench.demo.outcomes import (
    AGES,
    OUTCOMES,
    age_distribution,
    ceilings,
    draw_age,
    draw_extent,
    expected_auroc,
)

DOCUMENTED = {"mortality": (0.250, 0.855, 0.822), "icu": (0.265, 0.831, 0.825)}
"""Base rate, ceiling with age, ceiling of the image alone, as docs/synthetic_cohort.md says."""


@pytest.mark.parametrize("endpoint", OUTCOMES)
def test_ceilings_are_those_documented(endpoint: str) -> None:
    found = ceilings(endpoint, patients=400_000, seed=1)
    rate, with_age, image_only = DOCUMENTED[endpoint]
    assert found.base_rate == pytest.approx(rate, abs=0.002)
    assert found.with_age == pytest.approx(with_age, abs=0.002)
    assert found.image_only == pytest.approx(image_only, abs=0.002)
    assert 0.2 < found.base_rate < 0.3
    assert found.image_only < found.with_age < 0.9


def test_ages_are_distributed_as_drawn() -> None:
    shares = age_distribution()
    assert shares.sum() == pytest.approx(1)
    drawn = draw_age(np.random.default_rng(0), 200_000)
    counts = np.bincount(drawn, minlength=AGES[-1] + 1)[AGES[0] :]
    np.testing.assert_allclose(counts / 200_000, shares, atol=0.003)


@pytest.mark.parametrize("endpoint", OUTCOMES)
def test_the_probability_given_the_image_is_the_mean_over_ages(endpoint: str) -> None:
    model = OUTCOMES[endpoint]
    ages = draw_age(np.random.default_rng(0), 200_000)
    for extent in (0.05, 0.3, 0.8):
        mean = model.probability(extent, ages).mean()
        assert model.probability_from_image(extent) == pytest.approx(mean, abs=0.002)
    rising = model.probability_from_image(np.linspace(0, 1, 50))
    assert rising.shape == (50,)
    assert (np.diff(rising) > 0).all()


def test_extent_and_age_are_independent() -> None:
    rng = np.random.default_rng(0)
    extent, age = draw_extent(rng, 100_000), draw_age(rng, 100_000)
    assert abs(np.corrcoef(extent, age)[0, 1]) < 0.01


def test_the_expected_auroc_is_that_of_drawn_outcomes() -> None:
    rng = np.random.default_rng(0)
    extent = draw_extent(rng, 300_000)
    truth = OUTCOMES["icu"].probability(extent, draw_age(rng, 300_000))
    drawn = rng.random(300_000) < truth
    assert expected_auroc(extent, truth) == pytest.approx(roc_auc_score(drawn, extent), abs=0.003)
    certain = np.array([0.0, 0.0, 1.0, 1.0])
    assert expected_auroc(np.array([1.0, 3.0, 2.0, 4.0]), certain) == pytest.approx(0.75)
