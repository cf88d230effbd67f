"""Weighted patients, seen as a confusion matrix or as a ranking, for many weightings at once.

scikit-learn computes each metric for one weighting a call. A bootstrap needs the same metric
for a thousand weightings of the same patients, so the counting is written here once over a
matrix of weights; scikit-learn is the oracle of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prognobench.evaluation.patients import Array, PatientPredictions


@dataclass(frozen=True)
class Sample:
    """Patients with predictions, and B ways of weighting them.

    Attributes:
        target: 1 or 0 for each of n patients.
        probability: Predicted probability as the model gave it.
        corrected: Predicted probability with the training's prior taken back.
        threshold: Probability from which on a patient is called positive.
        weights: Weights of shape [B, n], at least 0. Bootstrap multiplicities, or one row of
            ones for the point estimate.
    """

    target: NDArray[np.int64]
    probability: Array
    corrected: Array
    threshold: float
    weights: Array

    @classmethod
    def of(
        cls, patients: PatientPredictions, threshold: float = 0.5, weights: Array | None = None
    ) -> Sample:
        """Return the sample of a run's patients; without ``weights`` each counts once."""
        if weights is None:
            weights = np.ones((1, len(patients.target)))
        return cls(patients.target, patients.probability, patients.corrected, threshold, weights)

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Whether each patient is called positive."""
        return self.probability >= self.threshold

    @cached_property
    def confusion(self) -> Array:
        """Weighted counts, of shape [B, 4]: true and false positives, true and false negatives."""
        event, called = self.target == 1, self.predicted
        cells = np.stack([event & called, ~event & called, ~event & ~called, event & ~called])
        counts: Array = self.weights @ cells.T.astype(np.float64)
        return counts

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
        total: Array = self.weights @ np.stack([loss, np.ones_like(loss)], axis=1)
        return total
