"""Pretrains demo_vit on synthetic radiographs and their findings, never on outcomes.

Run it from the root of the repository; it takes about twenty minutes on two cores:

    python tools/pretrain_demo_vit.py

It writes ``src/prognobench/demo/weights/demo_vit.safetensors`` and prints the digest, which
belongs into ``src/prognobench/demo/vit.py``. The random streams are named ``pretraining`` and
share nothing with those of the cohorts, whatever their seed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from prognobench.demo import vit
from prognobench.demo.anatomy import draw_anatomy, draw_pose
from prognobench.demo.findings import (
    ZONES,
    Findings,
    draw_effusions,
    draw_heart,
    draw_pattern,
    spread_extent,
)
from prognobench.demo.radiograph import GENERATOR_VERSION, render
from prognobench.demo.scanner import SITES, draw_exposure
from prognobench.files import atomic_path, file_digest
from prognobench.randomness import derived_seed, generator

FINDINGS = (*ZONES, "extent", "effusion_right", "effusion_left", "heart", "inspiration", "view")
"""What the pooled features predict, one number each."""

FINDING_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""How much each of ``FINDINGS`` counts in the loss."""

GRID = vit.INPUT_SIZE // vit.PATCH_SIZE
CHUNK = 250

REMAINDER_WEIGHT = 3.0
"""How much the share of the features' variance counts in the loss that is no finding's.

Without it, directions that hold nothing but the accidents of single images are as large, once
the features are standardised, as those of the findings, and a probe on 200 patients learns them.
"""


@dataclass
class Examples:
    """Rendered radiographs with the truth behind them.

    Attributes:
        images: uint8, shape [n, INPUT_SIZE, INPUT_SIZE].
        findings: float32, shape [n, len(FINDINGS)].
        maps: Mean opacity and share of lung in each patch, float32, shape [n, GRID * GRID, 2].
    """

    images: Tensor
    findings: Tensor
    maps: Tensor


def patch_means(image: np.ndarray) -> np.ndarray:
    """Pad a map to a square and average it within each patch of the network: [GRID * GRID]."""
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = torch.zeros(1, 1, side, side)
    square[0, 0, top : top + height, left : left + width] = torch.from_numpy(image)
    return nn.functional.adaptive_avg_pool2d(square, GRID).flatten().numpy()


def preprocess(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pad images to squares with black and resize them to the input size, with antialiasing.

    Args:
        images: Grey images, each of shape [height, width] and of any size.

    Returns:
        uint8, shape [number of images, vit.INPUT_SIZE, vit.INPUT_SIZE].
    """
    resized = np.empty((len(images), vit.INPUT_SIZE, vit.INPUT_SIZE), dtype=np.uint8)
    for index, image in enumerate(images):
        height, width = image.shape
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((1, 1, side, side), dtype=np.float32)
        square[0, 0, top : top + height, left : left + width] = image
        small = torch.nn.functional.interpolate(
            torch.from_numpy(square),
            (vit.INPUT_SIZE, vit.INPUT_SIZE),
            mode="bilinear",
            antialias=True,
        )
        resized[index] = small[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    return resized


def normalise(images: Tensor) -> Tensor:
    """Turn grey levels into what the network expects.

    Args:
        images: uint8, shape [number of images, vit.INPUT_SIZE, vit.INPUT_SIZE].

    Returns:
        float32, shape [number of images, 1, vit.INPUT_SIZE, vit.INPUT_SIZE].
    """
    return (images[:, None].float() / 255 - vit.MEAN) / vit.STD


def render_chunk(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render the radiographs ``start`` to ``start + CHUNK``; each depends on its number only."""
    torch.set_num_threads(1)
    images, findings, maps = [], [], []
    sites = list(SITES.values())
    for number in range(start, start + CHUNK):
        rng = generator("demo", "pretraining", number)
        # Half as in patients, half spread evenly, so that rare severities are learnt as well.
        extent = rng.beta(1.3, 2.7) if number % 2 else rng.uniform(0, 1)
        shown = Findings(
            spread_extent(extent, draw_pattern(rng)), draw_effusions(rng), draw_heart(rng)
        )
        scanner = sites[rng.integers(len(sites))]
        anteroposterior = bool(rng.random() < 0.5)
        anatomy = draw_anatomy(rng, female=bool(rng.random() < 0.5))
        pose = draw_pose(rng, anteroposterior)
        exposure = draw_exposure(rng, scanner, anteroposterior)
        radiograph = render(shown, anatomy, pose, scanner, exposure)
        images.append(radiograph.pixels)
        findings.append(
            [
                *shown.zones,
                shown.extent,
                *shown.effusions,
                shown.heart,
                pose.inspiration,
                float(anteroposterior),
            ]
        )
        maps.append(
            np.stack([patch_means(radiograph.opacity), patch_means(radiograph.lung)], axis=1)
        )
    return (
        preprocess(images),
        np.asarray(findings, dtype=np.float32),
        np.asarray(maps, dtype=np.float32),
    )


def render_examples(count: int, workers: int) -> Examples:
    """Render ``count`` radiographs, rounded up to whole chunks."""
    began = time.monotonic()
    parts = []
    with ProcessPoolExecutor(workers) as pool:
        for done, part in enumerate(pool.map(render_chunk, range(0, count, CHUNK)), start=1):
            parts.append(part)
            if done % 20 == 0:
                print(f"rendered {done * CHUNK} ({time.monotonic() - began:.0f} s)", flush=True)
    images, findings, maps = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Examples(torch.from_numpy(images), torch.from_numpy(findings), torch.from_numpy(maps))


class Pretraining(nn.Module):
    """The backbone with one head for the pooled features and one for the patch tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone: Any = timm.create_model(vit.ARCHITECTURE, **vit.ARCHITECTURE_OPTIONS)
        self.findings = nn.Linear(vit.FEATURE_DIM, len(FINDINGS))
        self.maps = nn.Linear(vit.FEATURE_DIM, 2)
        self.rebuild = nn.Linear(len(FINDINGS) + 2, vit.FEATURE_DIM)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict what the images show.

        Args:
            images: Normalised, shape [n, 1, INPUT_SIZE, INPUT_SIZE].

        Returns:
            The findings, [n, len(FINDINGS)]; the maps, [n, GRID * GRID, 2]; and the share of the
            features' variance that cannot be told from both, a number.
        """
        tokens = self.backbone.forward_features(images)
        features = tokens.mean(dim=1)
        maps = self.maps(tokens)
        rebuilt = self.rebuild(torch.cat([self.findings(features), maps.mean(dim=1)], dim=1))
        remainder = (features - rebuilt).square().mean() / features.var(dim=0).mean()
        if self.training:
            # Noise makes the findings take up most of the variance of the features, so that a
            # probe finds them from few patients.
            features = features + 0.3 * features.std(dim=0).mean() * torch.randn_like(features)
        return self.findings(features), maps, remainder


def augment(images: Tensor) -> Tensor:
    """Vary contrast, brightness, gamma and noise, and shift by up to two pixels."""
    count = len(images)
    level = images[:, None].float() / 255
    shift = torch.randint(-2, 3, (2,)).tolist()
    level = torch.roll(level, shift, dims=(2, 3))
    level = level ** torch.exp(0.15 * torch.randn(count, 1, 1, 1))
    level = level * (1 + 0.1 * torch.randn(count, 1, 1, 1)) + 0.04 * torch.randn(count, 1, 1, 1)
    level = level + 0.02 * torch.rand(count, 1, 1, 1) * torch.randn_like(level)
    return (level.clamp(0, 1) - vit.MEAN) / vit.STD


def pretrain(
    examples: Examples, epochs: int, batch_size: int, learning_rate: float
) -> tuple[nn.Module, dict[str, str]]:
    """Train on all but the last 1000 examples.

    Returns:
        The backbone, and what came out on the last 1000, as text for the file's metadata.
    """
    torch.manual_seed(derived_seed("demo", "pretraining", "network") % 2**32)
    held_out = 1000
    count = len(examples.images) - held_out
    targets = (examples.findings - examples.findings[:count].mean(0)) / (
        examples.findings[:count].std(0)
    )
    maps = (examples.maps - examples.maps[:count].mean((0, 1))) / examples.maps[:count].std((0, 1))
    weights = torch.tensor(FINDING_WEIGHTS) / sum(FINDING_WEIGHTS)
    model = Pretraining()
    steps = epochs * (count // batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / 300, 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3),
    )
    began, step = time.monotonic(), 0
    measured: dict[str, str] = {}
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for batch in torch.randperm(count)[: count // batch_size * batch_size].reshape(
            -1, batch_size
        ):
            predicted, predicted_maps, remainder = model(augment(examples.images[batch]))
            loss = ((predicted - targets[batch]) ** 2 * weights).sum(1).mean()
            loss = loss + ((predicted_maps - maps[batch]) ** 2).mean()
            loss = loss + REMAINDER_WEIGHT * remainder
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
            step += 1
            if step % 50 == 0:
                shares = f"loss {loss.item():.3f} remainder {remainder.item():.4f}"
                print(f"  step {step}/{steps} {shares}", flush=True)
        model.eval()
        with torch.no_grad():
            outputs = [
                model(normalise(part)) for part in torch.split(examples.images[count:], batch_size)
            ]
        predicted = torch.cat([part[0] for part in outputs])
        predicted_maps = torch.cat([part[1] for part in outputs])
        unexplained = ((predicted - targets[count:]) ** 2).mean(0) / targets[count:].var(0)
        measured = {
            "training_loss": f"{total / (count // batch_size):.4f}",
            "held_out_remainder": f"{float(torch.stack([part[2] for part in outputs]).mean()):.4f}",
            "held_out_maps_loss": f"{((predicted_maps - maps[count:]) ** 2).mean().item():.4f}",
        }
        for name, share in zip(FINDINGS, unexplained.tolist(), strict=True):
            measured[f"held_out_r2_{name}"] = f"{1 - share:.3f}"
        passed = time.monotonic() - began
        print(f"epoch {epoch + 1}/{epochs} ({passed:.0f} s): {measured}", flush=True)
    return model.backbone, {**measured, "steps": str(steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=24_000, help="radiographs to render")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    parser.add_argument("--output", type=Path, default=vit.WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    examples = render_examples(options.images, options.workers)
    level = examples.images.float() / 255
    print(f"grey levels: mean {level.mean():.3f}, standard deviation {level.std():.3f}")
    backbone, measured = pretrain(
        examples, options.epochs, options.batch_size, options.learning_rate
    )
    metadata = {
        "generator_version": str(GENERATOR_VERSION),
        "training_images": str(len(examples.images) - 1000),
        "epochs": str(options.epochs),
        "batch_size": str(options.batch_size),
        "learning_rate": str(options.learning_rate),
        **measured,
    }
    state = {name: value.half().contiguous() for name, value in backbone.state_dict().items()}
    with atomic_path(options.output) as temporary:
        save_file(state, temporary, metadata=metadata)
    parameters = sum(value.numel() for value in state.values())
    print(f"{parameters} parameters, {options.output.stat().st_size} bytes")
    print(f"SHA-256 {file_digest(options.output)}")


if __name__ == "__main__":
    main()
