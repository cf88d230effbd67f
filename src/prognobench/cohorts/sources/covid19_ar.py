"""COVID-19-AR, a rural population of Arkansas, as The Cancer Imaging Archive gives it.

The images are ``manifest-*/COVID-19-AR/<PatientID>/<study>/<series>/*.dcm``; the workbook
``COVID_19_AR_ClinicalCorrelates_July202020.xlsx`` has a title in its first row and the columns'
names in its second. Dates are shifted, and there is none of the outcomes: ``acquired`` counts from
a patient's first radiograph, and images cannot be told to be before an outcome.

What was found after admission (number of admissions to intensive care, haemodialysis after the
diagnosis) is left out, and so is the ZIP code.
"""

from __future__ import annotations

from dataclasses import replace

from prognobench.cohorts.coding import code_endpoint
from prognobench.cohorts.cohort import Cohort, Provenance
from prognobench.cohorts.collection_files import collection_table
from prognobench.cohorts.downloads import version_of
from prognobench.cohorts.patient_ids import join_patients, patient_columns
from prognobench.cohorts.radiographs import (
    chest_radiographs,
    cohort_of,
    first_days,
    image_rows,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.tables import read_table_below, require_columns

PROVENANCE = Provenance(
    source="covid19_ar",
    title="COVID-19-AR, University of Arkansas for Medical Sciences",
    licence="CC BY 4.0",
    citation=(
        "Desai S, Baghal A, Wongsurawat T, et al. Chest Imaging with Clinical and Genomic "
        "Correlates Representing a Rural COVID-19 Positive Population. The Cancer Imaging Archive "
        "(2020). doi:10.7937/tcia.2020.py71-5978"
    ),
    url="https://doi.org/10.7937/tcia.2020.py71-5978",
    access="open, without registration (NBIA Data Retriever)",
)

ENDPOINTS = {
    "icu": "admitted to intensive care (its day is not published)",
    "mortality": "died (the day is not published)",
}

TABLES = ("COVID_19_AR_ClinicalCorrelates*.xlsx",)
_PREFIX = "COVID-19-AR-"
_PATIENT = "PATIENT_ID"
_OUTCOMES = {"icu": "ICU Admit", "mortality": "MORTALITY"}
_CLINICAL = (
    "age",
    "sex",
    "race",
    "latest BMI",
    "latest weight",
    "latest height",
    "tuberculosis",
    "systemic lupus erythmatosus",
    "rheumatoid arthritis",
    "extensive burns",
    "asplenia",
    "hyposplenia",
    "measles",
    "cytomegalovirus",
    "chicken pox",
    "herpes zoster",
    "malnutrition",
    "current pregnant",
    "chronic kidney disease",
    "diabetes type I",
    "diabetes type II",
    "transplant",
    "hemodialysis pre diagnosis",
    "cancer",
)


def read(options: FolderOptions) -> Cohort:
    """Read the folder of the download.

    Raises:
        UserError: When the workbook, the images or a column are missing, or a cell cannot be read.
    """
    file = collection_table(options.root, TABLES)
    needed = [_PATIENT, *_OUTCOMES.values()]
    table = read_table_below(file, needed)
    columns = require_columns(table, needed, file)
    images, listed = join_patients(
        chest_radiographs(options.root), table, columns[_PATIENT], file, _PREFIX
    )
    rows = patient_columns(image_rows(images, first_days(images)), listed, _CLINICAL)
    for endpoint, name in _OUTCOMES.items():
        rows[endpoint] = rows["patient_id"].map(code_endpoint(listed[columns[name]], name, file))
    provenance = replace(PROVENANCE, version=version_of(file))
    return cohort_of(images, rows, PROVENANCE.source, ENDPOINTS, provenance)


SOURCE = Source(
    name=PROVENANCE.source,
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
