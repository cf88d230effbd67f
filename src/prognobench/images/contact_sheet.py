"""The contact sheet: images as the models see them, for a person to look at before training."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from prognobench.files import atomic_path
from prognobench.images.store import ImageStore

MAX_IMAGES = 48
"""How many images the sheet shows at most."""

_COLUMNS = 8
_CELL = 224
_LABEL = 18
_GAP = 4


def choose_images(rows: pd.DataFrame, count: int = MAX_IMAGES) -> list[str]:
    """Return which images to show: as many of each target and site as there are, in turn.

    Within a target and site they are spread evenly over the images in the order of their ids, so
    that the choice is always the same.

    Args:
        rows: Columns ``image_id``, ``target`` and ``site``.
        count: How many images to choose at most.
    """
    groups = [
        sorted(group["image_id"])
        for _, group in rows.groupby(["target", "site"], sort=True, dropna=False)
    ]
    # Each group gives one image a turn until the sheet is full or all groups are empty.
    shares = [0] * len(groups)
    left = min(count, len(rows))
    while left:
        for place, group in enumerate(groups):
            if left and shares[place] < len(group):
                shares[place] += 1
                left -= 1
    return [
        group[step * len(group) // share]
        for group, share in zip(groups, shares, strict=True)
        for step in range(share)
    ]


def write_contact_sheet(store: ImageStore, rows: pd.DataFrame, path: Path) -> None:
    """Write a PNG of some images, each with its target and view beneath.

    Args:
        store: The images.
        rows: The task's table; images that are not in the store are left out.
        path: The PNG to write.
    """
    known = rows[rows["image_id"].isin(store.image_ids)]
    chosen = choose_images(known)
    about = {row["image_id"]: row for row in known.to_dict("records")}
    cell = min(store.size, _CELL)
    lines = max(1, -(-len(chosen) // _COLUMNS))
    width, height = cell + _GAP, cell + _LABEL + _GAP
    sheet = Image.new("L", (_COLUMNS * width + _GAP, lines * height + _GAP), 255)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for place, image_id in enumerate(chosen):
        left, top = _GAP + place % _COLUMNS * width, _GAP + place // _COLUMNS * height
        image = Image.fromarray(store.images[store.index_of([image_id])[0]])
        if store.size != cell:
            image = image.resize((cell, cell), Image.Resampling.BICUBIC)
        sheet.paste(image, (left, top))
        draw.text((left + 2, top + cell + 2), _label(about[image_id]), fill=0, font=font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _label(row: dict[Hashable, Any]) -> str:
    view = row.get("view")
    known = {1: ["event"], 0: ["no event"]}
    words = known.get(row["target"], [])
    return " ".join([*words, view] if isinstance(view, str) else words)
