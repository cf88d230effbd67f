"""The machines of three sites: how attenuation becomes grey levels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from prognobench.demo.textures import Image, as_image

LEVELS = 2048
"""Grey levels before the tone curve."""


@dataclass(frozen=True)
class Scanner:
    """What is particular to the machine and the habits of one site.

    Attributes:
        height: Rows of its images.
        width: Columns of its images.
        gamma: Mean gamma of its tone curve.
        contrast: Mean steepness of its tone curve; larger is steeper.
        noise: Mean amplitude of the noise, as a share of the grey scale.
        collimated: Share of its images with black borders from the collimator.
        marker: Text of its side marker.
    """

    height: int
    width: int
    gamma: float
    contrast: float
    noise: float
    collimated: float
    marker: str


SITES: Mapping[str, Scanner] = {
    "harbour": Scanner(240, 256, 1.0, 3.2, 0.012, 0.15, "L"),
    "hillside": Scanner(256, 232, 1.2, 4.4, 0.02, 0.1, "R"),
    "riverside": Scanner(224, 224, 0.85, 2.6, 0.03, 0.7, "L PORT"),
}
"""The three sites by name."""


@dataclass(frozen=True)
class Exposure:
    """The settings of one exposure.

    Attributes:
        low: Attenuation shown black.
        high: Attenuation shown white.
        gamma: Gamma of the tone curve.
        contrast: Steepness of the tone curve.
        noise: Amplitude of the noise.
        gradient: Change of attenuation from the centre to the right and lower edge, as from an
            uneven beam.
        collimation: Width of the black border at the top, right, bottom and left, as a share of
            the image's side.
        leads: For each cable on the chest: x at the top, slope, sway and phase.
        noise_seed: Seed of the noise.
    """

    low: float
    high: float
    gamma: float
    contrast: float
    noise: float
    gradient: tuple[float, float]
    collimation: tuple[float, float, float, float]
    leads: tuple[tuple[float, float, float, float], ...]
    noise_seed: int


def draw_exposure(rng: np.random.Generator, scanner: Scanner, anteroposterior: bool) -> Exposure:
    """Draw the settings of one exposure, independent of all findings."""
    centre, span = rng.normal(0.88, 0.09), rng.uniform(1.3, 1.9)
    portable = 1.5 if anteroposterior else 1.0
    collimated = rng.random() < scanner.collimated
    borders = rng.uniform(0.0, 0.06, 4) if collimated else np.zeros(4)
    cables = rng.integers(0, 4) if anteroposterior else 0
    leads = np.column_stack(
        [
            rng.uniform(-0.6, 0.6, cables),
            rng.uniform(-0.4, 0.4, cables),
            rng.uniform(0.02, 0.15, cables),
            rng.uniform(0, 6.28, cables),
        ]
    )
    return Exposure(
        low=centre - span / 2,
        high=centre + span / 2,
        gamma=scanner.gamma * float(np.exp(rng.normal(0, 0.15))),
        contrast=scanner.contrast * float(np.exp(rng.normal(0, 0.15))),
        noise=scanner.noise * portable * float(np.exp(rng.normal(0, 0.25))),
        gradient=(rng.normal(0, 0.08 * portable), rng.normal(0, 0.08 * portable)),
        collimation=(borders[0], borders[1], borders[2], borders[3]),
        leads=tuple((a, b, c, d) for a, b, c, d in leads.tolist()),
        noise_seed=int(rng.integers(2**62)),
    )


def develop(attenuation: Image, scanner: Scanner, exposure: Exposure) -> NDArray[np.uint8]:
    """Return the image that a scanner makes of an attenuation map.

    Args:
        attenuation: Shape [scanner.height, scanner.width]; a mean chest wall is 1.
        scanner: The machine.
        exposure: Its settings.

    Returns:
        Grey levels, uint8, of the same shape; bright is dense.
    """
    height, width = attenuation.shape
    across = np.linspace(-1, 1, width, dtype=np.float32)
    down = np.linspace(-1, 1, height, dtype=np.float32)
    uneven = attenuation + (
        np.float32(exposure.gradient[0]) * across[None, :]
        + np.float32(exposure.gradient[1]) * down[:, None]
    )
    for start, slope, sway, phase in exposure.leads:
        centre = start + slope * down + sway * np.sin(3 * down + phase)
        cable = np.clip(1.6 - np.abs(across[None, :] - centre[:, None]) * (width / 2), 0, 1)
        uneven += np.float32(0.22) * cable.astype(np.float32)
    soft = _blur(uneven)
    shown = (soft - np.float32(exposure.low)) * np.float32(1 / (exposure.high - exposure.low))
    noise = np.random.default_rng(exposure.noise_seed).standard_normal(
        (height, width), dtype=np.float32
    )
    # Fewer photons reach the detector behind dense tissue, so the noise grows there.
    amplitude = np.float32(exposure.noise) * (np.float32(0.5) + np.clip(shown, 0, 1))
    shown = shown + amplitude * (np.float32(0.4) * noise + np.float32(1.2) * _blur(noise))
    index = np.clip(shown * np.float32(LEVELS), 0, LEVELS - 1).astype(np.int16)
    pixels: NDArray[np.uint8] = _tone_curve(exposure.gamma, exposure.contrast)[index]
    _stamp(pixels, scanner.marker)
    _collimate(pixels, exposure.collimation)
    return pixels


def _blur(image: Image) -> Image:
    padded = np.pad(image, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return as_image(np.float32(1 / 16) * (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]))


def _tone_curve(gamma: float, contrast: float) -> NDArray[np.uint8]:
    """The S-shaped curve from the linear to the shown grey scale, as a table."""
    level = np.linspace(0, 1, LEVELS) ** gamma
    curve = 1 / (1 + np.exp(-contrast * (level - 0.5)))
    curve = (curve - curve[0]) / (curve[-1] - curve[0])
    return np.asarray(np.rint(255 * curve), dtype=np.uint8)


@functools.lru_cache(maxsize=8)
def _marker(text: str) -> NDArray[np.bool_]:
    font = ImageFont.load_default(size=16)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    canvas = PillowImage.new("L", (right - left + 1, bottom - top + 1))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font)
    return np.asarray(np.asarray(canvas) > 127)


def _stamp(pixels: NDArray[np.uint8], text: str) -> None:
    letters = _marker(text)
    height, width = letters.shape
    left = pixels.shape[1] - width - 14 if text.startswith("L") else 14
    pixels[16 : 16 + height, left : left + width][letters] = 250


def _collimate(pixels: NDArray[np.uint8], borders: tuple[float, float, float, float]) -> None:
    height, width = pixels.shape
    top, right, bottom, left = borders
    pixels[: round(top * height)] = 0
    pixels[height - round(bottom * height) :] = 0
    pixels[:, : round(left * width)] = 0
    pixels[:, width - round(right * width) :] = 0
