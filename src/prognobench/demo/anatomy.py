"""The thorax of one patient in one position: where each pixel lies, and what the beam meets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prognobench.demo.textures import MOTTLE, Image, as_image, texture

RIGHT, LEFT = -1, 1
"""The patient's sides, as the sign of x: the patient's right is on the left of the image."""


@dataclass(frozen=True)
class Anatomy:
    """What stays the same of a patient from image to image; lengths are in half image heights.

    Attributes:
        width: Half width of the rib cage.
        apex: Height of the lung tops (negative is up).
        base: Height of the diaphragm domes at full inspiration.
        dome: How far the right dome stands above the left.
        rib_spacing: Distance between ribs.
        rib_slope: How steeply ribs fall outwards.
        rib_contrast: Attenuation of the ribs.
        habitus: Thickness of the soft tissue relative to a mean one.
        breasts: Attenuation of breast tissue over the lower lungs, 0 for none.
        vessels: Strength of the vascular markings.
        texture: Seed of this patient's fine structure.
    """

    width: float
    apex: float
    base: float
    dome: float
    rib_spacing: float
    rib_slope: float
    rib_contrast: float
    habitus: float
    breasts: float
    vessels: float
    texture: int


def draw_anatomy(rng: np.random.Generator, female: bool) -> Anatomy:
    """Draw a patient's anatomy, independent of all findings."""
    return Anatomy(
        width=rng.uniform(0.64, 0.76),
        apex=rng.uniform(-0.84, -0.72),
        base=rng.uniform(0.42, 0.62),
        dome=rng.uniform(0.02, 0.1),
        rib_spacing=rng.uniform(0.15, 0.19),
        rib_slope=rng.uniform(0.1, 0.3),
        rib_contrast=rng.uniform(0.06, 0.14),
        habitus=rng.uniform(0.85, 1.3),
        breasts=rng.uniform(0.04, 0.2) if female else 0.0,
        vessels=rng.uniform(0.12, 0.3),
        texture=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class Pose:
    """How a patient stood or lay before the detector.

    Attributes:
        anteroposterior: Whether the beam came from the front (AP), as with portable machines.
        rotation: Rotation in the image plane, in radians.
        shift: Shift in x and y, in half image heights.
        scale: Magnification.
        inspiration: How far the diaphragm stands above full inspiration, in half image heights.
        turn: How far the patient is turned about the long axis, as a shift of the spine.
        arms: Whether the shoulder blades overlie the lungs.
    """

    anteroposterior: bool
    rotation: float
    shift: tuple[float, float]
    scale: float
    inspiration: float
    turn: float
    arms: bool


def draw_pose(rng: np.random.Generator, anteroposterior: bool) -> Pose:
    """Draw a position; AP images are less well centred and less deeply inspired."""
    loose = 2.0 if anteroposterior else 1.0
    return Pose(
        anteroposterior=anteroposterior,
        rotation=rng.normal(0, 0.02 * loose),
        shift=(rng.normal(0, 0.025 * loose), rng.normal(0, 0.025 * loose)),
        scale=rng.uniform(0.92, 1.08),
        inspiration=abs(rng.normal(0, 0.04)) + (rng.uniform(0.02, 0.2) if anteroposterior else 0),
        turn=rng.normal(0, 0.012 * loose),
        arms=bool(rng.random() < (0.7 if anteroposterior else 0.1)),
    )


@dataclass(frozen=True)
class Thorax:
    """Maps of one thorax, each float32 of shape [height, width].

    Attributes:
        tissue: Attenuation without air and findings.
        lungs: Share of the pixel that lies in the right and in the left lung, in [0, 1].
        depth: Height within either lung, 0 at the apex and 1 at the dome of the diaphragm.
        outward: Distance from the midline for either side, positive within that side.
        base: Height of either diaphragm at each pixel's distance from the midline.
        heart: Share of the pixel that the heart and the great vessels cover, in [0, 1].
        y: Height in the patient, negative is up.
    """

    tissue: Image
    lungs: tuple[Image, Image]
    depth: tuple[Image, Image]
    outward: tuple[Image, Image]
    base: tuple[Image, Image]
    heart: Image
    y: Image


def ramp(distance: Image, width: float) -> Image:
    """Return a soft step: 0 where ``distance`` is below ``-width/2``, 1 above ``width/2``."""
    step = np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1)
    return as_image(step * step * (3 - 2 * step))


def bump(distance: Image, width: float) -> Image:
    """Return a soft ridge: 1 where ``distance`` is 0, 0 from ``width`` on."""
    ratio = distance * np.float32(1 / width)
    ridge = np.clip(1 - ratio * ratio, 0, 1)
    return as_image(ridge * ridge)


def coordinates(pose: Pose, height: int, width: int) -> tuple[Image, Image]:
    """Return the patient's x and y for each pixel, in half image heights from the centre."""
    rows = (np.arange(height, dtype=np.float32) + 0.5) * (2 / height) - 1
    columns = ((np.arange(width, dtype=np.float32) + 0.5) * (2 / width) - 1) * (width / height)
    across = (columns[None, :] - pose.shift[0]) / pose.scale
    down = (rows[:, None] - pose.shift[1]) / pose.scale
    cosine, sine = np.cos(pose.rotation), np.sin(pose.rotation)
    x = (cosine * across + sine * down).astype(np.float32)
    y = (cosine * down - sine * across).astype(np.float32)
    return x, y


def draw_thorax(
    anatomy: Anatomy, pose: Pose, heart_width: float, height: int, width: int
) -> Thorax:
    """Draw the maps of a thorax.

    Args:
        anatomy: The patient.
        pose: The position.
        heart_width: Width of the heart relative to a normal one.
        height: Rows of the image.
        width: Columns of the image.
    """
    x, y = coordinates(pose, height, width)
    base_height = anatomy.base - pose.inspiration
    sides = (RIGHT, LEFT)
    outward = tuple(side * x - side * pose.turn * 0.5 for side in sides)
    bases = tuple(
        _diaphragm(u, base_height - (anatomy.dome if side == RIGHT else 0.0), anatomy.width)
        for u, side in zip(outward, sides, strict=True)
    )
    heart = _heart(x, y, anatomy, pose, relative_width=heart_width, base_height=base_height)
    depth = tuple((y - anatomy.apex) / (base - anatomy.apex) for base in bases)
    lungs = tuple(
        _lung(u, y, t, base, anatomy) * (1 - np.float32(0.85) * heart)
        for u, t, base in zip(outward, depth, bases, strict=True)
    )
    tissue = _body(x, y, anatomy) * np.float32(anatomy.habitus)
    tissue += np.float32(0.28) * heart
    tissue += _spine_and_airway(x - np.float32(pose.turn), y)
    for side, u, t, base in zip(sides, outward, depth, bases, strict=True):
        tissue += _bones(u, y, t, anatomy, pose)
        below = ramp(y - base, 0.05) * ramp(u + 0.1, 0.1)
        tissue += below * np.float32(0.3 if side == RIGHT else 0.2)
    if anatomy.breasts:
        tissue += np.float32(anatomy.breasts) * _breasts(x, y, anatomy)
    stomach = bump(np.hypot(x - 0.3, (y - base_height - 0.14) * 1.4), 0.16)
    tissue -= np.float32(0.35) * stomach * ramp(y - bases[1] - 0.05, 0.03)
    return Thorax(
        tissue=tissue,
        lungs=(lungs[0], lungs[1]),
        depth=(depth[0], depth[1]),
        outward=(outward[0], outward[1]),
        base=(bases[0], bases[1]),
        heart=heart,
        y=y,
    )


def vessels(thorax: Thorax, anatomy: Anatomy) -> Image:
    """Return the attenuation of hila and lung vessels: branching ridges that thin outwards."""
    height, width = thorax.y.shape
    noise = texture(MOTTLE, anatomy.texture, height, width)
    ridge = 1 - np.abs(2 * noise - 1)
    ridge = ridge * ridge
    ridge = ridge * ridge
    total = np.zeros_like(thorax.y)
    for u, lung in zip(thorax.outward, thorax.lungs, strict=True):
        distance = np.hypot(u - np.float32(0.17), (thorax.y + 0.05) * np.float32(0.7))
        hilum = bump(distance, 0.16)
        reach = np.clip(1 - distance * np.float32(1.5), 0.15, 1)
        total += (np.float32(0.9) * hilum * (0.5 + noise) + ridge * reach) * lung
    return np.float32(anatomy.vessels) * total


def _diaphragm(u: Image, dome: float, width: float) -> Image:
    """The height of a diaphragm: highest a little inside its middle, falling to the sides."""
    away = (u - np.float32(0.42 * width)) * np.float32(1 / width)
    return np.float32(dome) + away * away * np.float32(0.75)


def _lung(u: Image, y: Image, t: Image, base: Image, anatomy: Anatomy) -> Image:
    upward = 1 - np.clip(t, 0, 1)
    rim = np.sqrt(1 - upward**2 * np.float32(0.98))
    lateral = np.float32(anatomy.width) * (np.float32(0.32) + np.float32(0.68) * rim)
    medial = np.float32(0.1) + np.float32(0.04) * upward
    return (
        ramp(lateral - u, 0.035)
        * ramp(u - medial, 0.04)
        * ramp(base - y, 0.03)
        * ramp(y - np.float32(anatomy.apex), 0.05)
    )


def _body(x: Image, y: Image, anatomy: Anatomy) -> Image:
    """Soft tissue: shoulders, neck and chest wall; thinner to the sides, air outside."""
    shoulder = np.clip((y + 1.02) * np.float32(3.2), 0, 1)
    outline = np.float32(0.26) + np.float32(anatomy.width + 0.02) * np.sqrt(shoulder)
    inside = ramp(outline - np.abs(x), 0.06)
    wall = 1 - np.float32(0.22) * x * x
    return inside * wall


def _heart(
    x: Image, y: Image, anatomy: Anatomy, pose: Pose, *, relative_width: float, base_height: float
) -> Image:
    size = relative_width * (1.17 if pose.anteroposterior else 1.0)
    half_width, half_height = 0.26 * size, 0.36 * (0.6 + 0.4 * size)
    centre_x = 0.115 * size + pose.turn
    centre_y = base_height - half_height * 0.5
    across = (x - np.float32(centre_x)) * np.float32(1 / half_width)
    down = (y - np.float32(centre_y)) * np.float32(1 / half_height)
    # Sheared, because the apex points down and to the patient's left.
    across = across - np.float32(0.45) * down
    muscle = ramp(1 - np.sqrt(across * across + down * down), 0.25)
    upper = ramp(np.float32(0.13) - np.abs(x - np.float32(0.01 + pose.turn)), 0.08)
    upper = upper * ramp(y - np.float32(anatomy.apex), 0.3)
    knob = ramp(
        np.float32(0.1) - np.hypot(x - np.float32(0.09 + pose.turn), y + np.float32(0.3)), 0.05
    )
    vessels_above = np.maximum(np.float32(0.75) * upper, np.float32(0.8) * knob)
    return as_image(np.maximum(muscle, vessels_above))


def _spine_and_airway(x: Image, y: Image) -> Image:
    column = bump(x, 0.1)
    discs = np.float32(0.75) + np.float32(0.25) * np.cos(y * np.float32(2 * np.pi / 0.15))
    trachea = bump(x, 0.045) * ramp(np.float32(-0.22) - y, 0.06)
    return as_image(np.float32(0.3) * column * discs - np.float32(0.34) * trachea)


def _bones(u: Image, y: Image, t: Image, anatomy: Anatomy, pose: Pose) -> Image:
    spacing = np.float32(anatomy.rib_spacing)
    rim = np.sqrt(1 - np.clip(1 - t, 0, 1) ** 2 * np.float32(0.98))
    lateral = np.float32(anatomy.width + 0.03) * (np.float32(0.34) + np.float32(0.66) * rim)
    cage = ramp(lateral - u, 0.03) * ramp(u - 0.05, 0.05) * ramp(t, 0.08)
    cage = cage * (1 - np.float32(0.7) * ramp(t - np.float32(1.05), 0.25))
    away = u - np.float32(0.25)
    behind = y - np.float32(anatomy.rib_slope) * u - np.float32(0.5) * away * away
    ahead = y + np.float32(0.55) * u + np.float32(0.35) * u * u
    posterior = ramp(np.cos(behind * (2 * np.pi / spacing)) - np.float32(0.25), 0.7)
    anterior = ramp(np.cos(ahead * (2 * np.pi / spacing)) - np.float32(0.4), 0.8)
    anterior = anterior * ramp(u - np.float32(0.32), 0.2)
    bones = cage * (posterior + np.float32(0.5) * anterior) * np.float32(anatomy.rib_contrast)
    tilt = 0.02 if pose.anteroposterior else 0.13
    middle = np.float32(anatomy.apex + 0.17) - np.float32(tilt) * (u - np.float32(0.1))
    middle = middle + np.float32(0.04) * np.sin(u * np.float32(8))
    clavicle = ramp(np.float32(0.032) - np.abs(y - middle), 0.02)
    clavicle = clavicle * ramp(u - 0.09, 0.03) * ramp(np.float32(0.72) - u, 0.1)
    bones += clavicle * np.float32(1.3 * anatomy.rib_contrast)
    if pose.arms:
        edge = u - np.float32(0.5) + np.float32(0.35) * (y + np.float32(0.3))
        blade = ramp(edge, 0.03) * ramp(np.float32(0.05) - y, 0.1)
        bones += blade * ramp(y - np.float32(anatomy.apex + 0.12), 0.1) * np.float32(0.07)
    return bones


def _breasts(x: Image, y: Image, anatomy: Anatomy) -> Image:
    distance = np.hypot(np.abs(x) - np.float32(0.4), (y - np.float32(0.3)) * np.float32(0.85))
    return ramp(np.float32(0.6 * anatomy.width) - distance, 0.12) * ramp(y + 0.1, 0.5)
