"""Training by gradient descent: one adapted backbone with its head."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.images.augment import augment_chest, flip_some
from prognobench.randomness import derived_seed
from prognobench.strategies.strategy import GradientOptions, Strategy
from prognobench.training.job import Job
from prognobench.training.losses import training_loss
from prognobench.training.parameters import parameter_groups
from prognobench.training.recipe import Recipe
from prognobench.training.sampling import Rows, batches
from prognobench.training.schedule import Schedule
from prognobench.training.score import validation_score

EVALUATION_BATCH = 64


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or no number; the run cannot go on."""


@dataclass
class Trained:
    """What training leaves.

    Attributes:
        logits: float64 [N], logit of every image of a part; no number for the others.
        parameters: Number of trained parameters, the head's included.
        validation_score: Score of the validation part in the state that was kept, higher is
            better; None without a validation part.
        info: Steps, epochs and losses, as plain data.
        head: The head, which gives the logit of raw features.
        backbone: The adapted backbone; None where it stayed as it was.
    """

    logits: npt.NDArray[np.float64]
    parameters: int
    validation_score: float | None
    info: dict[str, Any] = field(default_factory=dict)
    head: nn.Linear | None = None
    backbone: Backbone | None = None


class Trainable(nn.Module):
    """A model that gives one logit and says what training can change."""

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return copies of everything that training can change."""
        raise NotImplementedError


class Classifier(Trainable):
    """An adapted backbone with a linear head that gives one logit."""

    def __init__(self, backbone: Backbone, strategy: Strategy) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.entry.feature_dim, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._trains_normalisation = strategy.trains_normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the float32 logits [B] of uint8 images [B, 1, S, S]."""
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
        """Return copies of the trained parameters and of statistics that move."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        if self._trains_normalisation:
            trained |= {name for name, _ in self.named_buffers()}
        state = self.state_dict()
        return {name: state[name].detach().clone() for name in trained & state.keys()}


def build_classifier(
    job: Job, backbone: Backbone, strategy: Strategy, options: GradientOptions
) -> Classifier:
    """Return an adapted copy of a backbone with a random head: the state training starts from.

    Every random draw is derived from ``job.run``.

    Args:
        job: The run's data; its images lie on the backbone's device.
        backbone: The frozen backbone; it is copied, not changed.
        strategy: How it is adapted.
        options: The strategy's options.
    """
    with _own_random_state(job, "initialisation"):
        adapted = copy.deepcopy(backbone)
        strategy.attach(adapted, options)
        return Classifier(adapted, strategy).to(job.images.device)


def train_by_gradient(
    job: Job, backbone: Backbone, strategy: Strategy, options: GradientOptions, recipe: Recipe
) -> Trained:
    """Adapt a copy of a backbone and train it with its head, by AdamW, as the recipe says.

    With a validation part: at most ``recipe.epochs`` epochs, stopped when the validation score
    has not improved for ``recipe.patience`` epochs, and the state of its best value is kept.
    Without: exactly ``recipe.few_shot_steps`` steps, and the last state is kept.

    Every random draw is derived from ``job.run``; the state of torch's global generators is
    restored at the end.

    Args:
        job: The run's data; its images lie on the backbone's device.
        backbone: The frozen backbone; it is copied, not changed.
        strategy: How it is adapted.
        options: The strategy's options, ``lr`` and ``weight_decay`` resolved.
        recipe: How training goes.

    Raises:
        NonFiniteLossError: When the loss or its gradient stops being finite.
    """
    model = build_classifier(job, backbone, strategy, options)
    optimiser = torch.optim.AdamW(parameter_groups(model.backbone, model.head, options, recipe))
    hook = strategy.after_step
    after = functools.partial(hook, model.backbone) if hook else None
    trained = train_model(job, job.images, model, optimiser, recipe, after_step=after)
    return replace(trained, head=model.head, backbone=model.backbone)


def train_model(
    job: Job,
    inputs: torch.Tensor,
    model: Trainable,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    after_step: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a model whose optimiser already knows what is to be trained.

    Args:
        job: The run's data.
        inputs: What the model takes of every image, [N, ...]: uint8 images, which are augmented,
            or cached features, which are not.
        model: Gives logits [B]; ``trained_state`` gives copies of what training can change.
        optimiser: Its groups have their peak learning rates.
        recipe: How training goes.
        after_step: Called after each step of the optimiser, gradients still there, with the
            step's number (from 1) and the number of steps, at most.

    Raises:
        NonFiniteLossError: When the loss or its gradient stops being finite.
    """
    # Convolutions are computed in full float32 where bfloat16 is not asked for, not in TF32.
    flags = torch.backends.cudnn.flags(
        enabled=True, deterministic=torch.backends.cudnn.deterministic, allow_tf32=False
    )
    with _own_random_state(job, "training"), flags:
        return _Training(job, inputs, model, optimiser, recipe, after_step=after_step).run()


def predict(model: nn.Module, inputs: torch.Tensor, rows: Rows) -> npt.NDArray[np.float64]:
    """Return a model's logits, float64 [len(rows)], in evaluation mode and float32."""
    model.eval()
    index = torch.as_tensor(rows, device=inputs.device)
    with torch.inference_mode():
        parts = [model(inputs[own]).cpu() for own in torch.split(index, EVALUATION_BATCH)]
    return torch.cat(parts).double().numpy()


def training_precision(wanted: str, device: torch.device) -> torch.dtype:
    """Return the type that training steps compute in on a device.

    ``auto`` takes bfloat16 on CUDA devices that compute in it, and float32 elsewhere: on CPUs
    bfloat16 is not always faster, and float32 gives the same result on all of them.
    """
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bfloat16" or (wanted == "auto" and native):
        return torch.bfloat16
    return torch.float32


@contextlib.contextmanager
def _own_random_state(job: Job, stream: str) -> Iterator[None]:
    devices = [job.images.device] if job.images.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(job.run, stream))
        yield


class _Training:
    """One training from start to end; a class only to name what its steps share."""

    def __init__(
        self,
        job: Job,
        inputs: torch.Tensor,
        model: Trainable,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        *,
        after_step: Callable[[int, int], None] | None,
    ) -> None:
        self.job, self.inputs, self.model, self.recipe = job, inputs, model, recipe
        train = job.rows["train"]
        self.loss = training_loss(recipe, job.targets[train])
        self.targets = torch.tensor(job.targets, dtype=torch.float32, device=inputs.device)
        self.augmentation = torch.Generator().manual_seed(derived_seed(job.run, "augmentation"))
        batch = min(recipe.batch_size, len(train))
        self.batches = batches(job, batch, recipe.imbalance == "balanced_sampling")
        self.epoch_steps = math.ceil(len(train) / batch)
        self.steps = recipe.few_shot_steps if job.fixed_steps else recipe.epochs * self.epoch_steps
        self.optimiser, self.after_step = optimiser, after_step
        self.peaks = [group["lr"] for group in optimiser.param_groups]
        self.trainable = [p for group in optimiser.param_groups for p in group["params"]]
        self.schedule = Schedule(recipe, self.steps)
        self.sees_images = inputs.dtype == torch.uint8
        wanted = recipe.precision if self.sees_images else "float32"
        self.precision = training_precision(wanted, inputs.device)

    def run(self) -> Trained:
        losses: list[float] = []
        seen: list[tuple[float, float]] = []
        best_score, best_state, best_epoch = -math.inf, None, 0
        for step in range(1, self.steps + 1):
            losses.append(self._step(step - 1))
            if self.job.fixed_steps or step % self.epoch_steps:
                continue
            seen.append(self._judge())
            score, epoch = seen[-1][0], len(seen)
            self.schedule.see(score, step)
            if score > best_score:
                best_score, best_epoch = score, epoch
                best_state = self.model.trained_state()
            warm_epochs = math.ceil(self.schedule.warm / self.epoch_steps)
            if epoch - max(best_epoch, warm_epochs) >= self.recipe.patience:
                break
        if best_state is not None:
            self.model.load_state_dict(best_state, strict=False)
        window = max(1, len(losses) // 10) if self.job.fixed_steps else self.epoch_steps
        info: dict[str, Any] = {
            "steps": len(losses),
            "precision": str(self.precision).removeprefix("torch."),
            "first_train_loss": float(np.mean(losses[:window])),
            "last_train_loss": float(np.mean(losses[-window:])),
        }
        if seen:
            info |= {
                "epochs": len(seen),
                "best_epoch": best_epoch,
                "validation_losses": [loss for _, loss in seen],
                f"validation_scores_{self.recipe.validation_score}": [own for own, _ in seen],
            }
        return Trained(
            self._all_logits(),
            sum(p.numel() for p in self.trainable),
            best_score if seen else None,
            info,
        )

    def _step(self, step: int) -> float:
        share = self.schedule.share(step)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.model.train()
        index = torch.as_tensor(next(self.batches), device=self.inputs.device)
        with torch.autocast(
            self.inputs.device.type,
            dtype=torch.bfloat16,
            enabled=self.precision is torch.bfloat16,
        ):
            logits = self.model(self._augmented(self.inputs[index]))
        loss = self.loss(logits, self.targets[index])
        value = loss.item()
        _check(value, "training loss")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trainable, self.recipe.gradient_clip)
        _check(norm.item(), "gradient of the training loss")
        self.optimiser.step()
        if self.after_step:
            self.after_step(step + 1, self.steps)
        return value

    def _augmented(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.sees_images:
            return inputs
        if self.recipe.augmentation == "chest":
            inputs = augment_chest(inputs, self.augmentation)
        if self.recipe.horizontal_flip:
            inputs = flip_some(inputs, self.augmentation)
        return inputs

    def _judge(self) -> tuple[float, float]:
        logits = predict(self.model, self.inputs, self.job.rows["val"])
        score, loss = validation_score(self.job, logits, self.recipe)
        _check(loss, "validation loss")
        return score, loss

    def _all_logits(self) -> npt.NDArray[np.float64]:
        logits = np.full(len(self.job.targets), np.nan)
        used = np.concatenate(list(self.job.rows.values()))
        logits[used] = predict(self.model, self.inputs, used)
        return logits


def _check(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the {what} became {value}: a lower learning rate may help")
