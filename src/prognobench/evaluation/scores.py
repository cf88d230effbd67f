"""Ordinal scores: what a run predicted of each patient, and how far that is from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prognobench.evaluation.metric import Metric, mean_of, ratio
from prognobench.evaluation.patients import Array, Unit, values_by_patient
from prognobench.evaluation.sample import loss_sums

UNDEFINED = "all test patients have one score, and it is predicted for all of them"


@dataclass(frozen=True)
class PatientScores:
    """What one run predicted, one entry a patient, sorted by ``patient_id``.

    Attributes:
        patient_id: The patients, each once.
        target: The score that each has.
        predicted: The score that is predicted: the mean over the images, rounded to the nearest
            level, halves upwards.
        images: How many images each patient has in this part.
    """

    patient_id: NDArray[np.object_]
    target: NDArray[np.int64]
    predicted: NDArray[np.int64]
    images: NDArray[np.int64]

    @property
    def positives(self) -> None:
        """Nothing: there is no event."""
        return


def patient_scores(
    predictions: pd.DataFrame, part: str = "test", unit: Unit = "patient"
) -> PatientScores:
    """Reduce predicted scores of images to one prediction a patient.

    Args:
        predictions: Stored predictions of one run, one row an image.
        part: Which part to take: ``train``, ``val`` or ``test``.
        unit: ``patient``, or ``image`` to take every image for a patient of its own.

    Raises:
        UnusablePredictionsError: When columns, rows or patient ids are missing, a patient has two
            targets, or a number is not finite.
    """
    patients, target, score, images = values_by_patient(predictions, part, "score", unit)
    return PatientScores(
        patient_id=patients,
        target=target.astype(np.int64),
        predicted=nearest_level(score),
        images=images,
    )


def nearest_level(score: Array) -> NDArray[np.int64]:
    """Return the nearest level of predicted scores, halves upwards."""
    return np.floor(score + 0.5).astype(np.int64)


def agreement(tested: Sequence[PatientScores]) -> pd.DataFrame:
    """Return how many patients of each score were predicted to have which.

    A patient predicted by several repeats, seeds or episodes counts as one patient in all.

    Args:
        tested: What each finished run of a candidate predicted for its test patients.

    Returns:
        Columns ``x`` (the score), ``value`` (what is predicted) and ``share`` (of all patients).
    """
    pairs = pd.DataFrame(
        {
            "x": np.concatenate([own.target for own in tested]),
            "value": np.concatenate([own.predicted for own in tested]),
        }
    )
    return pairs.value_counts(normalize=True, sort=False).reset_index(name="share")


@dataclass(frozen=True)
class ScoreSample:
    """Patients with predicted scores, and B ways of weighting them.

    Attributes:
        target: The score of each of n patients.
        predicted: What is predicted for each.
        weights: Weights of shape [B, n], at least 0.
    """

    target: Array
    predicted: Array
    weights: Array

    @classmethod
    def of(cls, patients: PatientScores, weights: Array | None = None) -> ScoreSample:
        """Return the sample of a run's patients; without ``weights`` each counts once."""
        if weights is None:
            weights = np.ones((1, len(patients.target)))
        return cls(patients.target.astype(float), patients.predicted.astype(float), weights)


class ScoreMetric(Metric):
    """A metric of predicted scores."""

    def undefined_reason(self, sample: Any) -> str | None:
        """Return why the metric has no value on the patients of a sample, or None if it has."""
        value = self.value(self.statistics(sample))[0]
        return None if np.isfinite(value) else UNDEFINED

    def constant_prediction(self, sample: Any) -> bool:
        """Return whether the same score is predicted for every patient."""
        return bool(sample.predicted.min() == sample.predicted.max())


def _moments(sample: Any) -> Array:
    """Return, of shape [B, 6]: the weight, and weighted sums of y, p, yy, pp and yp."""
    y, p = sample.target, sample.predicted
    sums: Array = sample.weights @ np.stack([np.ones_like(y), y, p, y * y, p * p, y * p], axis=1)
    return sums


def _quadratic_kappa(statistics: Array) -> Array:
    """Return 1 less the mean squared difference over that of independent ratings as frequent.

    The weights of the kappa are squared differences, so that all it needs of the table of ratings
    are moments: sum w (y - p)^2 over the same sum with y and p paired at random.
    """
    total, y, p, yy, pp, yp = np.moveaxis(statistics, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = (yy + pp - 2 * yp) / total
        expected = (yy + pp) / total - 2 * (y / total) * (p / total)
    # Equal ratings of everybody leave rounding behind where 0 is meant.
    expected = np.where(expected > 1e-12 * (1 + (yy + pp) / np.maximum(total, 1)), expected, 0.0)
    value = 1.0 - ratio(observed, expected)
    # So do equal predictions, of which the value is 0.
    kappa: Array = np.where(np.abs(value) < 1e-12, 0.0, value)
    return kappa


def _absolute_errors(sample: Any) -> Array:
    return loss_sums(np.abs(sample.target - sample.predicted), sample.weights)


SCORES = (
    ScoreMetric(
        "quadratic_kappa",
        "Quadratic kappa",
        "Agreement of the predicted level with the true one beyond that of ratings paired at "
        "random, differences counted by their square.",
        "Cohen 1968, Psychological Bulletin 70:213",
        _moments,
        _quadratic_kappa,
        "sum",
        lowest=-1.0,
        chance=lambda patients, events: 0.0,  # noqa: ARG005
        kind="ordinal",
    ),
    ScoreMetric(
        "mae",
        "MAE",
        "Mean absolute difference between the predicted level and the true one, in levels.",
        "Signoroni et al. 2021, Medical Image Analysis 71:102046, for the Brixia score",
        _absolute_errors,
        mean_of,
        "sum",
        higher_is_better=False,
        highest=float("inf"),
        kind="ordinal",
    ),
)
