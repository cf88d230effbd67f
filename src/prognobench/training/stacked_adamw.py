"""AdamW of several runs in one go: each with its own rates and its own number of steps.

torch's AdamW takes one learning rate for all tensors of a call. A call for each run, and clipping
of each run's many small tensors, would take longer on a GPU than the steps themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from prognobench.training.stack import Stack

_EPSILON = 1e-6
"""What torch adds to a norm before it divides by it."""


class StackedAdamW:
    """Steps of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) on the tensors of a stack.

    It takes over the state of each run's own optimiser, whose groups go on to hold the rates.
    """

    def __init__(self, stack: Stack, optimisers: Sequence[torch.optim.AdamW]) -> None:
        """Take over the optimisers' state.

        Args:
            stack: The stack of the models.
            optimisers: The optimiser of each model's trained parameters; they differ in rates,
                decay and state only.
        """
        self._stack, self._optimisers = stack, list(optimisers)
        self._names = list(stack.trained)
        sizes = [stack.trained[name][0].numel() for name in self._names]
        group = {
            parameter: number
            for number, own in enumerate(optimisers[0].param_groups)
            for parameter in own["params"]
        }
        first = [group[stack.parameters[name][0]] for name in self._names]
        device = stack.trained[self._names[0]].device
        # The group of each number in a run's row.
        self._group = torch.tensor(first).repeat_interleave(torch.tensor(sizes)).to(device)
        self._betas, self._eps = optimisers[0].defaults["betas"], optimisers[0].defaults["eps"]
        states = [
            [own.state.get(stack.parameters[name][run], {}) for name in self._names]
            for run, own in enumerate(self._optimisers)
        ]
        self._steps = [int(max(float(one.get("step", 0)) for one in own)) for own in states]

        def rows(key: str) -> torch.Tensor:
            whole = torch.zeros((len(states), sum(sizes)), device=device)
            for own, row in zip(states, whole, strict=True):
                for state, place in zip(own, torch.split(row, sizes), strict=True):
                    if key in state:
                        place.copy_(state[key].flatten())
            return whole

        self._mean, self._square = rows("exp_avg"), rows("exp_avg_sq")

    def step(self, losses: torch.Tensor, clip: float) -> torch.Tensor:
        """Clip each run's gradient and take a step; nothing waits for the device.

        A run whose loss or gradient is no finite number stays as it is.

        Args:
            losses: [runs], the losses whose gradients the stack has.
            clip: The largest norm of a run's gradient.

        Returns:
            float32 [runs], the norms before they were clipped.
        """
        trained = [self._stack.trained[name] for name in self._names]
        gradient = _rows([torch.zeros_like(o) if o.grad is None else o.grad for o in trained])
        norms: torch.Tensor = torch.linalg.vector_norm(gradient, dim=1)
        gradient *= (clip / (norms + _EPSILON)).clamp(max=1).unsqueeze(1)
        self._stack.set_gradients(gradient)
        taken = [steps + 1 for steps in self._steps]
        (first, second), device = self._betas, gradient.device
        rates, decays = (
            torch.tensor([[own[key] for own in one.param_groups] for one in self._optimisers])
            for key in ("lr", "weight_decay")
        )
        count = torch.tensor(taken, dtype=torch.float64).unsqueeze(1)
        of_group = torch.stack([rates / (1 - first**count).float(), 1 - rates * decays])
        rate, shrunk = of_group.to(device)[:, :, self._group].unbind()
        root = (1 - second**count).sqrt().float().to(device)
        mean = self._mean.lerp(gradient, 1 - first)
        square = (second * self._square).addcmul_(gradient, gradient, value=1 - second)
        before = _rows(trained)
        after = shrunk * before - rate * mean / (square.sqrt() / root + self._eps)
        good = (torch.isfinite(losses) & torch.isfinite(norms)).unsqueeze(1)
        if any(own.grad is None for own in trained):  # such a tensor is not even decayed
            idle = _rows([torch.full_like(o, o.grad is None, dtype=torch.bool) for o in trained])
            good = good & ~idle
        chosen = torch.where(good, after, before)
        # From here on nothing is allocated, so that memory cannot run out between two changes.
        self._stack.set_trained(chosen)
        self._mean, self._square, self._steps = mean, square, taken
        return norms

    def release(self) -> None:
        """Give each run's own optimiser its state."""
        for run, own in enumerate(self._optimisers):
            if not self._steps[run]:
                continue
            parameters = [self._stack.parameters[name][run] for name in self._names]
            sizes = [parameter.numel() for parameter in parameters]
            for parameter, mean, square in zip(
                parameters,
                torch.split(self._mean[run], sizes),
                torch.split(self._square[run], sizes),
                strict=True,
            ):
                own.state[parameter] = {
                    "step": torch.tensor(float(self._steps[run]), device=parameter.device),
                    "exp_avg": mean.clone().view_as(parameter),
                    "exp_avg_sq": square.clone().view_as(parameter),
                }


def _rows(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return tensors [runs, ...] side by side, [runs, M]."""
    return torch.cat([own.detach().flatten(1) for own in tensors], dim=1)
