"""The images of one or several cohorts, decoded for the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prognobench.cohorts.cohort import Cohort
from prognobench.files import cache_folder
from prognobench.images.store import ImageStore, StoreResult, build_store

SIDE = 224
"""Side in pixels at which images are searched for copies, and shown."""

LARGE_SIDE = 448
"""Side at which burnt-in text can still be seen."""

SIDES = (SIDE, LARGE_SIDE)


@dataclass(frozen=True)
class AuditedImages:
    """The images of one or several cohorts, in one order.

    Attributes:
        cohorts: The cohort of each of N images.
        patients: The patient of each, within its cohort.
        image_ids: The id of each, within its cohort.
        pixels: uint8 [N, S, S], padded with black; may be memory-mapped.
        contents: A hash of what decides the pixels of each.
    """

    cohorts: tuple[str, ...]
    patients: tuple[str, ...]
    image_ids: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]
    contents: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """The decoded images of cohorts.

    Attributes:
        images: All that can be decoded, cohort by cohort.
        stores: What was decoded of each cohort, by its name.
        failures: Why an image of a cohort cannot be decoded, by cohort and image id.
    """

    images: AuditedImages
    stores: Mapping[str, StoreResult]
    failures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def large(self, cohort: str) -> ImageStore:
        """Return a cohort's images at the size at which text can be seen."""
        return self.stores[cohort].stores[LARGE_SIDE]


def audited_images(
    cohorts: Sequence[Cohort], progress: Callable[[int, int], None] | None = None
) -> Decoded:
    """Decode every image of some cohorts; what cannot be decoded is named, and stops nothing.

    Args:
        cohorts: The cohorts, of different names.
        progress: Called with the numbers of files done and of all files that need work.

    Raises:
        UserError: When the cache cannot be written to.
    """
    stores = {}
    for cohort in cohorts:
        files = image_files(cohort)
        stores[cohort.name] = build_store(files, SIDES, cache_folder("images"), progress)
    return Decoded(
        images_of(cohorts, stores), stores, {name: own.failures for name, own in stores.items()}
    )


def image_files(cohort: Cohort) -> dict[str, Path]:
    """Return the image files of a cohort by image id."""
    rows = zip(cohort.table["image_id"], cohort.table["path"], strict=True)
    return {str(image_id): cohort.root / path for image_id, path in rows}


def images_of(cohorts: Sequence[Cohort], stores: Mapping[str, StoreResult]) -> AuditedImages:
    """Return the decoded images of cohorts in one order, by cohort and image id.

    Args:
        cohorts: The cohorts.
        stores: What was decoded of each, at :data:`SIDE` among others; other images of a cohort are
            left out.
    """
    names, patients, image_ids, contents, pixels = [], [], [], [], []
    for cohort in cohorts:
        own = stores[cohort.name]
        store = own.stores[SIDE]
        known = cohort.table[cohort.table["image_id"].isin(store.image_ids)]
        ids = known["image_id"].astype(str).tolist()
        names += [cohort.name] * len(ids)
        patients += known["patient_id"].astype(str).tolist()
        image_ids += ids
        contents += [own.contents[image_id] for image_id in ids]
        pixels.append(store.pixels(ids))
    return AuditedImages(
        tuple(names),
        tuple(patients),
        tuple(image_ids),
        pixels[0] if len(pixels) == 1 else np.concatenate(pixels),
        tuple(contents),
    )
