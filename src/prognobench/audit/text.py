"""Burnt-in text: bright characters in a row near the margin of an image.

What a technician or a workstation wrote into the pixels (*supine*, a date, an initial) tells of the
ward and not of the lungs. Characters are bright strokes thinner than what surrounds them: the image
less its morphological opening (a white top-hat) leaves them, and a connected piece of about a
character's size that has two such neighbours at its height, next to each other, is counted. Nothing
is read. A single letter (a side marker) is not text; pieces of cables and clips sometimes are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from prognobench.audit.views import content_box

STROKE = 7
"""Strokes of characters are thinner than this many pixels, of :data:`.images.LARGE_SIDE`."""

CONTRAST = 70
"""Grey levels by which a stroke is brighter than its surroundings."""

LEAST_CHARACTERS = 3
"""Characters beside each other that are a word."""

MARGIN = 0.3
"""Share of the side from each edge that is searched."""

_HEIGHTS = (4, 20)
_LEAST_AREA = 5
_WIDEST = 1.6

_Grey = npt.NDArray[np.uint8]


def characters(image: _Grey) -> int:
    """Return how many characters of burnt-in text an image seems to have near its margin.

    Args:
        image: uint8 [S, S], padded with black.
    """
    top, bottom, left, right = content_box(image)
    own = image[top:bottom, left:right]
    strokes = own.astype(np.int16) - ndimage.grey_opening(own, size=(STROKE, STROKE))
    labels, count = ndimage.label(strokes > CONTRAST, structure=np.ones((3, 3)))
    if count < LEAST_CHARACTERS:
        return 0
    boxes = []
    areas = np.bincount(labels.ravel())
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not _HEIGHTS[0] <= height <= _HEIGHTS[1] or width > _WIDEST * height:
            continue
        if areas[number] < _LEAST_AREA:
            continue
        down = (rows.start + rows.stop) / 2
        across = (columns.start + columns.stop) / 2
        inner = (
            MARGIN < down / own.shape[0] < 1 - MARGIN
            and MARGIN < across / own.shape[1] < 1 - MARGIN
        )
        if not inner:
            boxes.append((down, columns.start, columns.stop, height))
    return _in_words(sorted(boxes, key=lambda box: box[1]))


def _in_words(boxes: list[tuple[float, int, int, int]]) -> int:
    """Return how many boxes (middle, left, right, height) stand in rows of three or more."""
    rows: list[list[tuple[float, int, int, int]]] = []
    for box in boxes:
        for row in rows:
            last = row[-1]
            tall, small = max(box[3], last[3]), min(box[3], last[3])
            beside = -0.3 * tall <= box[1] - last[2] <= 0.8 * tall
            if beside and abs(box[0] - last[0]) <= 0.35 * tall and tall <= 1.8 * small + 1:
                row.append(box)
                break
        else:
            rows.append([box])
    return sum(len(row) for row in rows if len(row) >= LEAST_CHARACTERS)
