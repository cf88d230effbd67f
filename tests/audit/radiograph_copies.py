"""Copies of synthetic radiographs, as collections make them, and what only looks like one."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from prognobench.audit.images import AuditedImages
from prognobench.demo.patients import draw_patient
from prognobench.images.geometry import to_square

Grey = npt.NDArray[np.uint8]


def cropped(image: Grey) -> Grey:
    """Three quarters of the side, not from the middle."""
    height, width = image.shape
    return image[height // 16 : height * 13 // 16, width // 6 : width * 11 // 12]


def windowed(image: Grey) -> Grey:
    """Another window and gamma, cut off at both ends."""
    share = np.clip((image / 255.0 - 0.08) / 0.8, 0, 1) ** 0.6
    return np.round(share * 255).astype(np.uint8)


def rescaled(image: Grey) -> Grey:
    """A smaller JPEG in another frame."""
    height, width = (round(0.8 * size) for size in image.shape)
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=75)
    return np.pad(np.array(Image.open(stream)), ((10, 10), (0, 40)))


def square_and_windowed(image: Grey) -> Grey:
    """The square in the middle, at another contrast: as the Hannover images in the Cohen set."""
    side = min(image.shape)
    top, left = ((size - side) // 2 for size in image.shape)
    return windowed(image[top : top + side, left : left + side])


def to_another_aspect(image: Grey) -> Grey:
    """All of it, a third wider than high: as those do that resize without padding."""
    return windowed(np.array(Image.fromarray(image).resize((256, 192), Image.Resampling.BICUBIC)))


def cropped_and_stretched(image: Grey) -> Grey:
    """Four fifths of the height and less off the width, then 16 % wider."""
    height, width = image.shape
    own = image[height // 10 : height * 9 // 10, width // 20 : width * 9 // 10]
    size = (round(own.shape[1] * 1.16), own.shape[0])
    return np.array(Image.fromarray(own).resize(size, Image.Resampling.BICUBIC))


def mirrored(image: Grey) -> Grey:
    """The other way round: another picture for whoever reads left and right."""
    return np.ascontiguousarray(image[:, ::-1])


COPIES: dict[str, Callable[[Grey], Grey]] = {
    "cropped": cropped,
    "windowed": windowed,
    "rescaled": rescaled,
    "square_and_windowed": square_and_windowed,
    "to_another_aspect": to_another_aspect,
    "cropped_and_stretched": cropped_and_stretched,
}


def radiographs(patients: int, seed: int = 5) -> list[tuple[str, list[Grey]]]:
    """Patients with two images or more of different days."""
    found, number = [], 0
    while len(found) < patients:
        patient = draw_patient(seed, number)
        number += 1
        if len(patient.visits) > 1:
            images = [patient.pixels(visit) for visit in range(2)]
            found.append((patient.patient_id, images))
    return found


def audited(rows: list[tuple[str, str, str, Grey]], side: int = 224) -> AuditedImages:
    """Images as the audit gets them, from (cohort, patient, image, pixels)."""
    return AuditedImages(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        tuple(row[2] for row in rows),
        np.stack([to_square(row[3], side) for row in rows]),
        tuple(str(hash(row[3].tobytes())) for row in rows),
    )
