"""Losses by the kind of outcome, and what is done about a rare class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.training.cox import partial_likelihood_loss
from prognobench.training.recipe import Recipe

FOCUS = 2.0
"""Gamma of the focal loss: Lin et al. 2017 found 2 best."""

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes logits and targets (float), both [B], and gives their mean loss."""


def class_weights(targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the weights of the classes 0 and 1: n / (2 n_class).

    As scikit-learn's ``class_weight="balanced"``.

    Args:
        targets: Targets of the training images, 0 or 1, both present.
    """
    events = float(targets.mean())
    return 0.5 / (1 - events), 0.5 / events


def log_odds(share: float) -> float:
    """Return the log-odds of a share in (0, 1)."""
    return float(np.log(share) - np.log1p(-share))


def score_scale(targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean and the standard deviation of the scores of the training images.

    A model of a score gives it in these units, so that the learning rates of binary outcomes suit
    it as well. Where all scores are equal the deviation is given as 1.
    """
    return float(targets.mean()), float(targets.std()) or 1.0


def training_loss(recipe: Recipe, targets: npt.NDArray[np.int64], kind: Kind = "binary") -> Loss:
    """Return the loss of a training batch.

    Args:
        recipe: Its ``loss`` and ``imbalance``.
        targets: Targets of the training images: 0 or 1, both present; or scores; or times,
            negative where no event was seen.
        kind: The kind of the outcome.
    """
    if kind != "binary":
        return partial_likelihood_loss if kind == "time_to_event" else _squared_error(targets)
    weighted = recipe.imbalance == "class_weights"
    return _loss(recipe, targets, class_weights(targets) if weighted else (1.0, 1.0))


def part_weight(
    recipe: Recipe, targets: npt.NDArray[np.int64], kind: Kind = "binary"
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return what part of a batch weighs by its targets, in the mean that is the batch's loss.

    None for times: a partial likelihood is no mean over images.

    Args:
        recipe: As for :func:`training_loss`.
        targets: As for :func:`training_loss`.
        kind: The kind of the outcome.
    """
    if kind == "time_to_event":
        return None
    weighted = kind == "binary" and recipe.imbalance == "class_weights"
    weights = class_weights(targets) if weighted else (1.0, 1.0)
    return lambda own: (weights[0] + (weights[1] - weights[0]) * own).sum()


def expected_loss(recipe: Recipe, targets: npt.NDArray[np.int64], kind: Kind = "binary") -> Loss:
    """Return the loss that a whole part has under the objective that training minimises.

    It differs from :func:`training_loss` for balanced sampling only: a part that is not sampled
    is weighted instead, which has the same expectation.

    Args:
        recipe: Its ``loss`` and ``imbalance``.
        targets: Targets of the training images: 0 or 1, both present; or scores; or times,
            negative where no event was seen.
        kind: The kind of the outcome.
    """
    if kind != "binary":
        return partial_likelihood_loss if kind == "time_to_event" else _squared_error(targets)
    weighted = recipe.imbalance in ("class_weights", "balanced_sampling")
    return _loss(recipe, targets, class_weights(targets) if weighted else (1.0, 1.0))


def _squared_error(targets: npt.NDArray[np.int64]) -> Loss:
    """Return the mean squared error of a score that is given in standard units.

    A regression whose result is rounded: its optimum is the mean score, at which the expected
    squared error is least, which is what the quadratic weighted kappa punishes. Cohen et al. 2020
    (Cureus 12:e9448) have severity scores of chest X-rays from a linear regression.
    """
    mean, spread = score_scale(targets)

    def loss(logits: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(logits, (own - mean) / spread)

    return loss


def _loss(recipe: Recipe, targets: npt.NDArray[np.int64], weights: tuple[float, float]) -> Loss:
    adjusts = recipe.imbalance == "logit_adjustment"
    shift = log_odds(float(targets.mean())) if adjusts else 0.0
    focus = FOCUS if recipe.loss == "focal" else 0.0

    def loss(logits: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return weighted_loss(logits + shift, own, weights, focus)

    return loss


def weighted_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weights: tuple[float, float] = (1.0, 1.0),
    focus: float = 0.0,
) -> torch.Tensor:
    """Return the class-weighted cross-entropy or focal loss, divided by the sum of the weights.

    The division by the sum of weights, as in ``torch.nn.functional.cross_entropy``, keeps the
    gradient's scale independent of how rare the event is.

    Args:
        logits: float [B].
        targets: float [B], 0 or 1.
        weights: Weights of the classes 0 and 1.
        focus: Gamma of the focal loss: each loss is multiplied by (1 - p)^gamma, where p is the
            probability given to the true class. 0 gives the cross-entropy.
    """
    weight = weights[0] + (weights[1] - weights[0]) * targets
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if focus:
        # exp(-loss) is the probability of the true class.
        losses = (-torch.expm1(-losses)) ** focus * losses
    return (weight * losses).sum() / weight.sum()
