"""Pictures of what an audit found: what models see, and copies beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from prognobench.audit.cohorts import CohortAudit
from prognobench.audit.images import SIDE, AuditedImages
from prognobench.cohorts.cohort import Cohort
from prognobench.files import atomic_path, write_json
from prognobench.images.contact_sheet import write_contact_sheet

MOST_COPIES = 60
"""Radiographs that the sheet of copies shows at most."""

_LINES = 15
_CELL = 168
_GAP = 4
_LABEL = 16


def write_audit(found: CohortAudit, cohorts: Sequence[Cohort], folder: Path) -> list[Path]:
    """Write an audit into a folder, and return the files.

    They are ``audit.json``, a contact sheet a cohort (``contact_sheet.png``, then
    ``contact_sheet_2.png``), and where there are copies ``duplicates.png`` and ``duplicates.csv``.

    Args:
        found: The audit.
        cohorts: Its cohorts.
        folder: Where to write; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "audit.json"]
    write_json(written[0], found.data)
    for number, cohort in enumerate(cohorts, start=1):
        path = folder / ("contact_sheet.png" if number == 1 else f"contact_sheet_{number}.png")
        tables = [task.table for task in found.tasks if task.cohort.name == cohort.name]
        table = tables[0] if tables else cohort.table.assign(target=None)
        write_contact_sheet(found.decoded.stores[cohort.name].stores[SIDE], table, path)
        written.append(path)
    groups = found.data["duplicates"]
    if groups:
        written += [folder / "duplicates.csv", folder / "duplicates.png"]
        with atomic_path(written[-2]) as temporary:
            duplicates_table(groups).to_csv(temporary, index=False)
        write_copies(found.decoded.images, groups, written[-1])
    return written


def duplicates_table(groups: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row an image that is there more than once.

    Args:
        groups: See :func:`prognobench.audit.copies.copy_groups`.

    Returns:
        ``radiograph`` (a number), ``cohort``, ``patient_id``, ``image_id``, ``across_cohorts``,
        ``across_patients``, ``correlation`` (the lowest of the radiograph's pairs).
    """
    rows = [
        {
            "radiograph": number,
            **image,
            "across_cohorts": group["across_cohorts"],
            "across_patients": group["across_patients"],
            "correlation": min(pair["correlation"] for pair in group["pairs"]),
        }
        for number, group in enumerate(groups, start=1)
        for image in group["images"]
    ]
    return pd.DataFrame(rows)


def write_copies(images: AuditedImages, groups: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG with the first two images of each radiograph beside each other.

    The number is that of ``duplicates.csv``; the correlation is the lowest of its pairs.

    Args:
        images: The images.
        groups: See :func:`prognobench.audit.copies.copy_groups`; the first
            :data:`MOST_COPIES` are shown.
        path: The PNG to write.
    """
    names = zip(images.cohorts, images.image_ids, strict=True)
    rows = {name: row for row, name in enumerate(names)}
    shown = groups[:MOST_COPIES]
    columns = -(-len(shown) // _LINES)
    lines = -(-len(shown) // columns)
    width, height = 2 * _CELL + 3 * _GAP, _CELL + _LABEL + _GAP
    sheet = Image.new("L", (columns * width, lines * height + _GAP), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for number, group in enumerate(shown):
        left, top = number // lines * width + _GAP, number % lines * height + _GAP
        for place, own in enumerate(group["images"][:2]):
            image = Image.fromarray(images.pixels[rows[own["cohort"], own["image_id"]]])
            small = image.resize((_CELL, _CELL), Image.Resampling.BICUBIC)
            sheet.paste(small, (left + place * (_CELL + _GAP), top))
        lowest = min(pair["correlation"] for pair in group["pairs"])
        text = f"{number + 1}: {len(group['images'])} images, correlation {lowest:.2f}"
        draw.text((left + 2, top + _CELL + 1), text, fill=0, font=font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
