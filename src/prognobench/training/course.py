"""The way of a run through its training: which images, which rate, when to judge and to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from prognobench.images.augment import augment_chest, chest_draws, flip_drawn, flip_draws
from prognobench.randomness import derived_seed
from prognobench.training.job import Job
from prognobench.training.losses import part_weight, training_loss
from prognobench.training.recipe import Recipe
from prognobench.training.sampling import Rows, batches
from prognobench.training.schedule import Schedule
from prognobench.training.score import score_name, validation_score


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or no number; the run cannot go on."""


class Course:
    """Everything about a training but its model; nothing of it depends on other runs.

    With a validation part: at most ``recipe.epochs`` epochs, stopped when the validation score
    has not improved for ``recipe.patience`` epochs. Without: exactly ``recipe.few_shot_steps``.

    Attributes:
        job: The run's data.
        device: Where losses are computed.
        steps: Number of steps, at most.
        batch: Images a step.
        taken: Steps taken.
        best_score: The best validation score so far; None before the first.
        seconds: The run's share of the time of all steps and judgements.
    """

    def __init__(self, job: Job, recipe: Recipe, device: torch.device) -> None:
        """Start at the beginning.

        Args:
            job: The run's data.
            recipe: How training goes.
            device: Where losses are computed.
        """
        train = job.rows["train"]
        self.job, self.device, self._recipe = job, device, recipe
        self.batch = batch_size(job, recipe)
        self._epoch = math.ceil(len(train) / self.batch)
        self.steps = recipe.few_shot_steps if job.fixed_steps else recipe.epochs * self._epoch
        self.taken, self.seconds = 0, 0.0
        self.best_score: float | None = None
        self._best_epoch = 0
        self._losses: list[float] = []
        self._seen: list[tuple[float, float]] = []
        self._stopped = False
        self._loss = training_loss(recipe, job.targets[train], job.kind)
        self._weight = part_weight(recipe, job.targets[train], job.kind)
        self._targets = torch.tensor(job.targets, dtype=torch.float32, device=device)
        self._augmentation = torch.Generator().manual_seed(derived_seed(job.run, "augmentation"))
        balanced = job.kind == "binary" and recipe.imbalance == "balanced_sampling"
        self._batches = batches(job, self.batch, balanced)
        self._schedule = Schedule(recipe, self.steps)
        self._following: tuple[Rows, torch.Tensor | None, torch.Tensor | None] | None = None
        self.draw()

    def draw(self) -> None:
        """Go on to the next step's images and what is done to them; they stay until the next."""
        self.prepare()
        if self._following is not None:
            self.rows, self.chest, self.mirrored = self._following
        self._following = None

    def prepare(self) -> None:
        """Draw what the next :meth:`draw` goes on to, where that was not done before."""
        if self._following is not None:
            return
        rows: Rows = next(self._batches)
        chest = mirrored = None
        if self._recipe.augmentation == "chest":
            chest = chest_draws(len(rows), self._augmentation)
        if self._recipe.horizontal_flip:
            mirrored = flip_draws(len(rows), self._augmentation)
        self._following = rows, chest, mirrored

    def rate(self) -> float:
        """Return the share of their peak that the next step's learning rates have."""
        return self._schedule.share(self.taken)

    @property
    def divisible(self) -> bool:
        """Whether a step's loss is the sum of what its parts contribute."""
        return self._weight is not None

    def loss(self, logits: torch.Tensor, part: slice = slice(None)) -> torch.Tensor:
        """Return the loss of the step's logits [B], or what a part's logits contribute to it."""
        whole = self._targets[torch.as_tensor(self.rows, device=self.device)]
        own = whole[part]
        loss = self._loss(logits, own)
        if self._weight is None or len(own) == len(whole):
            return loss
        return loss * (self._weight(own) / self._weight(whole))

    def stepped(self, loss: float) -> None:
        """Note that a step was taken, with its loss."""
        self._losses.append(loss)
        self.taken += 1

    @property
    def due(self) -> bool:
        """Whether the validation part is to be judged before the next step."""
        whole = self.taken > 0 and self.taken % self._epoch == 0
        return not self.job.fixed_steps and whole and self.taken // self._epoch > len(self._seen)

    @property
    def ended(self) -> bool:
        """Whether the training is over."""
        return self._stopped or (self.taken >= self.steps and not self.due)

    def judge(self, logits: npt.NDArray[np.float64], keep: Callable[[], None]) -> None:
        """Take note of the validation part's logits.

        Args:
            logits: The logits.
            keep: Called where they are the best so far; nothing is noted before.

        Raises:
            NonFiniteLossError: When the validation loss is no finite number.
        """
        score, loss = validation_score(self.job, logits, self._recipe)
        check_finite(loss, "validation loss")
        best = self.best_score is None or score > self.best_score
        if best:
            keep()
        self._seen.append((score, loss))
        epoch = len(self._seen)
        self._schedule.see(score, self.taken)
        if best:
            self.best_score, self._best_epoch = score, epoch
        warm_epochs = math.ceil(self._schedule.warm / self._epoch)
        self._stopped = epoch - max(self._best_epoch, warm_epochs) >= self._recipe.patience

    def score(self, logits: npt.NDArray[np.float64]) -> float:
        """Return the score of the validation part's logits."""
        return validation_score(self.job, logits, self._recipe)[0]

    def info(self) -> dict[str, Any]:
        """Return steps, epochs and losses, as plain data."""
        taken = len(self._losses)
        window = max(1, taken // 10) if self.job.fixed_steps else self._epoch
        info: dict[str, Any] = {
            "steps": taken,
            "first_train_loss": float(np.mean(self._losses[:window])),
            "last_train_loss": float(np.mean(self._losses[-window:])),
        }
        if self._seen:
            info |= {
                "epochs": len(self._seen),
                "best_epoch": self._best_epoch,
                "validation_losses": [loss for _, loss in self._seen],
                f"validation_scores_{score_name(self.job, self._recipe)}": [
                    s for s, _ in self._seen
                ],
            }
        return info


def batch_size(job: Job, recipe: Recipe) -> int:
    """Return the images a step of a run: no more than it has."""
    return min(recipe.batch_size, len(job.rows["train"]))


def step_inputs(courses: Sequence[Course], inputs: torch.Tensor) -> torch.Tensor:
    """Return what the next step of some runs is given, [runs, B, ...], in one go.

    Args:
        courses: The runs' courses, of one recipe and batch size.
        inputs: What a model takes of every image, [N, ...]: uint8 images, which are augmented, or
            cached features, which are not.
    """
    rows = torch.as_tensor(np.concatenate([course.rows for course in courses]))
    # Inputs that are too many for the device stay with the machine, and go there by the batch.
    chosen = inputs[rows.to(inputs.device)].to(courses[0].device)
    if inputs.dtype == torch.uint8:
        draws = [course.chest for course in courses if course.chest is not None]
        if draws:
            chosen = augment_chest(chosen, torch.cat(draws))
        flips = [course.mirrored for course in courses if course.mirrored is not None]
        if flips:
            chosen = flip_drawn(chosen, torch.cat(flips))
    return chosen.view(len(courses), -1, *inputs.shape[1:])


def check_finite(value: float, what: str) -> None:
    """Raise a :class:`NonFiniteLossError` when a value is not finite, saying what it is."""
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the {what} became {value}: a lower learning rate may help")
