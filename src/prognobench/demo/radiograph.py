"""Draws a chest radiograph from findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prognobench.demo.anatomy import Anatomy, Pose, Thorax, draw_thorax, ramp, vessels
from prognobench.demo.findings import Findings
from prognobench.demo.scanner import Exposure, Scanner, develop
from prognobench.demo.textures import CLOUD, MOTTLE, Image, texture

GENERATOR_VERSION = 1
"""Raised whenever equal findings would give other pixels, or equal seeds other patients."""

AIR = 0.62
"""How much less the beam is weakened through aerated lung than through soft tissue."""


@dataclass(frozen=True)
class Radiograph:
    """An image with the truth behind it.

    Attributes:
        pixels: Grey levels, uint8, shape [height, width]; bright is dense.
        opacity: How much of the air is lost at each pixel of the lungs, in [0, 1].
        lung: Share of the pixel that lies in a lung, in [0, 1].
    """

    pixels: NDArray[np.uint8]
    opacity: Image
    lung: Image


def render(
    findings: Findings, anatomy: Anatomy, pose: Pose, scanner: Scanner, exposure: Exposure
) -> Radiograph:
    """Draw one radiograph; equal arguments give equal pixels.

    Args:
        findings: What is to be seen.
        anatomy: The patient.
        pose: The patient's position.
        scanner: The machine.
        exposure: Its settings.

    Returns:
        The image, of the scanner's size.
    """
    height, width = scanner.height, scanner.width
    thorax = draw_thorax(anatomy, pose, findings.heart, height, width)
    lung = thorax.lungs[0] + thorax.lungs[1]
    opacity = _opacities(findings, thorax, anatomy)
    fluid = _effusions(findings, thorax, anatomy)
    air = np.float32(AIR) * lung * (1 - opacity) * (1 - fluid)
    attenuation = thorax.tissue - air + vessels(thorax, anatomy) * (1 - fluid)
    pixels = develop(attenuation, scanner, exposure)
    return Radiograph(pixels=pixels, opacity=opacity * lung, lung=lung)


def _opacities(findings: Findings, thorax: Thorax, anatomy: Anatomy) -> Image:
    """Share of the air lost to opacities, zones blending into each other."""
    height, width = thorax.y.shape
    cloud = np.float32(0.85) * texture(CLOUD, anatomy.texture // 7, height, width)
    cloud += np.float32(0.15) * texture(MOTTLE, anatomy.texture // 11, height, width)
    severity = np.zeros_like(thorax.y)
    for side, (t, u) in enumerate(zip(thorax.depth, thorax.outward, strict=True)):
        upper, middle, lower = (np.float32(z) for z in findings.zones[3 * side : 3 * side + 3])
        first, second = ramp(t - np.float32(0.36), 0.2), ramp(t - np.float32(0.68), 0.2)
        zone = upper + (middle - upper) * first + (lower - middle) * second
        severity = np.where(u > 0, zone, severity)
    # The cloud is uniform on [0, 1]: the area of the patches follows the severity, and a haze
    # between them keeps mild opacities from vanishing where the cloud happens to be thin.
    patches = ramp(severity * np.float32(1.2) - np.float32(0.1) - cloud, 0.55)
    return np.float32(0.25) * severity + np.float32(0.55) * patches


def _effusions(findings: Findings, thorax: Thorax, anatomy: Anatomy) -> Image:
    """Share of the lung displaced by fluid: a level that climbs the chest wall."""
    total = np.zeros_like(thorax.y)
    for side, share in enumerate(findings.effusions):
        if share:
            u, base = thorax.outward[side], thorax.base[side]
            lung_height = anatomy.base - anatomy.apex
            away = np.clip(u * np.float32(1 / anatomy.width) - np.float32(0.45), 0, 1)
            level = base.min() - lung_height * (share - 0.12 + away * away * np.float32(0.5))
            total += ramp(thorax.y - level, 0.06) * (u > 0)
    return np.float32(0.9) * np.clip(total, 0, 1)
