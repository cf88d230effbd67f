"""The Pareto front: candidates that no other beats at no higher cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pareto_front(
    costs: Sequence[float], values: Sequence[float], *, higher_is_better: bool = True
) -> NDArray[np.bool_]:
    """Say of each candidate whether it is on the front.

    It is when no other is at least as good at no higher cost, and better in one of the two.

    Args:
        costs: The cost of each, lower is better.
        values: The estimate of each.
        higher_is_better: The direction of the estimate.

    Returns:
        Of shape [n]; candidates with equal cost and estimate are on it together.
    """
    cost = np.asarray(costs, dtype=np.float64)
    value = np.asarray(values, dtype=np.float64) * (1.0 if higher_is_better else -1.0)
    no_worse = (cost[:, None] <= cost) & (value[:, None] >= value)
    better = (cost[:, None] < cost) | (value[:, None] > value)
    return np.logical_not((no_worse & better).any(axis=0))
