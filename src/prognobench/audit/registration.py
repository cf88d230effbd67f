"""Whether two images are one radiograph, however it was cropped, scaled or windowed since.

Each image is normalised locally first (its mean and spread in a neighbourhood become 0 and 1),
which takes away any smooth change of grey values. Then one image is laid over the other: at a
coarse size by cross-correlation in the Fourier domain over all shifts and a ladder of scales
(Lewis 1995, Fast Normalized Cross-Correlation), once as they are and once with the content of both
stretched to a square, which undoes any change of the aspect ratio; then by Gauss-Newton steps on an
affine map (Lucas and Kanade 1981; Baker and Matthews 2004, IJCV 56:221) at two finer sizes. What is
judged in the end is the correlation of fine texture where the two overlap: vessels and ribs of one
exposure fall onto each other, those of another exposure of the same patient do not.

A mirrored or inverted copy is not found, nor one that shows less than about two thirds of the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

SIDE = 224
"""Side in pixels at which two images are compared in the end."""

SCALES = tuple(1.04**-step for step in range(14))
"""By how much the one or the other image is made smaller; 1 to 0.6."""

STRETCHED_SCALES = (1.0, 0.92, 0.85, 0.78, 0.72)
"""Likewise where both are stretched to squares; in between and beyond the finer steps help."""

_COARSE = 64
_PLANE = 2 * _COARSE
_SIGMA_COARSE = 2.5
_SIGMA = 3.0
_MIDDLE = 112
_STEPS_MIDDLE = 12
_STEPS_FINE = 10

_LEAST_OVERLAP = 0.4
"""Share of the smaller image that must lie on the other."""

_SCREEN_COARSE = 0.55
_SCREEN_MIDDLE = 0.6
_BLACK = 2
_BATCH = 64
_KEPT = 400
"""Images whose spectra are kept at a time, about 1 MB each."""
_KEPT_OVERLAPS = 64
"""Pairs of shapes whose overlaps are kept, 4 MB each."""

_Boxes = tuple[tuple[int, int, int, int], ...]
_Frame = tuple[float, float, float, float]
"""Where a plane lies in its image, from -1 to 1: first column, step a pixel, first row, step."""
_Spectra = tuple[torch.Tensor, _Boxes, tuple[_Frame, ...]]
_Masked = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Match:
    """How well one image lies on another.

    Attributes:
        correlation: Of the locally normalised pixels where they overlap, in [-1, 1]; that of the
            last comparison that was made.
        overlap: Share of the smaller image that lies on the other.
        scale: How much larger the second image shows things than the first.
    """

    correlation: float
    overlap: float
    scale: float


def compare(pixels: npt.NDArray[np.uint8], pairs: Sequence[tuple[int, int]]) -> list[Match]:
    """Lay images over each other.

    A pair that differs at a coarse size is not looked at more closely.

    Args:
        pixels: uint8 [N, S, S], squares padded with black; may be memory-mapped.
        pairs: Two rows of ``pixels`` each.

    Returns:
        One a pair.
    """
    order = sorted(range(len(pairs)), key=lambda place: pairs[place])
    spectra = lru_cache(maxsize=_KEPT)(lambda row: _spectra(pixels[row]))
    found: dict[int, Match] = {}
    closer: list[tuple[int, torch.Tensor]] = []
    for place in order:
        match, affine = _coarse(*(spectra(row) for row in pairs[place]))
        found[place] = match
        if match.correlation >= _SCREEN_COARSE:
            closer.append((place, affine))
    for side, steps, least in (
        (_MIDDLE, _STEPS_MIDDLE, _SCREEN_MIDDLE),
        (SIDE, _STEPS_FINE, None),
    ):
        left: list[tuple[int, torch.Tensor]] = []
        for start in range(0, len(closer), _BATCH):
            batch = closer[start : start + _BATCH]
            rows = [pairs[place] for place, _ in batch]
            own = _normalised(_resized(pixels, [row for row, _ in rows], side))
            other = _normalised(_resized(pixels, [row for _, row in rows], side))
            affines = torch.stack([affine for _, affine in batch])
            correlations, overlaps, affines = _refine(own, other, affines, steps)
            for (place, _), correlation, overlap, affine in zip(
                batch, correlations.tolist(), overlaps.tolist(), affines, strict=True
            ):
                zoom = float(torch.linalg.det(affine[:, :2]).abs().sqrt())
                found[place] = Match(correlation, min(overlap, 1.0), 1.0 / max(zoom, 1e-6))
                if least is not None and correlation >= least:
                    left.append((place, affine))
        closer = left
    return [found[place] for place in range(len(pairs))]


def _resized(pixels: npt.NDArray[np.uint8], rows: Sequence[int], side: int) -> torch.Tensor:
    images = torch.from_numpy(np.stack([pixels[row] for row in rows])).float()[:, None]
    return images if images.shape[-1] == side else _shrunk(images, side)


def _shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    return functional.interpolate(
        images, (side, side), mode="bilinear", align_corners=False, antialias=True
    )


def _content(images: torch.Tensor) -> tuple[torch.Tensor, _Boxes]:
    """Return a mask of the rectangle in which each image [B, 1, H, W] is not black, and the box."""
    filled = (images[:, 0] > _BLACK).float()
    mask = torch.zeros_like(images)
    boxes: list[tuple[int, int, int, int]] = []
    for own, lines, columns in zip(mask, filled.mean(2) > 0.02, filled.mean(1) > 0.02, strict=True):
        down, across = torch.nonzero(lines).flatten(), torch.nonzero(columns).flatten()
        if len(down) == 0 or len(across) == 0:
            boxes.append((0, 0, 0, 0))
            continue
        box = (int(down[0]), int(down[-1]) + 1, int(across[0]), int(across[-1]) + 1)
        own[0, box[0] : box[1], box[2] : box[3]] = 1.0
        boxes.append(box)
    return mask, tuple(boxes)


def _smooth(images: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = int(np.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    across = functional.conv2d(images, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(across, kernel.view(1, 1, -1, 1), padding=(reach, 0))


def _local(images: torch.Tensor, mask: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return images with local mean 0 and spread 1, and 0 outside their mask."""
    weight = _smooth(mask, sigma).clamp_min(1e-3)
    deviation = (images - _smooth(images * mask, sigma) / weight) * mask
    # A flat patch has no texture: its noise of about one grey level shall not become one.
    spread = torch.sqrt(_smooth(deviation**2, sigma) / weight + 1.0)
    return (deviation / spread).clamp(-3.0, 3.0) * mask


def _normalised(images: torch.Tensor) -> _Masked:
    mask, _ = _content(images)
    return _local(images, mask, _SIGMA), mask


def _spectra(image: npt.NDArray[np.uint8]) -> _Spectra:
    """Return the Fourier transforms of an image's planes, where their content lies, and they do.

    The planes are the image at each of :data:`SCALES`, then its content stretched to a square at
    each of :data:`STRETCHED_SCALES`.
    """
    planes: list[torch.Tensor] = []
    boxes: list[tuple[int, int, int, int]] = []
    frames: list[_Frame] = []
    middle = _resized(image[None], [0], _MIDDLE)
    for scale in SCALES:
        side = round(_COARSE * scale)
        small = _shrunk(middle, side)
        mask, box = _content(small)
        planes.append(_plane(small, mask))
        boxes.extend(box)
        frames.append((-1.0, 2 / side, -1.0, 2 / side))
    top, bottom, left, right = _content(middle)[1][0]
    for scale in STRETCHED_SCALES:
        side = round(_COARSE * scale)
        if bottom == top or right == left:
            planes.append(torch.zeros_like(planes[0]))
            boxes.append((0, 0, 0, 0))
            frames.append(frames[0])
            continue
        square = _shrunk(middle[..., top:bottom, left:right], side)
        planes.append(_plane(square, torch.ones_like(square)))
        boxes.append((0, side, 0, side))
        pixel = 2 / _MIDDLE
        across, down = ((high - low) * pixel / side for low, high in ((left, right), (top, bottom)))
        frames.append((left * pixel - 1, across, top * pixel - 1, down))
    return torch.fft.rfft2(torch.stack(planes)), tuple(boxes), tuple(frames)


def _plane(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    local = _local(image, mask, _SIGMA_COARSE)
    energy = (local.pow(2).sum() / mask.sum().clamp_min(1.0)).sqrt().clamp_min(1e-6)
    side = image.shape[-1]
    return functional.pad(local[0, 0] / energy, (0, _PLANE - side, 0, _PLANE - side))


def _trials(first: int, count: int) -> list[tuple[int, int]]:
    steps = range(first + 1, first + count)
    return [(first, first), *((step, first) for step in steps), *((first, step) for step in steps)]


_TRIALS = (*_trials(0, len(SCALES)), *_trials(len(SCALES), len(STRETCHED_SCALES)))
_FIRST, _SECOND = (torch.tensor(own) for own in zip(*_TRIALS, strict=True))
_SHIFTS = (torch.arange(_PLANE) + _COARSE) % _PLANE - _COARSE


def _common(first: tuple[int, int], second: tuple[int, int]) -> torch.Tensor:
    """Return how many pixels of two stretches lie on each other, for each shift of the second."""
    low = torch.clamp(first[0] - _SHIFTS, min=second[0])
    high = torch.clamp(first[1] - _SHIFTS, max=second[1])
    return (high - low).clamp_min(0).float()


@lru_cache(maxsize=_KEPT_OVERLAPS)
def _overlaps(first: _Boxes, second: _Boxes) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the overlap of two images in every trial and shift, and the weight of its sum.

    The weight makes the sum over the overlap a correlation times the root of its pixels, since a
    correlation over more pixels is worth more; it is 0 where too little lies on each other.
    """
    overlaps, weights = [], []
    for one, two in _TRIALS:
        own, other = first[one], second[two]
        down = _common((own[0], own[1]), (other[0], other[1]))
        across = _common((own[2], own[3]), (other[2], other[3]))
        overlap = down[:, None] * across[None, :]
        smaller = min((box[1] - box[0]) * (box[3] - box[2]) for box in (own, other))
        enough = overlap >= max(_LEAST_OVERLAP * smaller, 1.0)
        overlaps.append(overlap / max(smaller, 1))
        weights.append(torch.where(enough, overlap.clamp_min(1.0).rsqrt(), 0.0))
    return torch.stack(overlaps), torch.stack(weights)


def _coarse(first: _Spectra, second: _Spectra) -> tuple[Match, torch.Tensor]:
    """Return the best of all shifts and scales, and the affine map from the second to the first."""
    products = first[0][_FIRST] * second[0][_SECOND].conj()
    sums = torch.fft.irfft2(products, s=(_PLANE, _PLANE))
    overlaps, weights = _overlaps(first[1], second[1])
    best = int(sums.mul_(weights).argmax())
    trial, place = divmod(best, _PLANE * _PLANE)
    own, other = (
        spectra[2][step] for spectra, step in zip((first, second), _TRIALS[trial], strict=True)
    )
    below, right = (float(_SHIFTS[shift]) for shift in divmod(place, _PLANE))
    rows = []
    for axis, shift in enumerate((right, below)):
        (start, step), (start_other, step_other) = own[2 * axis :][:2], other[2 * axis :][:2]
        zoom = step / step_other
        rows.append((zoom, start - zoom * start_other + step * shift))
    (across, right), (down, below) = rows
    # In coordinates from -1 to 1, as grid_sample has them.
    affine = torch.tensor([[across, 0.0, right], [0.0, down, below]])
    correlation = float(sums.flatten()[best] * weights.flatten()[best])
    scale = (across * down) ** -0.5
    return Match(correlation, float(overlaps.flatten()[best]), scale), affine


def _refine(
    own: _Masked,
    others: _Masked,
    affine: torch.Tensor,
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Improve affine maps and return the best correlation, its overlap, its map.

    Args:
        own: float32 [B, 1, S, S], locally normalised, and 1 where they have content.
        others: The other images, likewise.
        affine: float32 [B, 2, 3], from the second image's coordinates to the first's.
        steps: How many Gauss-Newton steps to make.
    """
    (first, first_mask), (second, second_mask) = own, others
    side = first.shape[-1]
    line = torch.linspace(-1 + 1 / side, 1 - 1 / side, side)
    below, right = torch.meshgrid(line, line, indexing="ij")
    padded = functional.pad(first, (1, 1, 1, 1), mode="replicate")
    slopes = (
        (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * (side / 4),
        (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * (side / 4),
    )
    stack = torch.cat([first, *slopes, first_mask], 1)
    smaller = torch.minimum(first_mask.sum((1, 2, 3)), second_mask.sum((1, 2, 3))).clamp_min(1.0)
    best = torch.full((len(first),), -1.0)
    best_overlap, best_affine = torch.zeros(len(first)), affine
    for step in range(steps + 1):
        grid = functional.affine_grid(affine, list(first.shape), align_corners=False)
        warped = functional.grid_sample(stack, grid, align_corners=False)
        both = (warped[:, 3:] > 0.99).float() * second_mask
        count = both.sum((1, 2, 3), keepdim=True).clamp_min(1.0)
        inner, outer = (
            (images - (images * both).sum((1, 2, 3), keepdim=True) / count) * both
            for images in (warped[:, :1], second)
        )
        energy = [
            part.pow(2).sum((1, 2, 3), keepdim=True).clamp_min(1e-6) for part in (inner, outer)
        ]
        correlation = (inner * outer).sum((1, 2, 3), keepdim=True) / (energy[0] * energy[1]).sqrt()
        overlap = count.flatten() / smaller
        better = (correlation.flatten() > best) & (overlap >= _LEAST_OVERLAP)
        best = torch.where(better, correlation.flatten(), best)
        best_overlap = torch.where(better, overlap, best_overlap)
        best_affine = torch.where(better[:, None, None], affine, best_affine)
        if step == steps:
            break
        gain = (energy[1] / energy[0]).sqrt()
        left = (outer - inner * gain * correlation.clamp_min(0.2)).flatten(1)
        along, down = warped[:, 1:2] * gain * both, warped[:, 2:3] * gain * both
        slope = torch.cat(
            [along * right, along * below, along, down * right, down * below, down], 1
        ).flatten(2)
        normal = slope @ slope.transpose(1, 2)
        damped = normal + torch.diag_embed(1e-3 * torch.diagonal(normal, dim1=1, dim2=2) + 1e-6)
        change = torch.linalg.solve(damped, (slope * left[:, None]).sum(2))
        affine = affine + change.clamp(-0.1, 0.1).view(-1, 2, 3)
    return best, best_overlap, best_affine
