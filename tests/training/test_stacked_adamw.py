"""Steps of several runs at once, against torch's own AdamW of each run alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prognobench.training.stack import Stack
from prognobench.training.stacked_adamw import StackedAdamW

CLIP = 0.5


def models(count=3):
    made = []
    for number in range(count):
        torch.manual_seed(number)
        made.append(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0)))
    return made


def optimiser(model, number):
    head = {"params": list(model[2].parameters()), "lr": 1e-2 * (number + 1), "weight_decay": 0.0}
    inside = {"params": list(model[0].parameters()), "lr": 3e-3, "weight_decay": 0.1 * number}
    return torch.optim.AdamW([head, inside], fused=True)


def batch(step):
    return torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(100 + step))


def loss(logits):
    return ((logits - 1) ** 2).mean() * 20  # its gradient is clipped


def alone(own, number, steps, start=0):
    found = []
    for step in range(start, start + steps):
        own.optimiser.param_groups[0]["lr"] = 1e-2 * (number + 1) / (1 + step)
        own.optimiser.zero_grad()
        value = loss(own.model(batch(step)[number]))
        value.backward()
        found.append(float(nn.utils.clip_grad_norm_(own.model.parameters(), CLIP)))
        own.optimiser.step()
    return found


class Own:
    def __init__(self, model, number):
        self.model, self.optimiser = model, optimiser(model, number)


def together(all_, steps, start=0, spoil=None):
    stack = Stack([own.model for own in all_])
    adamw = StackedAdamW(stack, [own.optimiser for own in all_])
    norms = []
    for step in range(start, start + steps):
        for number, own in enumerate(all_):
            own.optimiser.param_groups[0]["lr"] = 1e-2 * (number + 1) / (1 + step)
        stack.clear_gradients()
        logits = stack.train_logits(batch(step), {})
        losses = torch.stack([loss(own) for own in logits.unbind()])
        losses.sum().backward()
        given = losses.detach()
        if spoil is not None:
            given[spoil] = float("nan")
        norms.append(adamw.step(given, CLIP).tolist())
    adamw.release()
    stack.release()
    return norms


def test_several_runs_step_as_each_alone():
    expected = [Own(model, number) for number, model in enumerate(models())]
    norms = [alone(own, number, 6) for number, own in enumerate(expected)]
    found = [Own(model, number) for number, model in enumerate(models())]
    seen = together(found, 4)
    # Their state goes back to their own optimisers, and on from there.
    seen += together(found, 1, start=4)
    last = [alone(own, number, 1, start=5) for number, own in enumerate(found)]
    torch.testing.assert_close(torch.tensor(seen).T, torch.tensor(norms)[:, :5])
    torch.testing.assert_close(torch.tensor(last), torch.tensor(norms)[:, 5:])
    assert torch.tensor(norms).max() > CLIP
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(b, a, atol=1e-6, rtol=1e-5)
            state, own = one.optimiser.state[a], other.optimiser.state[b]
            assert float(own["step"]) == float(state["step"]) == 6
            torch.testing.assert_close(own["exp_avg_sq"], state["exp_avg_sq"])


def test_a_run_whose_loss_is_no_number_stays_and_the_others_go_on():
    expected = [Own(model, number) for number, model in enumerate(models())]
    for number in (0, 2):
        alone(expected[number], number, 2)
    found = [Own(model, number) for number, model in enumerate(models())]
    together(found, 2, spoil=1)
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(b, a, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("stacked", [True, False])
def test_what_has_no_gradient_is_left_alone(stacked):
    made = [Own(model, 1) for model in models(2)]
    before = [own.model[0].weight.clone() for own in made]

    def outside(model, inputs):
        return model[2](torch.tanh(inputs.repeat(1, 2)[:, :6])).flatten()

    for own in made:
        own.model.forward = outside.__get__(own.model)
    if stacked:
        stack = Stack([own.model for own in made])
        adamw = StackedAdamW(stack, [own.optimiser for own in made])
        logits = stack.train_logits(batch(0)[:2], {})
        logits.sum().backward()
        adamw.step(torch.zeros(2), CLIP)
        stack.release()
    else:
        for number, own in enumerate(made):
            own.model(batch(0)[number]).sum().backward()
            own.optimiser.step()
    for own, was in zip(made, before, strict=True):
        assert torch.equal(own.model[0].weight, was)
