"""Many penalised logistic regressions at once, each solved to its optimum."""

from __future__ import annotations

import torch

TOLERANCE = 1e-10
"""Largest gradient at the optimum, as a share of the sum of the weights times C."""

_STEPS, _HALVINGS = 100, 40
_SLOPE = 1e-4


def solve_logistic(
    inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise |b|^2 / 2 + C sum_i w_i log(1 + exp(-s_i (x_i b + a))), s_i = 1 or -1.

    This is the objective of scikit-learn's ``LogisticRegression``. Newton's method with the step
    halved until the objective falls (Boyd and Vandenberghe 2004, section 9.5). Where there are
    fewer rows than columns, the optimum lies in the rows' span and is looked for there.

    Args:
        inputs: float64 [P, n, k].
        targets: float64 [P, n], 0 or 1.
        weights: float64 [P, n], not negative; 0 for rows that only fill up.
        strengths: float64 [P], inverse strength of the penalty (C).

    Returns:
        The coefficients b [P, k] and the intercepts a [P].

    Raises:
        RuntimeError: When an optimum was not reached.
    """
    rows, columns = inputs.shape[1:]
    if rows < columns:
        basis, triangle = torch.linalg.qr(inputs.mT)
        inner, intercepts = _newton(triangle.mT, targets, weights, strengths)
        return (basis @ inner.unsqueeze(2)).squeeze(2), intercepts
    return _newton(inputs, targets, weights, strengths)


def _newton(
    inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    count, rows, columns = inputs.shape
    design = torch.cat([inputs, inputs.new_ones(count, rows, 1)], dim=2)
    weights = strengths.unsqueeze(1) * weights
    penalty = torch.cat([inputs.new_ones(columns), inputs.new_zeros(1)])
    solved = inputs.new_zeros(count, columns + 1)
    limit = TOLERANCE * weights.sum(dim=1)
    active = torch.arange(count, device=inputs.device)
    for _ in range(_STEPS):
        own, at = (design[active], targets[active], weights[active]), solved[active]
        probability = torch.sigmoid(_linear(own[0], at))
        slope = (own[0].mT @ (own[2] * (probability - own[1])).unsqueeze(2)).squeeze(2)
        slope = slope + penalty * at
        left = slope.abs().amax(dim=1) > limit[active]
        if not left.any():
            return solved[:, :-1], solved[:, -1]
        active, at, slope, probability = active[left], at[left], slope[left], probability[left]
        own = (own[0][left], own[1][left], own[2][left])
        curvature = own[2] * probability * (1 - probability)
        hessian = own[0].mT @ (curvature.unsqueeze(2) * own[0])
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        # The intercept is not penalised; far out its curvature may vanish in rounding.
        diagonal += penalty + 1e-12 * (1 + diagonal)
        step = torch.linalg.solve(hessian, slope)
        solved[active] = _descend(own, at, step, (slope * step).sum(dim=1), penalty)
    raise RuntimeError(f"{len(active)} logistic regressions did not reach their optimum")


def _descend(
    own: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    at: torch.Tensor,
    step: torch.Tensor,
    decrease: torch.Tensor,
    penalty: torch.Tensor,
) -> torch.Tensor:
    """Return where each problem goes: as far along its step as lowers its objective enough."""
    before = _objective(own, at, penalty)
    share = torch.ones_like(before)
    # Close to the optimum a step lowers the objective by less than its own rounding.
    rounding = 1e-11 * before.abs()
    for _ in range(_HALVINGS):
        to = at - share.unsqueeze(1) * step
        after = _objective(own, to, penalty)
        bad = ~(after <= before - _SLOPE * share * decrease + rounding)
        if not bad.any():
            break
        share = torch.where(bad, share / 2, share)
    return at - share.unsqueeze(1) * step


def _objective(
    own: tuple[torch.Tensor, torch.Tensor, torch.Tensor], at: torch.Tensor, penalty: torch.Tensor
) -> torch.Tensor:
    design, targets, weights = own
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        _linear(design, at), targets, reduction="none"
    )
    return (weights * losses).sum(dim=1) + (penalty * at.square()).sum(dim=1) / 2


def _linear(design: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return (design @ at.unsqueeze(2)).squeeze(2)
