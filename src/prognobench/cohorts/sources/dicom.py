"""Any hospital's own images: a folder tree of DICOM files and a table of outcomes.

.. code-block:: yaml

    cohort:
      source: dicom
      root: export/
      table: outcomes.xlsx
      columns: {patient_id: MRN, admission: Admitted, icu: ICU, icu_date: ICU from}
      positive: {icu: transferred}
      negative: {icu: ward}

The table has one row a patient, joined on Patient ID (0010,0020); rows above the columns' names
are passed over. Endpoints are the columns named or mapped ``icu``, ``mortality`` and ``severity``,
and those listed under ``endpoints``. ``<endpoint>_date`` is the date of an outcome, and
``admission`` the date from which ``acquired`` counts; without it, or for a patient without it,
that is the patient's first radiograph. ``<endpoint>_day`` may stand for the date, in days since the
admission.

Of the other columns ``site``, ``age`` and ``sex`` are kept, and those listed under ``clinical``:
a hospital's table may have names and dates of birth, and a manifest should not.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from prognobench.cohorts.checks import no_admission
from prognobench.cohorts.coding import USUAL_ENDPOINTS
from prognobench.cohorts.cohort import Cohort, Provenance, outcome_day_column
from prognobench.cohorts.downloads import version_of
from prognobench.cohorts.outcome_options import OutcomeOptions
from prognobench.cohorts.patient_ids import join_patients, patient_columns
from prognobench.cohorts.radiographs import (
    Radiographs,
    chest_radiographs,
    cohort_of,
    days_between,
    first_days,
    image_rows,
)
from prognobench.cohorts.source import Source
from prognobench.cohorts.table_dates import dates
from prognobench.cohorts.tables import (
    find_column,
    numbers,
    numbers_where_all,
    read_table_below,
    require_columns,
)
from prognobench.errors import UserError, nearest

PATIENT_COLUMNS = ("patient_id", "PatientID", "to_patient_id")
"""Names that the column of patients has by itself."""

KEPT = ("site", "age", "sex")
"""Columns that are kept by themselves where the table has them."""


class DicomOptions(OutcomeOptions):
    """Options of the source ``dicom``.

    Attributes:
        root: The folder tree of DICOM files.
        clinical: Further columns of the table to keep.
        allow_identifying_paths: Whether the manifest may have paths that show a patient's name
            or date of birth as the DICOM headers have them.
    """

    root: Path
    clinical: tuple[str, ...] = ()
    allow_identifying_paths: bool = False


PROVENANCE = Provenance(
    source="dicom",
    title="a folder of DICOM files of one's own",
    access="the user's own, without registration",
)


def read(options: DicomOptions) -> Cohort:
    """Read a folder tree of DICOM files with its table of outcomes.

    Raises:
        UserError: When the folder, the table or a column is missing, a cell cannot be read, no
            image is left, or paths show who the patients are.
    """
    file = options.table
    patient = options.columns.get("patient_id")
    table = read_table_below(file, PATIENT_COLUMNS if patient is None else [patient])
    names = options.endpoint_names(table)
    columns = _columns(table, options, names)
    images, listed = join_patients(
        chest_radiographs(options.root), table, columns["patient_id"], file
    )
    _refuse_identifying_paths(images, options)
    starts, undated = _starts(images, listed, columns, names, file)
    if undated:
        images = images.noted(*no_admission(undated))
    rows = patient_columns(image_rows(images, starts), listed, options.clinical)
    for name in KEPT:
        if name in columns:
            cells = listed[columns[name]]
            # A site may be called 007, an age is a number.
            values = numbers_where_all(cells) if name == "age" else cells
            rows[name] = rows["patient_id"].map(values)
    for name in names:
        rows[name] = rows["patient_id"].map(options.coded(listed[columns[name]], name))
        days = _outcome_days(listed, name, columns, starts, file)
        rows[outcome_day_column(name)] = rows["patient_id"].map(days)
    provenance = Provenance(
        source="dicom",
        title=f"DICOM files of {options.root.name} with {file.name}",
        version=version_of(file),
        access=PROVENANCE.access,
    )
    endpoints = {name: options.in_words(name) for name in names}
    return cohort_of(images, rows, options.name or file.stem, endpoints, provenance)


def _columns(table: pd.DataFrame, options: DicomOptions, names: list[str]) -> dict[str, str]:
    """Return the table's columns by the names used here, those that are there."""
    timing = [column for name in names for column in (_date_column(name), outcome_day_column(name))]
    known = ["patient_id", "admission", *KEPT, *names, *timing]
    for name in options.columns:
        if name not in known:
            raise UserError(f"'columns' maps no '{name}': {nearest(name, known)}")
    usual = [find_column(table, name) for name in PATIENT_COLUMNS]
    patient = next((column for column in usual if column), PATIENT_COLUMNS[0])
    asked = {"patient_id": patient, **{name: name for name in names}, **options.columns}
    found = require_columns(table, [*asked.values(), *options.clinical], options.table)
    columns = {name: found[column] for name, column in asked.items()}
    for name in known:
        column = find_column(table, name)
        if name not in columns and column is not None:
            columns[name] = column
    for name in names:
        if outcome_day_column(name) in columns and "admission" not in columns:
            raise UserError(
                f"{options.table} has the day of the outcome '{name}' and no date of admission "
                f"that it counts from: map 'admission', or give dates as '{_date_column(name)}'"
            )
    return columns


def _date_column(endpoint: str) -> str:
    return f"{endpoint}_date"


def _refuse_identifying_paths(images: Radiographs, options: DicomOptions) -> None:
    shown = sum(header.identifying_path for header in images.headers)
    if shown and not options.allow_identifying_paths:
        raise UserError(
            f"the paths of {shown} files under {options.root} show the name or date of birth of "
            "their patient, and the manifest would have them: rename these files and folders, or "
            "set allow_identifying_paths=true"
        )


def _starts(
    images: Radiographs,
    listed: pd.DataFrame,
    columns: Mapping[str, str],
    names: list[str],
    file: Path,
) -> tuple[dict[str, datetime.date | None], int]:
    """Return the day 0 of each patient, and of how many it is an image's for want of another."""
    first: dict[str, datetime.date | None] = dict(first_days(images))
    if "admission" not in columns:
        return first, 0
    admitted = _by_patient(listed, columns["admission"], file)
    if any(outcome_day_column(name) in columns for name in names):
        return admitted, 0  # days that are numbers count from the admission alone
    lacking = [patient for patient, day in admitted.items() if day is None and first.get(patient)]
    return admitted | {patient: first[patient] for patient in lacking}, len(lacking)


def _outcome_days(
    listed: pd.DataFrame,
    endpoint: str,
    columns: Mapping[str, str],
    starts: Mapping[str, datetime.date | None],
    file: Path,
) -> Mapping[str, float | None] | pd.Series:
    if column := columns.get(_date_column(endpoint)):
        found = _by_patient(listed, column, file)
        return {patient: days_between(starts.get(patient), day) for patient, day in found.items()}
    if column := columns.get(outcome_day_column(endpoint)):
        return numbers(listed[column], column, file)
    return {}


def _by_patient(listed: pd.DataFrame, column: str, file: Path) -> dict[str, datetime.date | None]:
    return dict(zip(map(str, listed.index), dates(listed[column], column, file), strict=True))


SOURCE = Source(
    name="dicom",
    provenance=PROVENANCE,
    endpoints=USUAL_ENDPOINTS,
    options=DicomOptions,
    read=read,
)
