"""What a radiograph shows: the findings, from which it is drawn and on which demo_vit learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")
"""The lung zones; right and left are the patient's (the right lung is on the image's left)."""

BASAL_PREDOMINANCE = np.array([-0.5, 0.0, 0.5, -0.5, 0.0, 0.5])
"""Opacities lie rather at the bases: added to the log odds of a zone's severity."""


@dataclass(frozen=True)
class Findings:
    """The findings of one radiograph.

    Attributes:
        zones: Severity of the opacities in each of ``ZONES``, each in [0, 1].
        effusions: Height of a pleural effusion at the right and at the left base, as a share of
            the height of the lung, in [0, 0.22].
        heart: Width of the heart relative to a normal one, about 0.85 to 1.35.
    """

    zones: tuple[float, ...]
    effusions: tuple[float, float]
    heart: float

    @property
    def extent(self) -> float:
        """The extent of the opacities: the mean severity of the six zones, in [0, 1]."""
        return float(np.mean(self.zones))


def spread_extent(extent: float, pattern: np.ndarray) -> tuple[float, ...]:
    """Spread an extent over the six zones so that their mean is the extent exactly.

    Args:
        extent: The mean wanted, clipped to [0.002, 0.998].
        pattern: How far each zone departs from the others, in log odds, shape [6].

    Returns:
        A severity in (0, 1) for each of ``ZONES``.
    """
    extent = float(np.clip(extent, 0.002, 0.998))
    low, high = -20.0, 20.0
    # The mean rises with the common offset, so halving the interval finds the one that fits.
    for _ in range(45):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(middle + pattern)))).mean() < extent:
            low = middle
        else:
            high = middle
    return tuple(float(z) for z in 1 / (1 + np.exp(-((low + high) / 2 + pattern))))


def draw_pattern(rng: np.random.Generator) -> np.ndarray:
    """Draw how a patient's opacities are spread: log odds a zone, shape [6]."""
    side = rng.normal(0, 0.5)
    return BASAL_PREDOMINANCE + rng.normal(0, 0.8, 6) + side * np.repeat([1.0, -1.0], 3)


def draw_effusions(rng: np.random.Generator) -> tuple[float, float]:
    """Draw pleural effusions, which most patients do not have; the outcome ignores them."""
    present = rng.random(2) < 0.15
    heights = rng.uniform(0.05, 0.22, 2)
    right, left = np.where(present, heights, 0.0)
    return float(right), float(left)


def draw_heart(rng: np.random.Generator) -> float:
    """Draw the width of the heart relative to a normal one; the outcome ignores it."""
    return float(np.clip(rng.normal(1.02, 0.12), 0.82, 1.4))
