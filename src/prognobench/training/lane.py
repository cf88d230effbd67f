"""A run in training, and what it leaves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.randomness import derived_seed
from prognobench.training.attention import set_attention
from prognobench.training.classifier import Trainable
from prognobench.training.course import Course, check_finite
from prognobench.training.features import forward_batch
from prognobench.training.memory import in_parts
from prognobench.training.precision import computing_in, full_float32
from prognobench.training.sampling import Rows


@dataclass
class Trained:
    """What training leaves.

    Attributes:
        logits: float64 [N], logit of every image of a part; no number for the others. Those of
            the training part may be of bfloat16.
        parameters: Number of trained parameters, the head's included.
        validation_score: Score of the validation part in the state that was kept, higher is
            better, in float32; None without a validation part.
        info: Steps, epochs and losses, as plain data.
        head: The head, which gives the logit of raw features.
        backbone: The adapted backbone; None where it stayed as it was.
        seconds: The run's share of the time that training took.
    """

    logits: npt.NDArray[np.float64]
    parameters: int
    validation_score: float | None
    info: dict[str, Any] = field(default_factory=dict)
    head: nn.Linear | None = None
    backbone: Backbone | None = None
    seconds: float = 0.0


class Lane:
    """A run in training: its model, its optimiser and its course.

    Attributes:
        masks: The masks of dropout that were drawn for the next step; None before.
    """

    def __init__(
        self,
        course: Course,
        model: Trainable,
        optimiser: torch.optim.Optimizer,
        after_step: Callable[[int, int], None] | None = None,
    ) -> None:
        """Make ready to train a model whose optimiser already knows what is to be trained.

        Args:
            course: The run's data, and how its training goes.
            model: Gives logits [B]; ``trained_state`` gives copies of what training can change.
            optimiser: Its groups have their peak learning rates.
            after_step: Called after each step of the optimiser, gradients still there, with the
                step's number (from 1) and the number of steps, at most.
        """
        self.job, self.course, self.model = course.job, course, model
        self.optimiser, self.after_step = optimiser, after_step
        self.peaks = [group["lr"] for group in optimiser.param_groups]
        self.trainable = [p for group in optimiser.param_groups for p in group["params"]]
        self.best_state: dict[str, torch.Tensor] | None = None
        self.best_logits: npt.NDArray[np.float64] | None = None
        self.masks: torch.Tensor | None = None
        self.error: Exception | None = None
        self._random_state: list[torch.Tensor] | None = None

    @contextlib.contextmanager
    def own_random_state(self) -> Iterator[None]:
        """Draw from the run's own stream what a method draws from torch's global generators."""
        device = self.course.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            if self._random_state is None:
                torch.manual_seed(derived_seed(self.job.run, "training"))
            else:
                torch.set_rng_state(self._random_state[0])
                for own, state in zip(devices, self._random_state[1:], strict=True):
                    torch.cuda.set_rng_state(state, own)
            yield
            states = [torch.cuda.get_rng_state(own) for own in devices]
            self._random_state = [torch.get_rng_state(), *states]

    def step(self, loss: float, norm: float) -> None:
        """Take the optimiser's step; gradients are there, and clipped.

        Args:
            loss: The training loss.
            norm: Norm of the gradient before it was clipped.

        Raises:
            NonFiniteLossError: When one of them is not finite.
        """
        self.check(loss, norm)
        self.set_rates()
        self.optimiser.step()
        self.passed(loss)

    def check(self, loss: float, norm: float) -> None:
        """Raise a ``NonFiniteLossError`` when the loss or its gradient is not finite."""
        check_finite(loss, "training loss")
        check_finite(norm, "gradient of the training loss")

    def set_rates(self) -> None:
        """Set the learning rates of the next step."""
        share = self.course.rate()
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share

    def passed(self, loss: float) -> None:
        """Go on after a step that was taken, with its loss."""
        self.course.stepped(loss)
        if self.after_step:
            self.after_step(self.course.taken, self.course.steps)
        if not self.course.ended:
            self.course.draw()
        self.masks = None

    def judge(self, logits: npt.NDArray[np.float64]) -> None:
        """Judge the validation part's logits, and keep the model's state if they are the best.

        Where memory runs out for the copy of the state nothing has changed.
        """

        def keep() -> None:
            self.best_state, self.best_logits = self.model.trained_state(), logits

        self.course.judge(logits, keep)


def finish(lane: Lane, inputs: torch.Tensor, precision: torch.dtype) -> Trained:
    """Return what a lane's training leaves.

    What is judged is predicted in float32 on every device. The training part is predicted as its
    steps were computed, where nothing is made of it.

    Args:
        lane: The lane, in the state that is kept.
        inputs: What its model takes of every image.
        precision: What training steps were computed in.
    """
    job, course = lane.job, lane.course
    logits = np.full(len(job.targets), np.nan)
    began = time.perf_counter()
    parts = dict(job.rows)
    # The logits of a Cox model's training part make its baseline hazard: they are judged, too.
    if job.kind != "time_to_event" and len(parts["val"]) + len(parts["test"]):
        seen = parts.pop("train")
        logits[seen] = predict(lane.model, inputs, seen, precision)
    if lane.best_logits is not None and precision is torch.float32:
        logits[parts.pop("val")] = lane.best_logits
    judged = np.concatenate(list(parts.values()))
    logits[judged] = predict(lane.model, inputs, judged)
    return Trained(
        logits,
        sum(p.numel() for p in lane.trainable),
        None if job.fixed_steps else course.score(logits[job.rows["val"]]),
        {"precision": str(precision).removeprefix("torch."), **course.info()},
        seconds=course.seconds + time.perf_counter() - began,
    )


def predict(
    model: nn.Module, inputs: torch.Tensor, rows: Rows, precision: torch.dtype = torch.float32
) -> npt.NDArray[np.float64]:
    """Return a model's logits, float64 [len(rows)], in evaluation mode.

    When memory runs out, half as many images go on in a pass.

    Args:
        model: The model.
        inputs: What it takes of every image.
        rows: Which images.
        precision: What it computes in: float32, or bfloat16 by autocast.
    """
    model.eval()
    set_attention(model, fused=True)
    device = next(model.parameters()).device
    if not len(rows):  # several transformers of timm cannot reshape no images
        return np.empty(0)
    index = torch.as_tensor(rows, device=inputs.device)
    with torch.inference_mode(), full_float32(), computing_in(precision, device):
        parts = in_parts(
            lambda own: model(inputs[index[own]].to(device)).cpu(),
            len(index),
            forward_batch(inputs, device),
        )
    return torch.cat(parts).double().numpy()
