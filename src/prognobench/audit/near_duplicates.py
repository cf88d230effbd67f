"""Copies of one radiograph under several names: equal, rescaled, cropped or windowed otherwise.

Candidates are the nearest images by the features of a pretrained backbone and by perceptual hashes
(:mod:`.candidates`); each is then laid over the other (:mod:`.registration`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from prognobench.audit import registration
from prognobench.audit.candidates import candidate_pairs
from prognobench.audit.images import AuditedImages
from prognobench.audit.registration import compare
from prognobench.audit.views import PARTS, parts_of, perceptual_hash
from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.files import cache_folder, identity, read_sealed, write_sealed
from prognobench.training.features import cached_features

BACKBONE = "efficientnet_lite0"
"""Whose features say which images are near; its weights come with a package."""

INPUT_SIZE = 160
"""Side at which it looks at an image."""

LEAST_CORRELATION = 0.7
"""From which on two images are one radiograph; see ``benchmarks/near_duplicates.py``."""

_VERSION = 2


@dataclass(frozen=True)
class NearDuplicate:
    """Two images of one radiograph.

    Attributes:
        first: Row of the one.
        second: Row of the other, greater.
        correlation: Of their locally normalised pixels where they overlap.
        overlap: Share of the smaller one that lies on the other.
        scale: How much larger the second shows things than the first.
    """

    first: int
    second: int
    correlation: float
    overlap: float
    scale: float


def near_duplicates(images: AuditedImages) -> list[NearDuplicate]:
    """Return every two images that are one radiograph, as far as they are found.

    The pairs are kept in the cache by the content of the images.

    Args:
        images: The images; equal ones are found as well.
    """
    key = identity(
        {
            "version": _VERSION,
            "contents": list(images.contents),
            "side": int(images.pixels.shape[-1]),
            "groups": [list(images.cohorts), list(images.patients)],
            "backbone": [get_entry(BACKBONE).identity(), INPUT_SIZE],
            "rules": [LEAST_CORRELATION, registration.SIDE, list(map(str, PARTS))],
        },
        32,
    )
    path = cache_folder("near_duplicates") / f"{key}.json"
    if (kept := _read(path)) is not None:
        return kept
    found = _search(images)
    write_sealed(path, {"pairs": [asdict(pair) for pair in found]})
    return found


def _read(path: Any) -> list[NearDuplicate] | None:
    kept = read_sealed(path)
    return None if kept is None else [NearDuplicate(**pair) for pair in kept["pairs"]]


def _search(images: AuditedImages) -> list[NearDuplicate]:
    if len(images.pixels) < 2:
        return []
    hashes = np.stack([perceptual_hash(image) for image in images.pixels])
    pairs = candidate_pairs(part_features(images), hashes, images.cohorts, images.patients)
    matches = compare(images.pixels, pairs)
    return [
        NearDuplicate(
            first,
            second,
            round(match.correlation, 4),
            round(match.overlap, 4),
            round(match.scale, 4),
        )
        for (first, second), match in zip(pairs, matches, strict=True)
        if match.correlation >= LEAST_CORRELATION
    ]


def part_features(images: AuditedImages) -> npt.NDArray[np.float32]:
    """Return features of the parts of all images, float32 [P, N, D]."""
    backbone = load_backbone(get_entry(BACKBONE, INPUT_SIZE))
    parts = np.stack([parts_of(image, INPUT_SIZE) for image in images.pixels], axis=1)
    found = []
    for part, own in zip(PARTS, parts, strict=True):
        key = identity({"contents": list(images.contents), "part": str(part), "v": _VERSION}, 32)
        found.append(cached_features(backbone, torch.from_numpy(own)[:, None], key))
    return np.stack(found)
