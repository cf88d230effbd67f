"""Weighted patients, seen as a confusion matrix or as a ranking, for many weightings at once.

scikit-learn computes each metric for one weighting a call. A bootstrap needs the same metric
for a thousand weightings of the same patients, so the counting is written here once over a
matrix of weights; scikit-learn is the oracle of the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prognobench.evaluation.patients import Array, PatientPredictions

OPERATING_POINTS = {
    "fixed": "the run has no threshold",
    "validated": "there is no validation part with both outcomes to choose a threshold on",
    "sensitive": "there is no validation part with both outcomes to choose a threshold on",
}
"""Where a threshold comes from, and the reason when there is none there."""


@dataclass(frozen=True)
class Sample:
    """Patients with predictions, and B ways of weighting them.

    Attributes:
        target: 1 or 0 for each of n patients.
        probability: Predicted probability as the model gave it.
        corrected: Predicted probability with the training's prior taken back.
        thresholds: Probability from which on a patient is called positive, by the name of the
            operating point; None where it could not be chosen.
        weights: Weights of shape [B, n], at least 0. Bootstrap multiplicities, or one row of
            ones for the point estimate.
    """

    target: NDArray[np.int64]
    probability: Array
    corrected: Array
    thresholds: Mapping[str, float | None]
    weights: Array

    @classmethod
    def of(
        cls,
        patients: PatientPredictions,
        thresholds: Mapping[str, float | None] | float = 0.5,
        weights: Array | None = None,
    ) -> Sample:
        """Return the sample of a run's patients; without ``weights`` each counts once.

        A number as ``thresholds`` is that of the fixed operating point.
        """
        if weights is None:
            weights = np.ones((1, len(patients.target)))
        if not isinstance(thresholds, Mapping):
            thresholds = {"fixed": thresholds}
        return cls(patients.target, patients.probability, patients.corrected, thresholds, weights)

    def threshold_at(self, point: str) -> float | None:
        """Return the threshold of an operating point, None where there is none."""
        return self.thresholds.get(point)

    @cached_property
    def event(self) -> NDArray[np.bool_]:
        """Whether each patient had the event."""
        happened: NDArray[np.bool_] = self.target == 1
        return happened

    def called(self, point: str = "fixed") -> NDArray[np.bool_]:
        """Return whether each patient is called positive at an operating point that exists."""
        threshold = self.threshold_at(point)
        if threshold is None:
            raise ValueError(f"there is no threshold at the operating point '{point}'")
        return self.probability >= threshold

    def confusion(self, point: str = "fixed") -> Array:
        """Return weighted counts at an operating point, NaN where it does not exist.

        Returns:
            Shape [B, 4]: true and false positives, true and false negatives.
        """
        threshold = self.threshold_at(point)
        if threshold is None:
            return np.full((len(self.weights), 4), np.nan)
        # Metrics of one threshold share its counts, and thresholds are often equal.
        if threshold not in self._counted:
            event, called = self.event, self.called(point)
            cells = np.stack([event & called, ~event & called, ~event & ~called, event & ~called])
            self._counted[threshold] = self.weights @ cells.T.astype(np.float64)
        return self._counted[threshold]

    @cached_property
    def _counted(self) -> dict[float, Array]:
        return {}

    @cached_property
    def facts(self) -> dict[object, bool]:
        """What was found out about the sample already, by what was asked."""
        return {}

    @cached_property
    def ranking(self) -> tuple[Array, Array]:
        """Weight of the events, and of the others, ranked at or above each distinct score.

        Returns:
            Two arrays of shape [B, distinct scores], from the highest score to the lowest.
            Patients with equal scores enter together, so ties favour nobody.
        """
        order = np.argsort(-self.probability, kind="stable")
        scores = self.probability[order]
        last_of_tie = np.append(scores[1:] != scores[:-1], True)
        weights, event = self.weights[:, order], self.target[order] == 1
        events = np.cumsum(weights * event, axis=1)[:, last_of_tie]
        others = np.cumsum(weights * ~event, axis=1)[:, last_of_tie]
        return events, others

    def mean_loss(self, loss: Array) -> Array:
        """Return, of shape [B, 2], the weighted sum of a loss a patient and the weight."""
        return loss_sums(loss, self.weights)


def loss_sums(loss: Array, weights: Array) -> Array:
    """Return, of shape [B, 2], the sum of a loss a patient by weights [B, n], and the weight."""
    total: Array = weights @ np.stack([loss, np.ones_like(loss)], axis=1)
    return total
