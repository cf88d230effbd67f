"""Where the lungs of an image are, as a cohort's table says it.

``lung_box`` is ``left,top,width,height`` in pixels of the upright image; ``lung_mask`` names a
mask below the root, or several with ``;`` between them, such as one a lung. Where both are given,
the box counts.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from prognobench.cohorts.cohort import LUNG_BOX, LUNG_MASK
from prognobench.cohorts.paths import relative_path
from prognobench.cohorts.tables import cell_text
from prognobench.errors import UserError

SEPARATOR = ";"
"""What stands between several masks of one image."""


def normalised(rows: pd.DataFrame, column: str, where: str) -> pd.Series:
    """Return one of the two columns in its one form, missing where a cell is empty.

    Args:
        rows: The rows that a source read.
        column: ``lung_box`` or ``lung_mask``.
        where: The table, for the error.

    Raises:
        UserError: When a box is none, or a mask's path leads out of the root.
    """
    one = {LUNG_BOX: _box_text, LUNG_MASK: _mask_text}[column]
    texts = [cell_text(cell) for cell in rows[column]]
    return pd.Series([None if text is None else one(text, where) for text in texts], dtype="str")


def box_of(text: str, where: str) -> tuple[float, float, float, float]:
    """Return ``left, top, width, height`` of a cell.

    Raises:
        UserError: When these are not four numbers, the last two above 0.
    """
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        left = top = width = height = math.nan
    if not all(map(math.isfinite, (left, top, width, height))) or min(width, height) <= 0:
        raise UserError(
            f"the lung_box '{text}' of {where} is no box: write left,top,width,height in pixels, "
            "such as 100,80,600,700"
        )
    return left, top, width, height


def masks_of(text: str) -> list[str]:
    """Return the paths of a cell of ``lung_mask``."""
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]


def below(folder: Path, text: str) -> str:
    """Return a cell of ``lung_mask`` with a folder before each path."""
    return SEPARATOR.join((folder / path).as_posix() for path in masks_of(text))


def _box_text(text: str, where: str) -> str:
    return ",".join(f"{part:.12g}" for part in box_of(text, where))


def _mask_text(text: str, where: str) -> str | None:
    return SEPARATOR.join(relative_path(path, where) for path in masks_of(text)) or None
