"""The true model of the outcomes, and the best AUROC that anything can reach on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prognobench.randomness import generator

Numbers = NDArray[np.float64]

EXTENT_SHAPE = (1.3, 2.7)
"""Both parameters of the beta distribution of the extent in the first image."""

AGES = np.arange(18, 96)
"""The ages that patients may have, in years."""

AGE_MEAN, AGE_DEVIATION = 62.0, 15.0
"""Mean and standard deviation of the age before it is rounded and clipped to ``AGES``."""


def draw_extent(rng: np.random.Generator, size: int | None = None) -> Numbers:
    """Draw the extent of opacities in first images, in (0, 1); independent of the age."""
    return np.asarray(rng.beta(*EXTENT_SHAPE, size=size))


def draw_age(rng: np.random.Generator, size: int | None = None) -> NDArray[np.int64]:
    """Draw ages in whole years; independent of the extent."""
    years = np.rint(rng.normal(AGE_MEAN, AGE_DEVIATION, size=size))
    return np.clip(years, AGES[0], AGES[-1]).astype(np.int64)


def age_distribution() -> Numbers:
    """Return the probability of each of ``AGES``, shape [78]."""
    # Imported here: the cohort sources import this module and must stay quick to load.
    from scipy.special import ndtr

    upper = ndtr((AGES + 0.5 - AGE_MEAN) / AGE_DEVIATION)
    lower = ndtr((AGES - 0.5 - AGE_MEAN) / AGE_DEVIATION)
    lower[0], upper[-1] = 0.0, 1.0
    return np.asarray(upper - lower)


@dataclass(frozen=True)
class OutcomeModel:
    """A logistic model: log odds = intercept + extent * E + age * (A - 62 years).

    Attributes:
        intercept: Log odds without any opacity at 62 years.
        extent: Change of the log odds from no opacity to both lungs opaque.
        age: Change of the log odds a year.
    """

    intercept: float
    extent: float
    age: float

    def probability(self, extent: ArrayLike, age: ArrayLike) -> Numbers:
        """Return the probability of the outcome.

        Args:
            extent: Extent of the opacities in the first image, in [0, 1].
            age: Years.

        Returns:
            Probabilities, of the shape to which both broadcast.
        """
        years = np.asarray(age, dtype=np.float64) - AGE_MEAN
        odds = self.intercept + self.extent * np.asarray(extent, dtype=np.float64)
        return np.asarray(1 / (1 + np.exp(-(odds + self.age * years))))

    def probability_from_image(self, extent: ArrayLike) -> Numbers:
        """Return the probability of the outcome for one who sees the image but not the age.

        Args:
            extent: Extent of the opacities in the first image, in [0, 1], of any shape.

        Returns:
            The mean of :meth:`probability` over the ages, of the same shape.
        """
        extents = np.asarray(extent, dtype=np.float64)
        return np.asarray(self.probability(extents[..., None], AGES) @ age_distribution())


OUTCOMES: Mapping[str, OutcomeModel] = {
    "mortality": OutcomeModel(intercept=-3.95, extent=7.2, age=0.053),
    "icu": OutcomeModel(intercept=-3.6, extent=6.8, age=0.02),
}
"""The true models by endpoint; given extent and age the two outcomes are independent."""


@dataclass(frozen=True)
class Ceilings:
    """The best that can be reached on an endpoint, on average over many patients.

    Attributes:
        base_rate: Share of the patients with the outcome.
        with_age: AUROC of the true probability given extent and age.
        image_only: AUROC of the true probability given the extent alone.
    """

    base_rate: float
    with_age: float
    image_only: float


def expected_auroc(score: Numbers, probability: Numbers) -> float:
    """Return the AUROC of a score, averaged over outcomes drawn with known probabilities.

    Args:
        score: Shape [n], no ties.
        probability: The true probability of the outcome for each patient, shape [n].
    """
    positive = probability[np.argsort(score)]
    negative = 1 - positive
    # Negatives that score lower; a patient cannot be compared with itself.
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum() - (positive * negative).sum()
    return float((positive * below).sum() / pairs)


def ceilings(endpoint: str, patients: int = 2_000_000, seed: int = 0) -> Ceilings:
    """Compute the ceilings of an endpoint by Monte Carlo.

    Args:
        endpoint: One of ``OUTCOMES``.
        patients: How many to draw; the error is below 0.001 for 200,000.
        seed: Seed of the draw.
    """
    rng = generator("synthetic", "ceilings", seed)
    extent, age = draw_extent(rng, patients), draw_age(rng, patients)
    model = OUTCOMES[endpoint]
    truth = model.probability(extent, age)
    return Ceilings(
        base_rate=float(truth.mean()),
        with_age=expected_auroc(truth, truth),
        # The probability given the image rises with the extent: their ranks are the same.
        image_only=expected_auroc(extent, truth),
    )
