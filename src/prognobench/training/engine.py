"""Training by gradient descent, of one run or of several in one pass.

One run is the case of one: its data order, augmentation, dropout, learning rates, schedule and
stopping are its own, and what is trained beside it changes its result by rounding only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.backbones.counting import count_cost
from prognobench.strategies.strategy import GradientOptions, Strategy
from prognobench.training.attention import suits_steps
from prognobench.training.classifier import Classifier, build_classifier
from prognobench.training.course import Course, batch_size
from prognobench.training.job import Job
from prognobench.training.lane import Lane, Trained, finish
from prognobench.training.pace import Pace, Steady
from prognobench.training.parameters import parameter_groups
from prognobench.training.passes import Passes
from prognobench.training.recipe import Recipe

PART_OPERATIONS = 1.5e10
"""Operations of a forward pass that keep a CPU's core busy: more images at once are no faster."""


def train_by_gradient(
    job: Job, backbone: Backbone, strategy: Strategy, options: GradientOptions, recipe: Recipe
) -> Trained:
    """Adapt a copy of a backbone and train it with its head, by AdamW, as the recipe says.

    As :func:`train_together` with one run.

    Raises:
        NonFiniteLossError: When the loss or its gradient stops being finite.
    """
    (_, trained), *_ = train_together([(job, options)], backbone, strategy, recipe, pace=Steady())
    if isinstance(trained, Exception):
        raise trained
    return trained


def train_together(
    runs: Sequence[tuple[Job, GradientOptions]],
    backbone: Backbone,
    strategy: Strategy,
    recipe: Recipe,
    *,
    pace: Pace | Steady | None = None,
    started: Callable[[str], None] = lambda _run: None,
) -> Iterator[tuple[str, Trained | Exception]]:
    """Train runs that share a backbone and a kind of strategy, as many in one pass as pays.

    With a validation part: at most ``recipe.epochs`` epochs, stopped when the validation score
    has not improved for ``recipe.patience`` epochs, and the state of its best value is kept.
    Without: exactly ``recipe.few_shot_steps`` steps, and the last state is kept. When a run ends,
    the next takes its place.

    Every random draw is derived from the run's id; the state of torch's global generators is
    restored at the end.

    Args:
        runs: The data and options of each. They differ in ``lr`` and ``weight_decay`` only, have
            the same images, and batches of the same size.
        backbone: The frozen backbone; it is not changed.
        strategy: How it is adapted.
        recipe: How training goes.
        pace: How many runs are trained in one pass, where strategy and backbone allow several;
            None measures what is fastest.
        started: Called with a run's id when its turn has come.

    Yields:
        Each run's id with what was trained, or with why it failed, in the order of their ends.
    """
    job, options = runs[0]
    inputs, device = job.images, backbone.mean.device
    precision = training_precision(recipe.precision, device, backbone)

    def start(job: Job, options: GradientOptions) -> Lane:
        model = build_classifier(job, backbone, strategy, options)
        groups = parameter_groups(model.backbone, model.head, options, recipe)
        # One kernel for all tensors where torch has one, which is on CPUs and CUDA devices.
        optimiser = torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))
        hook = strategy.after_step
        after = functools.partial(hook, model.backbone) if hook else None
        started(job.run)
        return Lane(Course(job, recipe, device), model, optimiser, after)

    if not strategy.trains_together(options) or backbone.entry.kind == "cnn":
        # Convolutions of several runs in one pass are slower on a CPU, and the kinks of ReLU turn
        # other rounding into other gradients: results would differ by more than they may.
        if not isinstance(pace, Steady) or pace.manner.runs > 1:
            pace = Steady(fused_attention=suits_steps(device, precision))
    elif pace is None:
        kept = options.model_dump(mode="json", exclude={"lr", "weight_decay"})
        about = {
            "backbone": backbone.entry.identity(),
            "strategy": {strategy.name: kept},
            "batch": batch_size(job, recipe),
            "precision": str(precision),
        }
        # On a CPU compiling takes longer than the steps of most benchmarks.
        pace = Pace(about, device, compiles=device.type == "cuda")
    starts = [(job.run, functools.partial(start, job, options)) for job, options in runs]
    passes = Passes(
        starts,
        inputs,
        recipe,
        precision,
        pace,
        images=images_at_once(backbone, device, precision),
        shares=strategy.trains_together(options),
    )
    for run, lane in passes.run():
        if isinstance(lane, Exception):
            yield run, lane
        else:
            model = cast(Classifier, lane.model)
            try:
                trained = finish(lane, inputs, precision)
            except (RuntimeError, MemoryError) as error:
                yield run, error
                continue
            yield run, replace(trained, head=model.head, backbone=model.backbone)


def images_at_once(backbone: Backbone, device: torch.device, precision: torch.dtype) -> int | None:
    """Return how many of a step's images go through a backbone at once; None for all of them.

    What is kept for the backward pass is most of the memory that training takes, and on a CPU two
    images of a large network are as fast as many in float32, and four nearly so in bfloat16.
    Batch normalisation must see a step's images all.
    """
    normalises = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in backbone.modules())
    if device.type != "cpu" or normalises:
        return None
    busy = PART_OPERATIONS * (2 if precision is torch.bfloat16 else 1)
    return max(2, math.ceil(busy / count_cost(backbone.entry).flops))


def training_precision(wanted: str, device: torch.device, backbone: Backbone) -> torch.dtype:
    """Return the type that training steps compute in on a device.

    ``auto`` takes bfloat16 where the hardware multiplies matrices in it (CUDA devices, CPUs with
    AMX), and float32 elsewhere, and on CPUs for networks with depthwise convolutions: those of
    EfficientNet-Lite0 multiply no matrices, and its steps take 1.1 to 1.8 times as long in
    bfloat16. It is a matter of hardware and network and never of a measurement: unlike the number
    of runs in a pass, the precision changes results by more than rounding.
    """
    suits = device.type != "cpu" or not _has_depthwise_convolutions(backbone)
    if wanted == "bfloat16" or (wanted == "auto" and suits and multiplies_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether a device's hardware multiplies matrices in bfloat16."""
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _has_depthwise_convolutions(backbone: Backbone) -> bool:
    convolutions = (own for own in backbone.modules() if isinstance(own, nn.Conv2d))
    return any(own.groups == own.in_channels > 1 for own in convolutions)
