"""COVID-19-NY-SBU, Stony Brook University, as The Cancer Imaging Archive gives it.

The images are ``manifest-*/COVID-19-NY-SBU/<PatientID>/<study>/<series>/*.dcm``; the table
``deidentified_overlap_tcia.csv.cleaned.csv_20210806.csv`` has one row a patient, and one column
twice. Dates of images and visits are shifted alike: ``acquired`` counts from the start of the
visit, and images from before it are left out. Days of outcomes are not published.

A fifth of the radiographs, about one study a patient, is dated 1900-12-31, the first day of the
shifted axis. The documentation does not say why. They are taken at their word: of the day of a
visit that began then, and of before one that began later. The participant flow tells their number.

Of the 131 columns those are kept that describe the patient at presentation. What happened during
the stay is left out, since it tells the outcome, and so are laboratory values and vital signs,
since the table does not say when they were taken.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from prognobench.cohorts.coding import code_endpoint
from prognobench.cohorts.cohort import Cohort, Provenance
from prognobench.cohorts.collection_files import collection_table
from prognobench.cohorts.downloads import version_of
from prognobench.cohorts.patient_ids import join_patients, patient_columns
from prognobench.cohorts.radiographs import (
    chest_radiographs,
    cohort_of,
    days_between,
    image_rows,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.table_dates import dates
from prognobench.cohorts.tables import find_column, read_rows, require_columns, table_of

NAME = "covid19_ny_sbu"
"""Name of the cohort in results."""

PROVENANCE = Provenance(
    source="ny_sbu",
    title="COVID-19-NY-SBU, Stony Brook University",
    licence="CC BY 4.0",
    citation=(
        "Saltz J, Saltz M, Prasanna P, et al. Stony Brook University COVID-19 Positive Cases. "
        "The Cancer Imaging Archive (2021). doi:10.7937/tcia.bbag-2923"
    ),
    url="https://doi.org/10.7937/tcia.bbag-2923",
    access="open, without registration (NBIA Data Retriever; 216 GB of radiographs)",
)

ENDPOINTS = {
    "mortality": "died during the visit (the day is not published)",
    "icu": "in intensive care during the visit (the day is not published)",
}

TABLES = ("deidentified_overlap_tcia*.csv",)
_DICTIONARY = "*template*"
_PATIENT, _VISIT = "to_patient_id", "visit_start_datetime"
_STATUS, _ICU = "last.status", "is_icu"
_CLINICAL = (
    "age.splits",
    "days_prior_sx",
    "htn_v",
    "dm_v",
    "cad_v",
    "hf_ef_v",
    "ckd_v",
    "malignancies_v",
    "copd_v",
    "other_lung_disease_v",
    "acei_v",
    "arb_v",
    "smoking_status_v",
    "cough_v",
    "dyspnea_admission_v",
    "nausea_v",
    "vomiting_v",
    "diarrhea_v",
    "abdominal_pain_v",
    "fever_v",
)
_AXIS_BEGINS = datetime.date(1900, 12, 31)
_GENDER, _SEXES = "gender_concept_name", {"MALE": "M", "FEMALE": "F"}


def read(options: FolderOptions) -> Cohort:
    """Read the folder of the download.

    Raises:
        UserError: When the table, the images or a column are missing, or a cell cannot be read.
    """
    file = collection_table(options.root, TABLES, without=_DICTIONARY)
    table = table_of(_numbered(read_rows(file)), file)
    columns = require_columns(table, [_PATIENT, _VISIT, _STATUS, _ICU], file)
    images, listed = join_patients(chest_radiographs(options.root), table, columns[_PATIENT], file)
    starts = dict(zip(listed.index, dates(listed[columns[_VISIT]], _VISIT, file), strict=True))
    begun = [header for header in images.headers if header.date == _AXIS_BEGINS]
    in_visit = sum(starts[header.patient_id] == header.date for header in begun)
    images = images.noted(
        "first_day_of_axis",
        f"images dated {_AXIS_BEGINS}, the first day of the shifted dates: {len(begun)}, of which "
        f"{in_visit} are of a visit that began on that day; the date is taken as it stands",
    )
    images = images.without(
        [
            header
            for header in images.headers
            if (days_between(starts[header.patient_id], header.date) or 0) < 0
        ],
        "before_visit",
        "the image was taken before the day on which the visit began",
    )
    rows = patient_columns(image_rows(images, starts), listed, _CLINICAL)
    if column := find_column(listed, _GENDER):
        rows["sex"] = rows["patient_id"].map(listed[column].map(_SEXES))
    status = code_endpoint(listed[columns[_STATUS]], _STATUS, file, ["deceased"], ["discharged"])
    rows["mortality"] = rows["patient_id"].map(status)
    rows["icu"] = rows["patient_id"].map(code_endpoint(listed[columns[_ICU]], _ICU, file))
    provenance = replace(PROVENANCE, version=version_of(file))
    return cohort_of(images, rows, NAME, ENDPOINTS, provenance)


def _numbered(rows: list[list[Any]]) -> list[list[Any]]:
    """Tell the columns of one name apart: the second ``sodium`` becomes ``sodium.1``."""
    names = rows[0] if rows else []
    before = [names[:at].count(name) for at, name in enumerate(names)]
    numbered = [
        f"{name}.{n}" if n and name else name for name, n in zip(names, before, strict=True)
    ]
    return [numbered, *rows[1:]]


SOURCE = Source(
    name=PROVENANCE.source,
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
