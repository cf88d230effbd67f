"""Learning rates over time, as a share of their peak."""

from __future__ import annotations

import math

from prognobench.training.recipe import Recipe

LOWEST_SHARE = 1e-5
"""The plateau schedule's floor: 1e-8 for a peak of 1e-3, the values of the paper's authors."""


class Schedule:
    """The share of the peak that each step's learning rates have.

    Attributes:
        warm: Number of steps in which the share rises linearly to 1.
    """

    def __init__(self, recipe: Recipe, steps: int) -> None:
        """Make the schedule of a training.

        Args:
            recipe: Its ``schedule``, ``warmup``, ``plateau_factor`` and ``plateau_patience``.
            steps: Number of steps, at most.
        """
        self.warm = max(1, round(recipe.warmup * steps))
        self._recipe, self._steps = recipe, steps
        self._reached, self._best, self._stale = 1.0, -math.inf, 0

    def share(self, step: int) -> float:
        """Return the share of the peak, in (0, 1], of the step with this number (from 0)."""
        if step < self.warm:
            return (step + 1) / self.warm
        if self._recipe.schedule == "plateau":
            return self._reached
        passed = (step - self.warm) / max(1, self._steps - self.warm)
        return 0.5 * (1 + math.cos(math.pi * passed))

    def see(self, score: float, step: int) -> None:
        """Take note of a validation score (higher is better) after so many steps.

        As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with threshold 0; scores of the warm-up
        count as a mark to beat, but not as time lost.
        """
        if score > self._best:
            self._best, self._stale = score, 0
        elif step > self.warm:
            self._stale += 1
        if self._stale > self._recipe.plateau_patience:
            self._reached = max(LOWEST_SHARE, self._reached * self._recipe.plateau_factor)
            self._stale = 0
