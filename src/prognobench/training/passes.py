"""Steps of several runs in one pass through the weights that they share.

As a server that batches continuously does with requests: when a run ends, the next one takes its
place. When memory runs out, nothing is lost and fewer go on.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prognobench.errors import UserError
from prognobench.training.course import step_inputs
from prognobench.training.dropout import draw_masks, drops_out, masks_of, masks_of_part
from prognobench.training.features import forward_batch
from prognobench.training.lane import Lane, predict
from prognobench.training.memory import is_out_of_memory
from prognobench.training.pace import Pace, Steady
from prognobench.training.precision import computing_in, full_float32
from prognobench.training.recipe import Recipe
from prognobench.training.stack import Stack
from prognobench.training.stacked_adamw import StackedAdamW
from prognobench.training.structure import Structure, structure

Start = Callable[[], Lane]
"""Makes a run's lane, when its turn comes."""


class Passes:
    """Steps of several runs in one pass: the lanes that are in training, and those that wait."""

    def __init__(
        self,
        starts: Iterable[tuple[str, Start]],
        inputs: torch.Tensor,
        recipe: Recipe,
        precision: torch.dtype,
        pace: Pace | Steady,
        *,
        images: int | None = None,
        shares: bool = False,
    ) -> None:
        """Make ready to train.

        Args:
            starts: Each run's id with what makes its lane; called when its turn comes.
            inputs: What the models take of every image, [N, ...]: uint8 images, which are
                augmented, or cached features, which are not.
            recipe: How training goes.
            precision: What training steps are computed in.
            pace: How many runs are trained in one pass.
            images: How many of a run's images go through at once in a step; None for all.
            shares: Whether the models have their frozen tensors in common, and nothing but
                optimisers changes what they train.
        """
        self.waiting = deque(starts)
        self.paused: deque[Lane] = deque()
        self.lanes: list[Lane] = []
        self.stack: Stack | None = None
        self.optimiser: StackedAdamW | None = None
        self.arranged = False
        self.manner = pace.manner
        self.inputs, self.recipe, self.precision, self.pace = inputs, recipe, precision, pace
        self.structure: Structure | None = None
        self.images, self.shares = images, shares

    def run(self) -> Iterator[tuple[str, Lane | Exception]]:
        """Train all; give each run's id with its lane, in the state that is kept, or its error."""
        while self.waiting or self.paused or self.lanes:
            yield from self._fill()
            if not self.lanes:
                continue
            failed = False
            try:
                if not self.arranged:
                    self._arrange()
                with full_float32():
                    due = [lane for lane in self.lanes if lane.course.due]
                    if due:
                        self._judge(due)
                    else:
                        self._step()
            # Out of memory, or an operator that cannot be stacked.
            except (RuntimeError, MemoryError) as error:
                failed = True
                if not self.pace.failed():  # the only lane
                    yield self.lanes.pop(0).job.run, error
            # Lanes are given memory of their own here, where that of the traceback is free again.
            for lane in self._leaving():
                yield lane.job.run, lane.error or lane
            if failed:
                # Nothing was changed: what was drawn for the step is still there.
                self._pause()

    def _fill(self) -> Iterator[tuple[str, Exception]]:
        """Seat lanes until there are as many as the pace wants; give those that cannot start."""
        while len(self.lanes) < self.pace.manner.runs and (self.paused or self.waiting):
            self.arranged = False
            if self.paused:
                self.lanes.append(self.paused.popleft())
                continue
            run, start = self.waiting.popleft()
            began = time.perf_counter()
            try:
                lane = start()
                if self.structure is None and (self.shares or drops_out(lane.model)):
                    example = self.inputs[:1].to(lane.course.device)
                    self.structure = structure(lane.model, example)
            except UserError:
                raise
            except Exception as error:
                if not (self.lanes and is_out_of_memory(error) and self.pace.failed()):
                    yield run, error
                    continue
            else:
                lane.course.seconds += time.perf_counter() - began
                self.lanes.append(lane)
                continue
            self.waiting.appendleft((run, start))
            self._pause()

    def _arrange(self) -> None:
        """Make the lanes ready to be stepped together."""
        self.stack = Stack(
            [lane.model for lane in self.lanes],
            self.structure.batched if self.structure else None,
            fused_attention=self.pace.manner.fused_attention,
            low=self.shares and self.precision is torch.bfloat16,
            # Of the last few a pass has another shape, for which it would be compiled anew.
            compiled=self.shares
            and self.pace.manner.compiled
            and len(self.lanes) == self.pace.manner.runs,
        )
        if len(self.lanes) > 1:
            optimisers = [cast(torch.optim.AdamW, lane.optimiser) for lane in self.lanes]
            self.optimiser = StackedAdamW(self.stack, optimisers)
        self.arranged = True

    def _pause(self) -> None:
        """Put all lanes back, in their order."""
        self._unstack()
        self.paused.extendleft(reversed(self.lanes))
        self.lanes = []

    def _unstack(self) -> None:
        if self.optimiser:
            self.optimiser.release()
        if self.stack:
            self.stack.release()
        self.stack, self.optimiser, self.arranged = None, None, False

    def _leaving(self) -> list[Lane]:
        """Take out the lanes that have ended; all of them where the manner has changed."""
        ended = [lane for lane in self.lanes if lane.error or lane.course.ended]
        changed = self.arranged and self.pace.manner != self.manner
        if ended or changed:
            self._unstack()
            self.lanes = [lane for lane in self.lanes if lane not in ended]
        if changed:
            self._pause()
        for lane in ended:
            if lane.best_state is not None:
                lane.model.load_state_dict(lane.best_state, strict=False)
        return ended

    def _step(self) -> None:
        """Take one step of every lane."""
        began = time.perf_counter()
        self.manner, count = self.pace.manner, len(self.lanes)
        losses = torch.stack(self._backward())
        for lane in self.lanes:
            lane.course.prepare()  # while the device still computes
        if self.optimiser:
            for lane in self.lanes:
                lane.set_rates()
            norms = self.optimiser.step(losses, self.recipe.gradient_clip)
        else:
            (lane,) = self.lanes
            norms = nn.utils.clip_grad_norm_(lane.trainable, self.recipe.gradient_clip)[None]
        values = torch.stack([losses, norms]).T.tolist()
        for lane, own in zip(self.lanes, values, strict=True):
            if self.optimiser:
                _guard(lane, functools.partial(lane.check, *own))
                if not lane.error:
                    _guard(lane, functools.partial(lane.passed, own[0]))
            else:
                _guard(lane, functools.partial(lane.step, *own))
        seconds = time.perf_counter() - began
        for lane in self.lanes:
            lane.course.seconds += seconds / count
        if count == self.manner.runs:
            left = count + len(self.waiting) + len(self.paused)
            self.pace.took(seconds, left, self._steps_left())

    def _steps_left(self) -> int:
        """Return how many steps of a run are still to be taken, if none stops early."""
        known = [lane.course for lane in (*self.lanes, *self.paused)]
        return sum(own.steps - own.taken for own in known) + len(self.waiting) * known[0].steps

    def _backward(self) -> list[torch.Tensor]:
        """Compute the gradients of one step of every lane; return the losses."""
        stack, shapes = self.stack, self.structure.shapes if self.structure else {}
        if stack is None:
            raise RuntimeError("the lanes are to be arranged first")
        for lane in self.lanes:
            if lane.masks is None:
                lane.masks = draw_masks(lane.model, shapes, lane.course.batch)
        given = step_inputs([lane.course for lane in self.lanes], self.inputs)
        stack.clear_gradients()
        whole = given.shape[1]
        drawn = [lane.masks for lane in self.lanes if lane.masks is not None]
        masks = masks_of(torch.stack(drawn) if drawn[1:] else drawn[0][None], shapes, whole)
        divisible = all(lane.course.divisible for lane in self.lanes)
        size = min(self.images or whole, whole) if divisible else whole
        losses = [given.new_zeros((), dtype=torch.float32) for _ in self.lanes]
        for first in range(0, whole, size):
            part = slice(first, min(first + size, whole))
            own_masks = masks_of_part(masks, part, whole)
            logits = self._train_logits(stack, given[:, part], own_masks)
            shares = [
                lane.course.loss(own, part)
                for lane, own in zip(self.lanes, logits.unbind(), strict=True)
            ]
            torch.stack(shares).sum().backward()  # type: ignore[no-untyped-call]
            losses = [loss + own.detach() for loss, own in zip(losses, shares, strict=True)]
        return losses

    def _train_logits(
        self, stack: Stack, given: torch.Tensor, masks: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the logits [lanes, B] of a step's inputs [lanes, B, ...]."""
        lane = self.lanes[0]
        own = lane.own_random_state() if len(self.lanes) == 1 else contextlib.nullcontext()
        with own, computing_in(self.precision, given.device):
            return stack.train_logits(given, masks)

    def _judge(self, due: Sequence[Lane]) -> None:
        """Judge the validation part of lanes whose epoch is over."""
        began = time.perf_counter()
        logits = self._validation_logits(due)
        for lane, own in zip(due, logits, strict=True):
            _guard(lane, functools.partial(lane.judge, own), repeatable=True)
            lane.course.seconds += (time.perf_counter() - began) / len(due)

    def _validation_logits(self, lanes: Sequence[Lane]) -> list[npt.NDArray[np.float64]]:
        """Return what lanes are judged by between epochs, computed as their steps are."""
        rows = [lane.job.rows["val"] for lane in lanes]
        if not self.stack or len(lanes) == 1:
            pairs = zip(lanes, rows, strict=True)
            return [predict(lane.model, self.inputs, own, self.precision) for lane, own in pairs]
        longest = max(len(own) for own in rows)
        # Shorter ones are filled up with images of their own, whose logits are thrown away.
        index = torch.as_tensor(np.stack([np.resize(own, longest) for own in rows]))
        chosen = [self.lanes.index(lane) for lane in lanes]
        device = lanes[0].course.device
        size = max(1, forward_batch(self.inputs, device) // len(lanes))
        with torch.no_grad(), computing_in(self.precision, device):
            parts = [
                self.stack.logits(self.inputs[own.to(self.inputs.device)].to(device), chosen).cpu()
                for own in torch.split(index, size, dim=1)
            ]
        logits = torch.cat(parts, dim=1).double().numpy()
        return [logits[number, : len(own)] for number, own in enumerate(rows)]


def _guard(lane: Lane, act: Callable[[], None], *, repeatable: bool = False) -> None:
    """Do something for a lane; where it fails, the lane has failed and no other.

    Args:
        lane: The lane.
        act: What is done.
        repeatable: Whether it changes nothing where memory runs out: that error is passed on.
    """
    try:
        act()
    except Exception as error:
        if repeatable and is_out_of_memory(error):
            raise
        lane.error = error
