"""From masks of the lungs to the boxes around them.

A pixel of a mask is lung where it is at least half as bright as the brightest one, so that masks
of 0 and 1, of 0 and 255, and JPEG files of either are all understood. Regions of less than 2 % of
the mask are noise, as in the authors' earlier code (MDMT, 2024). A mask of another size than its
image is stretched over it: its box is in shares of width and height.

Masks are read by the processes that decode, since they are image files as any. What was found is
kept in ``lung_masks`` of the store's folder, by the digest of the mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prognobench.images.append_only import append_lines, read_lines
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.decoder import Request
from prognobench.images.decoders import decode_files
from prognobench.images.file_digests import FileDigests
from prognobench.images.geometry import Box

LEAST_REGION = 0.02
"""Share of a mask below which a region is noise."""

_VERSION = 1
_LINE = re.compile(rb'\{"mask": "([0-9a-f]{64})", "box": (.*)\}')


@dataclass(frozen=True)
class MaskBoxes:
    """What masks say of where the lungs are.

    Attributes:
        boxes: The box of each mask by its name; None where it shows no lung.
        failures: Why a mask could not be read, by its name.
    """

    boxes: Mapping[str, Box | None]
    failures: Mapping[str, str]


def box_of_mask(mask: npt.NDArray[np.uint8]) -> Box | None:
    """Return the box around the lungs of a mask in shares of its sides, or None without any.

    Args:
        mask: Height by width, as decoded to grey.
    """
    from scipy import ndimage

    brightest = int(mask.max())
    if brightest == 0:
        return None
    regions, _ = ndimage.label(2 * mask.astype(np.uint16) >= brightest, structure=np.ones((3, 3)))
    counts = np.bincount(regions.ravel())
    counts[0] = 0
    kept = counts >= LEAST_REGION * mask.size
    if not kept.any():
        return None
    lung = kept[regions]
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    height, width = mask.shape
    return Box(
        int(columns[0]) / width,
        int(rows[0]) / height,
        (int(columns[-1]) + 1) / width,
        (int(rows[-1]) + 1) / height,
    )


def around(boxes: Iterable[Box]) -> Box:
    """Return the box around boxes of one unit, such as those of two lungs."""
    left, top, right, bottom, units = zip(*boxes, strict=True)
    return Box(min(left), min(top), max(right), max(bottom), units[0])


def read_masks(files: Mapping[str, Path], folder: Path) -> MaskBoxes:
    """Return the boxes of mask files; one that cannot be read stops nothing.

    Args:
        files: The masks by name.
        folder: The folder of the image store.
    """
    kept = folder / f"lung_masks_{DECODE_VERSION}_{_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    known = {digest.decode(): _box(json.loads(box)) for digest, box in read_lines(kept, _LINE)}
    digests = FileDigests(folder / "file_digests")
    marks = {name: digests.mark(path) for name, path in files.items()}
    found = {name: digests.get(mark) for name, mark in marks.items()}
    unread = {name: files[name] for name, digest in found.items() if digest not in known}
    failures: dict[str, str] = {}
    new: dict[str, Box | None] = {}

    def wanted(_: str, digest: str | None) -> Request | None:
        nothing_now = bool(known) if digest is None else digest in known
        return None if nothing_now else {"lungs": True}

    for outcome in decode_files(unread, wanted):
        if outcome.failure is not None or outcome.digest is None:
            failures[outcome.name] = str(outcome.failure)
            continue
        found[outcome.name] = outcome.digest
        digests.add(marks[outcome.name], outcome.digest)
        if outcome.digest not in known:
            new[outcome.digest] = outcome.lungs
    append_lines(
        kept,
        (json.dumps({"mask": digest, "box": box}) for digest, box in sorted(new.items())),
    )
    digests.keep()
    both = {**known, **new}
    boxes = {
        name: both[digest]
        for name, digest in found.items()
        if digest is not None and name not in failures
    }
    return MaskBoxes(boxes, failures)


def _box(data: list[Any] | None) -> Box | None:
    return None if data is None else Box(*data)
