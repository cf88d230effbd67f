"""Many ridge regressions at once, each solved to its optimum."""

from __future__ import annotations

import torch


def solve_ridge(
    inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise |b|^2 / 2 + C sum_i w_i (x_i b + a - y_i)^2 / 2.

    This is scikit-learn's ``Ridge`` with ``alpha`` 1 / C, written for many problems in one go as
    :func:`~prognobench.training.logistic.solve_logistic` is; the smaller of the two systems of
    equations, by rows or by columns, is solved.

    Args:
        inputs: float64 [P, n, k].
        targets: float64 [P, n].
        weights: float64 [P, n], not negative; 0 for rows that only fill up.
        strengths: float64 [P], inverse strength of the penalty (C).

    Returns:
        The coefficients b [P, k] and the intercepts a [P].
    """
    share = (weights / weights.sum(dim=1, keepdim=True)).unsqueeze(2)
    centre = (share * inputs).sum(dim=1, keepdim=True)
    level = (share.squeeze(2) * targets).sum(dim=1, keepdim=True)
    root = weights.sqrt()
    design = (inputs - centre) * root.unsqueeze(2)
    wanted = ((targets - level) * root).unsqueeze(2)
    penalty = (1 / strengths).view(-1, 1, 1)
    rows, columns = inputs.shape[1:]
    if rows < columns:
        small = design @ design.mT + penalty * torch.eye(rows, dtype=inputs.dtype).to(inputs)
        found = design.mT @ torch.linalg.solve(small, wanted)
    else:
        small = design.mT @ design + penalty * torch.eye(columns, dtype=inputs.dtype).to(inputs)
        found = torch.linalg.solve(small, design.mT @ wanted)
    return found.squeeze(2), (level - (centre @ found).squeeze(2)).squeeze(1)
