"""Cox's partial likelihood: the loss of times to an event, and penalised regressions by it."""

from __future__ import annotations

import torch

TOLERANCE = 1e-9
"""Largest gradient at the optimum, as a share of the number of events times C."""

_STEPS, _HALVINGS = 100, 40


def partial_likelihood_loss(log_hazards: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the negative log partial likelihood, a mean over the events.

    Cox 1972 (J R Stat Soc B 34:187) with Breslow's handling of equal times. In training the risk
    sets are those of the batch (Kvamme et al. 2019, JMLR 20:129). Without an event it is 0, with a
    gradient of 0.

    Args:
        log_hazards: float [B].
        times: float [B]: the time of an event, or the negative of the time at which a patient
            without it was last seen (as XGBoost has it).
    """
    time, event = times.abs(), times > 0
    if not event.any():
        return (0.0 * log_hazards).sum()
    at_risk = time.unsqueeze(0) >= time[event].unsqueeze(1)
    spread = log_hazards.unsqueeze(0).expand_as(at_risk)
    own = torch.logsumexp(spread.masked_fill(~at_risk, -torch.inf), dim=1)
    return (own - log_hazards[event]).mean()


def solve_cox(
    inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise |b|^2 / 2 - C times the log partial likelihood of x b.

    This is scikit-survival's ``CoxPHSurvivalAnalysis`` with ``alpha`` 1 / C. Newton's method with
    the step halved until the objective falls; where there are fewer rows than columns the optimum
    lies in the rows' span and is looked for there.

    Args:
        inputs: float64 [P, n, k].
        targets: float64 [P, n], as ``times`` of :func:`partial_likelihood_loss`.
        weights: float64 [P, n], 1; 0 for rows that only fill up.
        strengths: float64 [P], inverse strength of the penalty (C).

    Returns:
        The coefficients b [P, k], and zeros [P]: there is no intercept.

    Raises:
        RuntimeError: When an optimum was not reached.
    """
    found = []
    for given, times, there, strength in zip(inputs, targets, weights, strengths, strict=True):
        rows = given[there > 0]
        if rows.shape[0] < rows.shape[1]:
            basis, triangle = torch.linalg.qr(rows.mT)
            found.append(basis @ _newton(triangle.mT, times[there > 0], strength))
        else:
            found.append(_newton(rows, times[there > 0], strength))
    return torch.stack(found), inputs.new_zeros(len(inputs))


def _newton(rows: torch.Tensor, times: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    time, event = times.abs(), times > 0
    at_risk = time.unsqueeze(0) >= time[event].unsqueeze(1)
    happened = event.to(rows.dtype)
    solved = rows.new_zeros(rows.shape[1])
    for _ in range(_STEPS):
        # Of each event, the share of the risk that each patient at risk has.
        spread = (rows @ solved).unsqueeze(0).expand_as(at_risk)
        shares = torch.softmax(spread.masked_fill(~at_risk, -torch.inf), dim=1)
        risk = shares.sum(dim=0)
        slope = solved + strength * (rows.mT @ (risk - happened))
        if slope.abs().max() <= TOLERANCE * strength * happened.sum().clamp(min=1):
            return solved
        inner = shares @ rows
        hessian = strength * (rows.mT @ (risk.unsqueeze(1) * rows) - inner.mT @ inner)
        hessian.diagonal().add_(1.0)
        step = torch.linalg.solve(hessian, slope)
        solved = _descend(rows, times, strength, solved, step)
    raise RuntimeError("a penalised Cox regression did not reach its optimum")


def _descend(
    rows: torch.Tensor,
    times: torch.Tensor,
    strength: torch.Tensor,
    at: torch.Tensor,
    step: torch.Tensor,
) -> torch.Tensor:
    """Return where to go: as far along the step as does not raise the objective."""
    events = (times > 0).sum()

    def objective(to: torch.Tensor) -> torch.Tensor:
        return strength * events * partial_likelihood_loss(rows @ to, times) + to @ to / 2

    before, share = objective(at), 1.0
    for _ in range(_HALVINGS):
        if objective(at - share * step) <= before + 1e-11 * before.abs():
            break
        share /= 2
    return at - share * step
