"""Training by gradient descent: one adapted backbone with its head."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.images.augment import augment_chest
from prognobench.randomness import derived_seed
from prognobench.strategies.strategy import GradientOptions, Strategy
from prognobench.training.job import Job
from prognobench.training.losses import class_weights, weighted_log_loss
from prognobench.training.recipe import Recipe

EVALUATION_BATCH = 64


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or no number; the run cannot go on."""


@dataclass
class Trained:
    """What training by gradient descent leaves.

    Attributes:
        logits: float64 [N], logit of every image of a part; no number for the others.
        parameters: Number of trained parameters, the head's included.
        info: Steps, epochs and losses, as plain data.
    """

    logits: npt.NDArray[np.float64]
    parameters: int
    info: dict[str, Any] = field(default_factory=dict)


class Classifier(nn.Module):
    """An adapted backbone with a linear head that gives one logit."""

    def __init__(self, backbone: Backbone, strategy: Strategy) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.entry.feature_dim, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._trains_normalisation = strategy.trains_normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits [B] of uint8 images [B, 1, S, S]."""
        logits: torch.Tensor = self.head(self.backbone.features(images)).squeeze(1)
        return logits.float()

    def train(self, mode: bool = True) -> Classifier:
        """Set training mode; statistics of a frozen backbone's normalisation never move."""
        super().train(mode)
        if mode and not self._trains_normalisation:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return copies of everything that training can change: parameters and statistics."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        if self._trains_normalisation:
            trained |= {name for name, _ in self.named_buffers()}
        state = self.state_dict()
        return {name: state[name].detach().clone() for name in trained & state.keys()}


def train_by_gradient(
    job: Job, backbone: Backbone, strategy: Strategy, options: GradientOptions, recipe: Recipe
) -> Trained:
    """Adapt a copy of a backbone and train it with its head.

    AdamW with linear warm-up and cosine decay, class-weighted cross-entropy, gradient clipping.
    With a validation part: at most ``recipe.epochs`` epochs, stopped when the validation loss has
    not fallen for ``recipe.patience`` epochs, and the state of its lowest value is kept. Without:
    exactly ``recipe.few_shot_steps`` steps, and the last state is kept.

    Every random draw is derived from ``job.run``; the state of torch's global generators is
    restored at the end.

    Args:
        job: The run's data; its images lie on the backbone's device.
        backbone: The frozen backbone; it is copied, not changed.
        strategy: How it is adapted.
        options: The strategy's options, ``lr`` and ``weight_decay`` resolved.
        recipe: How training goes.

    Raises:
        NonFiniteLossError: When the loss stops being finite.
    """
    devices = [job.images.device] if job.images.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(job.run, "initialisation"))
        adapted = copy.deepcopy(backbone)
        strategy.attach(adapted, options)
        model = Classifier(adapted, strategy).to(job.images.device)
        return _Training(job, model, options, recipe).run()


class _Training:
    """One training from start to end; a class only to name what its steps share."""

    def __init__(
        self, job: Job, model: Classifier, options: GradientOptions, recipe: Recipe
    ) -> None:
        self.job, self.model, self.recipe = job, model, recipe
        train = job.rows["train"]
        self.weights = class_weights(job.targets[train], recipe.class_weighting)
        self.targets = torch.tensor(job.targets, dtype=torch.float32, device=job.images.device)
        self.augmentation = torch.Generator().manual_seed(derived_seed(job.run, "augmentation"))
        self.batch = min(recipe.batch_size, len(train))
        steps_an_epoch = math.ceil(len(train) / self.batch)
        if job.fixed_steps:
            self.steps, self.check_every = recipe.few_shot_steps, None
        else:
            self.steps, self.check_every = recipe.epochs * steps_an_epoch, steps_an_epoch
        inside = [p for p in model.backbone.parameters() if p.requires_grad]
        self.trainable = [*inside, *model.head.parameters()]
        groups = [{"params": model.head.parameters(), "lr": recipe.head_lr, "weight_decay": 0.0}]
        if inside:
            own = {"lr": options.lr, "weight_decay": options.weight_decay}
            groups.append({"params": inside, **own})
        self.optimiser = torch.optim.AdamW(groups)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._share_of_peak)

    def run(self) -> Trained:
        losses, validation = [], []
        best_loss, best_state, best_epoch, epoch = math.inf, None, 0, 0
        for step, rows in enumerate(self._batches(), start=1):
            losses.append(self._step(rows))
            if self.check_every and step % self.check_every == 0:
                epoch += 1
                validation.append(self._validation_loss())
                if validation[-1] < best_loss:
                    best_loss, best_epoch = validation[-1], epoch
                    best_state = self.model.trained_state()
                elif epoch - best_epoch >= self.recipe.patience:
                    break
        if best_state is not None:
            self.model.load_state_dict(best_state, strict=False)
        window = self.check_every or max(1, len(losses) // 10)
        info: dict[str, Any] = {
            "steps": len(losses),
            "first_train_loss": float(np.mean(losses[:window])),
            "last_train_loss": float(np.mean(losses[-window:])),
        }
        if validation:
            info |= {"epochs": epoch, "best_epoch": best_epoch, "validation_losses": validation}
        return Trained(self._all_logits(), sum(p.numel() for p in self.trainable), info)

    def _share_of_peak(self, step: int) -> float:
        """Return the learning rate at a step as a share of its peak: warm-up, then cosine."""
        warm = max(1, round(self.recipe.warmup * self.steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the images of each step: whole batches from one permutation after another."""
        train = self.job.rows["train"]
        random = np.random.default_rng(derived_seed(self.job.run, "batches"))
        queue = np.empty(0, dtype=np.int64)
        for _ in range(self.steps):
            while len(queue) < self.batch:
                queue = np.concatenate([queue, random.permutation(train)])
            yield queue[: self.batch]
            queue = queue[self.batch :]

    def _step(self, rows: npt.NDArray[np.int64]) -> float:
        self.model.train()
        index = torch.as_tensor(rows, device=self.job.images.device)
        images = self.job.images[index]
        if self.recipe.augmentation == "chest":
            images = augment_chest(images, self.augmentation)
        with self._precision():
            logits = self.model(images)
        loss = weighted_log_loss(logits, self.targets[index], self.weights)
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the training loss became {value}: a lower learning rate may help"
            )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trainable, self.recipe.gradient_clip)
        self.optimiser.step()
        self.schedule.step()
        return value

    def _validation_loss(self) -> float:
        rows = self.job.rows["val"]
        logits = torch.as_tensor(self._logits(rows))
        targets = torch.as_tensor(self.job.targets[rows], dtype=torch.float64)
        loss = weighted_log_loss(logits, targets, self.weights).item()
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the validation loss became {loss}: a lower learning rate may help"
            )
        return loss

    def _logits(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        self.model.eval()
        index = torch.as_tensor(rows, device=self.job.images.device)
        with torch.inference_mode(), self._precision():
            parts = [
                self.model(self.job.images[i]).cpu() for i in torch.split(index, EVALUATION_BATCH)
            ]
        return torch.cat(parts).double().numpy()

    def _all_logits(self) -> npt.NDArray[np.float64]:
        logits = np.full(len(self.job.targets), np.nan)
        used = np.concatenate(list(self.job.rows.values()))
        logits[used] = self._logits(used)
        return logits

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        device = self.job.images.device.type
        wanted = self.recipe.precision
        if wanted == "bfloat16" or (wanted == "auto" and device == "cuda"):
            return torch.autocast(device, dtype=torch.bfloat16)
        return contextlib.nullcontext()
