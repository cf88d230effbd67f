"""Losses of binary outcomes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional


def class_weights(targets: npt.NDArray[np.int64], weighting: str) -> tuple[float, float]:
    """Return the weights of the classes 0 and 1.

    Args:
        targets: Targets of the training images, 0 or 1, both present.
        weighting: ``balanced``: n / (2 n_class), as scikit-learn's ``class_weight="balanced"``;
            ``none``: 1 and 1.
    """
    if weighting == "none":
        return 1.0, 1.0
    events = float(targets.mean())
    return 0.5 / (1 - events), 0.5 / events


def weighted_log_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: tuple[float, float]
) -> torch.Tensor:
    """Return the class-weighted cross-entropy, divided by the sum of the weights.

    The division by the sum of weights, as in ``torch.nn.functional.cross_entropy``, keeps the
    gradient's scale independent of how rare the event is.

    Args:
        logits: float [B].
        targets: float [B], 0 or 1.
        weights: Weights of the classes 0 and 1.
    """
    weight = torch.where(targets > 0.5, weights[1], weights[0])
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (weight * losses).sum() / weight.sum()
