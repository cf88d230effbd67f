"""A small problem that can be learned from pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.training.job import Job
from prognobench.training.recipe import Recipe

RECIPE = Recipe(
    epochs=3,
    few_shot_steps=8,
    batch_size=8,
    head_lr=1e-2,
    warmup=0.1,
    patience=10,
    gradient_clip=1.0,
    precision="float32",
)


def short_vit() -> Backbone:
    """Return the demo's transformer with its first two blocks, on a quarter of its patches."""
    backbone = load_backbone(get_entry("demo_vit"))
    network, size = backbone.network, backbone.entry.input_size // 2
    network.blocks = network.blocks[:2]
    network.set_input_size(size)
    shape = {**backbone.entry.architecture_options, "img_size": size, "depth": 2}
    entry = dataclasses.replace(backbone.entry, input_size=size, architecture_options=shape)
    return Backbone(entry, network)


def short_cnn() -> Backbone:
    """Return a convolutional network with the first block of each of its stages."""
    backbone = load_backbone(get_entry("efficientnet_lite0", 64))
    for stage, blocks in enumerate(backbone.network.blocks):
        backbone.network.blocks[stage] = blocks[:1]
    return backbone


def make_job(size: int, run: str = "a run", few_shot: bool = False) -> Job:
    """Return 40 images, a quarter of them with a bright patch, which is the event."""
    random = np.random.default_rng(0)
    pixels = random.integers(40, 120, (40, 1, size, size), dtype=np.uint8)
    targets = (np.arange(40) % 4 == 0).astype(np.int64)
    side = size // 2
    pixels[targets == 1, :, :side, :side] += 110
    order = np.arange(40)
    rows = {"train": order[:20], "val": order[20:28], "test": order[28:]}
    if few_shot:
        rows = {"train": order[:8], "val": order[:0], "test": order[28:]}
    return Job(run, torch.from_numpy(pixels), targets, order, rows, prevalence=0.25)


def brightened(job: Job, levels: np.ndarray) -> torch.Tensor:
    """Return the images of a job with patches the brighter, the higher an image's level is."""
    pixels = job.images.numpy().copy()
    side = pixels.shape[-1] // 2
    for row, level in enumerate(levels):
        patch = pixels[row, :, :side, :side]
        pixels[row, :, :side, :side] = np.minimum(patch // 2 + 16 * level, 255)
    return torch.from_numpy(pixels)


def changed(recipe: Recipe, **values) -> Recipe:
    """Return the recipe with other values, validated."""
    return Recipe.model_validate({**recipe.model_dump(), **values})
