"""Which image belongs to which patient, from a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prognobench.errors import UserError

COLUMNS = ("path", "patient_id")


@dataclass(frozen=True)
class PatientTable:
    """Images and their patients.

    Attributes:
        origin: The table's path.
        patients: The patient of each image, by its absolute path.
    """

    origin: Path
    patients: dict[Path, str]

    def __iter__(self) -> Iterator[Path]:
        """Go over the images."""
        return iter(self.patients)

    def patient_of(self, path: Path) -> str:
        """Return the patient of an image.

        Raises:
            UserError: When the table does not have the image.
        """
        found = self.patients.get(path.absolute().resolve())
        if found is None:
            raise UserError(
                f"{self.origin} does not say whose image {path} is: add a row with its path"
            )
        return found


def read_patients(path: Path) -> PatientTable:
    """Read a table with the columns ``path`` (relative to its folder) and ``patient_id``.

    Raises:
        UserError: When it cannot be read, lacks a column or a value, or gives an image twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"the table of patients {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"the table of patients {path} cannot be read as CSV ({type(error).__name__})"
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(
            f"the table of patients {path} lacks the column {missing[0]}: it needs path and "
            "patient_id"
        )
    patients: dict[Path, str] = {}
    for row, (image, patient) in enumerate(
        zip(table["path"], table["patient_id"], strict=True), start=2
    ):
        if not image or not patient:
            raise UserError(f"{path}, line {row}: path and patient_id must not be empty")
        place = (path.parent / image).absolute().resolve()
        if patients.setdefault(place, patient) != patient:
            raise UserError(f"{path}, line {row}: the image {image} belongs to two patients")
    return PatientTable(path, patients)
