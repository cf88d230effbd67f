"""Which part of each image is shown, where a benchmark asks for the lungs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prognobench.cohorts.cohort import LUNG_BOX, LUNG_MASK, Cohort
from prognobench.cohorts.lungs import box_of, masks_of
from prognobench.images.geometry import Box
from prognobench.images.lung_masks import around, read_masks
from prognobench.images.options import ImagesSpec


@dataclass(frozen=True)
class LungBoxes:
    """The lungs of some images.

    Attributes:
        boxes: What to show of an image, margin included, by its id.
        without: Why the lungs of the others are not known, by their id.
    """

    boxes: Mapping[str, Box]
    without: Mapping[str, str]

    def sentence(self, cohort: str) -> str | None:
        """Return how many images are shown whole and why, or None where none is."""
        if not self.without:
            return None
        counts = Counter(self.without.values())
        reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(counts.items()))
        total = len(self.boxes) + len(self.without)
        return (
            f"{len(self.without)} of {total} images of the cohort '{cohort}' are shown whole and "
            f"not cut to the lungs ({reasons})"
        )


def find_lungs(
    cohort: Cohort, image_ids: Sequence[str], asked: ImagesSpec, folder: Path
) -> LungBoxes:
    """Return where the lungs of images are, by the cohort's boxes and masks.

    Args:
        cohort: The cohort.
        image_ids: The images.
        asked: What the benchmark asks of its images.
        folder: The folder of the image store.

    Raises:
        UserError: When a cell of ``lung_box`` is no box.
    """
    table = cohort.table.set_index("image_id").loc[list(image_ids)]
    boxes: dict[str, Box] = {}
    masks: dict[str, list[str]] = {}
    without: dict[str, str] = {}
    for image_id, row in zip(image_ids, table.to_dict("records"), strict=True):
        if isinstance(cell := row.get(LUNG_BOX), str):
            left, top, width, height = box_of(cell, f"the cohort '{cohort.name}'")
            boxes[image_id] = Box(left, top, left + width, top + height, "pixel")
        elif isinstance(cell := row.get(LUNG_MASK), str):
            masks[image_id] = masks_of(cell)
        else:
            without[image_id] = "neither a lung box nor a mask is given"
    paths = {path: cohort.root / path for own in masks.values() for path in own}
    read = read_masks(paths, folder)
    for image_id, own in masks.items():
        if failures := [read.failures[path] for path in own if path in read.failures]:
            without[image_id] = f"the mask cannot be read: {failures[0]}"
        elif found := [box for path in own if (box := read.boxes[path]) is not None]:
            boxes[image_id] = around(found)
        else:
            without[image_id] = "the mask shows no lung"
    return LungBoxes(
        {image_id: box.widened(asked.lung_margin) for image_id, box in sorted(boxes.items())},
        dict(sorted(without.items())),
    )
