"""Exact duplicates: images that are the same file, or show the same pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd


def duplicate_groups(
    table: pd.DataFrame, digests: Mapping[str, str], compared: str
) -> list[dict[str, Any]]:
    """Return the groups of images that have one digest.

    Args:
        table: Columns ``image_id`` and ``patient_id``.
        digests: A digest by image id; images without one are not compared.
        compared: What the digest is of, ``file`` or ``pixels``.

    Returns:
        One mapping a group: what was compared, its images, its patients, and whether it lies
        across patients (which would carry a test image into training).
    """
    patients = dict(zip(table["image_id"], table["patient_id"], strict=True))
    groups: dict[str, list[str]] = defaultdict(list)
    for image_id in sorted(patients):
        if image_id in digests:
            groups[digests[image_id]].append(image_id)
    found = []
    for images in groups.values():
        if len(images) > 1:
            owners = sorted({patients[image_id] for image_id in images})
            found.append(
                {
                    "compared": compared,
                    "images": images,
                    "patients": owners,
                    "across_patients": len(owners) > 1,
                }
            )
    return found
