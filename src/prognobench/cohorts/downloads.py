"""What the sources that read a downloaded folder share: finding its parts, and counting drops."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.cohort import Cohort, Drop
from prognobench.cohorts.tables import find_column, numbers_where_all
from prognobench.errors import UserError
from prognobench.files import file_digest


def find_part(root: Path, name: str) -> Path | None:
    """Return the file or folder of a name in the root, or else in one of its folders.

    Downloads are unpacked with and without the folder of the archive. Among several the first by
    name counts.
    """
    folders = [root]
    if root.is_dir():
        folders += sorted(folder for folder in root.iterdir() if folder.is_dir())
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def require_parts(root: Path, names: Iterable[str], advice: str) -> dict[str, Path]:
    """Return where each part of a download is, by :func:`find_part`.

    Args:
        root: The folder of the download.
        names: Files and folders that it must have.
        advice: What to do where one is missing.

    Raises:
        UserError: Naming every part that is not there.
    """
    found = {name: find_part(root, name) for name in names}
    lacking = [name for name, path in found.items() if path is None]
    if lacking:
        raise UserError(f"the folder {root} lacks {' and '.join(lacking)}: {advice}")
    return {name: path for name, path in found.items() if path is not None}


def add_columns(rows: pd.DataFrame, table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return rows with further columns of their table, as numbers where all cells are.

    Args:
        rows: One row an image, with the index of the table.
        table: The table as it was read.
        names: The columns to take by the names that they get; those that are not in the table, or
            are empty, are left out.
    """
    found = {name: find_column(table, column) for name, column in names.items()}
    return rows.assign(
        **{
            name: numbers_where_all(table[column])
            for name, column in found.items()
            if column and table[column].notna().any()
        }
    )


def drop_where(cohort: Cohort, leaving: pd.Series, rule: str, reason: str) -> Cohort:
    """Leave out images, the drop recorded (also when it is empty).

    Args:
        cohort: The cohort.
        leaving: Whether each image leaves, by ``image_id``.
        rule: Short name of the rule.
        reason: The rule in words.
    """
    return cohort.without(
        {str(image) for image in leaving.index[leaving.astype(bool)]}, rule, reason
    )


def drop_unknown_view(cohort: Cohort) -> Cohort:
    """Leave out images without a view, in a collection that is known to have lateral ones."""
    return cohort.without(
        set(cohort.table.loc[cohort.table["view"].isna(), "image_id"]),
        "unknown_view",
        "the view is not given, and the collection has lateral images",
    )


def note_left_out(cohort: Cohort, rule: str, reason: str, images: int, patients: int) -> Cohort:
    """Record a drop of images that are not in the cohort's table.

    Args:
        cohort: The cohort.
        rule: Short name of the rule.
        reason: The rule in words.
        images: Number of images.
        patients: Number of patients of whom the cohort has no image, or not any more.
    """
    return replace(
        cohort,
        drops=(*cohort.drops, Drop(rule, reason, images, patients)),
        source_images=cohort.source_images + images,
        source_patients=cohort.source_patients + patients,
    )


def note_without_image(cohort: Cohort, patients: Collection[str]) -> Cohort:
    """Record the patients whom the tables list and of whom there is no image."""
    reason = "the table lists the patient, and there is no image"
    return note_left_out(cohort, "no_image", reason, 0, len(patients))


def version_of(*files: Path) -> str:
    """Return tables by name with the beginning of their SHA-256, as the version of a download."""
    return ", ".join(f"{file.name} with SHA-256 {file_digest(file)[:16]}" for file in files)
