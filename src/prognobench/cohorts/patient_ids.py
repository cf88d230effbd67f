"""Finding the patients of images in a table of outcomes, whatever became of their ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from prognobench.cohorts.downloads import add_columns
from prognobench.cohorts.radiographs import Radiographs, patients_of, require_images
from prognobench.cohorts.tables import quote_some
from prognobench.errors import UserError


def join_patients(
    radiographs: Radiographs, table: pd.DataFrame, id_column: str, path: Path, prefix: str = ""
) -> tuple[Radiographs, pd.DataFrame]:
    """Find each patient's row of a table.

    Ids are equal as they stand, or else but for case, a prefix, and leading zeros, where only one
    patient and one row can be meant. Rows that say the same are one.

    Args:
        radiographs: The images.
        table: The table, each cell text or missing.
        id_column: The column of patients.
        path: The table's file, for the error.
        prefix: A prefix that some ids have and some have not, such as a collection's name.

    Returns:
        The images whose patient is in the table, and their patients' rows of it, by the id that
        the images have.

    Raises:
        UserError: When no image is left, or no patient of the images is in the table.
    """
    table = table[table[id_column].notna()].drop_duplicates()
    ids = table[id_column].astype(str)
    several = set(ids[ids.duplicated()])
    require_images(radiographs.drops, radiographs.headers, radiographs)
    pairs = match_ids(radiographs.patients, set(ids), prefix)
    if not pairs:
        raise UserError(
            f"no patient of the images, such as '{radiographs.headers[0].patient_id}', is in the "
            f"column '{id_column}' of {path}, which has {quote_some(ids, 1) or 'no ids'}: check "
            "that they are of one collection"
        )
    mended = sorted(found for found, listed in pairs.items() if found != listed)
    if mended:
        radiographs = radiographs.noted(
            "ids_mended",
            "ids differ from those of the table in leading zeros, case or a prefix, and were "
            f"joined all the same: {len(mended)}, such as '{mended[0]}' with '{pairs[mended[0]]}'",
        )
    radiographs = radiographs.noted(
        "no_image",
        "the table lists the patient, and there is no DICOM file",
        set(ids) - set(pairs.values()),
    )
    radiographs = radiographs.without(
        [header for header in radiographs.headers if header.patient_id not in pairs],
        "not_in_table",
        "the patient is not in the table of outcomes",
    )
    radiographs = radiographs.without(
        [header for header in radiographs.headers if pairs[header.patient_id] in several],
        "several_rows",
        "the table has several rows of the patient that do not say the same",
    )
    left = sorted(patients_of(radiographs.headers))
    rows = table.set_index(ids).loc[[pairs[patient] for patient in left]]
    return radiographs, rows.set_axis(left, axis=0)


def patient_columns(rows: pd.DataFrame, listed: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the rows of images with columns of their patients.

    Args:
        rows: One row an image, with ``patient_id``.
        listed: One row a patient, by the ids of the images.
        names: The columns, which keep these names; one that the rows have already is replaced,
            and one that the table has not, or only empty, is left out.
    """
    known = add_columns(pd.DataFrame(index=listed.index), listed, {name: name for name in names})
    return rows.assign(**{str(name): rows["patient_id"].map(known[name]) for name in known})


def match_ids(found: Collection[str], listed: Collection[str], prefix: str = "") -> dict[str, str]:
    """Return, by the id of an image's patient, the id of the same patient in a table.

    Args:
        found: Ids of the images' patients.
        listed: Ids of the table.
        prefix: A prefix that some ids have and some have not.

    Returns:
        Pairs of equal ids, and pairs that are equal but for the prefix, case and the zeros that
        numbers lost in a spreadsheet, where only one id on either side can be meant.
    """
    by_found, by_listed = _by_loose_id(found, prefix), _by_loose_id(listed, prefix)
    pairs = {patient: patient for patient in found if patient in listed}
    for loose, candidates in by_found.items():
        if len(candidates) == len(by_listed.get(loose, ())) == 1:
            pairs[candidates[0]] = by_listed[loose][0]
    return pairs


def _by_loose_id(ids: Iterable[str], prefix: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for patient in ids:
        text = patient.casefold().removeprefix(prefix.casefold())
        loose = re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", text)
        groups.setdefault(loose, []).append(patient)
    return groups
