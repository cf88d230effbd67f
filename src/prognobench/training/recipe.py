"""How training goes: the part of a run's identity that is neither data nor model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The resolved recipe of a run; defaults stand in :mod:`prognobench.spec`.

    Attributes:
        epochs: Passes over the training part, where there is a validation part.
        few_shot_steps: Optimiser steps, where there is none.
        batch_size: Images a step, at most.
        head_lr: Peak learning rate of the head.
        warmup: Share of the steps in which learning rates rise linearly from 0, in [0, 1).
        patience: Epochs without a lower validation loss after which training stops.
        gradient_clip: Largest norm of the gradient of all trainable parameters.
        class_weighting: ``balanced`` weights each class by the inverse of its frequency in the
            training part; ``none`` weights all patients alike.
        augmentation: ``chest`` for small shifts, rotations, scalings and contrast changes;
            ``none``.
        precision: ``float32``, ``bfloat16`` (autocast) or ``auto`` (bfloat16 on CUDA).
    """

    epochs: int
    few_shot_steps: int
    batch_size: int
    head_lr: float
    warmup: float
    patience: int
    gradient_clip: float
    class_weighting: str
    augmentation: str
    precision: str

    def identity(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return asdict(self)
