"""Small cohorts for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.cohort import Cohort, Provenance

ENDPOINTS = {"icu": "admitted to intensive care"}


def cohort_of(rows: list[dict[str, Any]], root: Path = Path("nowhere"), **changes: Any) -> Cohort:
    """Return a cohort of rows that need only say what matters."""
    filled = [
        {
            "image_id": f"image{place:02}",
            "patient_id": f"patient{place:02}",
            "path": f"image{place:02}.png",
            "acquired": None,
            "icu": None,
            "icu_day": None,
            **row,
        }
        for place, row in enumerate(rows)
    ]
    table = pd.DataFrame(filled)
    endpoints = changes.get("endpoints", ENDPOINTS)
    return assemble(
        changes.get("name", "small"), table, root, endpoints, Provenance("test", "Test")
    )
