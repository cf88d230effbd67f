"""Learning-rate schedules against those of torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problem import RECIPE, changed

from prognobench.training.schedule import LOWEST_SHARE, Schedule


@given(st.integers(1, 300), st.floats(0, 0.9))
def test_the_cosine_rises_linearly_then_falls_to_nothing(steps, warmup):
    schedule = Schedule(changed(RECIPE, warmup=warmup), steps)
    shares = [schedule.share(step) for step in range(steps)]
    warm = min(schedule.warm, steps)
    assert shares[:warm] == pytest.approx([(step + 1) / schedule.warm for step in range(warm)])
    assert all(0 < share <= 1 for share in shares)
    falling = shares[warm:]
    assert falling == sorted(falling, reverse=True)


def test_the_cosine_is_that_of_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=90)
    schedule = Schedule(changed(RECIPE, warmup=0.1), 100)
    for step in range(10, 100):
        assert schedule.share(step) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-9)
        optimiser.step()
        oracle.step()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(1, 5))
def test_the_plateau_is_that_of_torch(scores, patience):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser,
        mode="max",
        factor=0.1,
        patience=patience,
        threshold=0,
        min_lr=LOWEST_SHARE,
        eps=0,
    )
    recipe = changed(
        RECIPE, schedule="plateau", warmup=0.0, plateau_factor=0.1, plateau_patience=patience
    )
    schedule = Schedule(recipe, 1000)
    for epoch, score in enumerate(scores, start=1):
        schedule.see(score, 10 * epoch)
        oracle.step(score)
        assert schedule.share(10 * epoch) == pytest.approx(optimiser.param_groups[0]["lr"])


def test_no_time_is_lost_while_the_rate_rises():
    recipe = changed(RECIPE, schedule="plateau", warmup=0.5, plateau_patience=2)
    schedule = Schedule(recipe, 20)
    for step in range(1, 11):
        schedule.see(-float(step), step)
    assert schedule.share(10) == 1.0
    for step in (11, 12):
        schedule.see(-99.0, step)
    assert schedule.share(12) == 1.0
    schedule.see(-99.0, 13)
    assert schedule.share(13) == recipe.plateau_factor
