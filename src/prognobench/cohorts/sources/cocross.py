"""CoCross: intensive-care patients with COVID-19 of two Greek hospitals.

Two layouts are read:

* the database: ``CoCrossDatabase.xlsx``, whose sheet ``Data`` has several rows a patient, with the
  images of a patient in ``<ID>/XR``;
* an export of it: a table (.xlsx or .csv) with ``ID`` and ``ICU Outcome``, and the images in
  ``imgs``, named by the ``ID``, with more behind it where a patient has several.

The database gives no days, and its radiographs were taken during the stay in intensive care. A
patient's images are in the order of their names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.coding import code_endpoint
from prognobench.cohorts.cohort import Cohort, Provenance
from prognobench.cohorts.downloads import (
    add_columns,
    drop_where,
    find_part,
    note_without_image,
    version_of,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.tables import read_table, require_columns
from prognobench.errors import UserError

PROVENANCE = Provenance(
    source="cocross",
    title="CoCross, COVID-19 patients in intensive care of two Greek hospitals",
    licence="as agreed with the authors",
    citation=(
        "Kilintzis V, Beredimas N, Kaimakamis E, et al. CoCross: An ICT Platform Enabling "
        "Monitoring Recording and Fusion of Clinical Information Chest Sounds and Imaging of "
        "COVID-19 ICU Patients. Healthcare 10:276 (2022). doi:10.3390/healthcare10020276"
    ),
    url="https://doi.org/10.3390/healthcare10020276",
    access="on request to the authors; no registration and no public download is known",
)

ENDPOINTS = {"mortality": "died in intensive care"}

_DATABASE = "CoCrossDatabase.xlsx"
_SHEET = "Data"
_EXPORT = "imgs"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_CLINICAL = {
    "age": "Age",
    "sex": "Sex",
    "SOFA": "SOFA",
    "APACHE II": "APACHE II",
    "Charlson Comorbidity index": "Charlson Comorbidity index",
}


def read(options: FolderOptions) -> Cohort:
    """Read the folder of the database or of an export.

    Raises:
        UserError: When the table, the images or a column is missing, or a cell cannot be read.
    """
    file = _table_file(options.root)
    table = read_table(file, sheet=_SHEET if file.name == _DATABASE else "")
    columns = require_columns(table, ["ID", "ICU Outcome"], file)
    table = table[table[columns["ID"]].notna()]
    listed = table.assign(
        mortality=code_endpoint(
            table[columns["ICU Outcome"]], "ICU Outcome", file, ("Death",), ("Alive",)
        )
    ).groupby(columns["ID"])
    first = listed.first()  # of each column what the patient's first row with anything has
    outcomes = listed["mortality"].nunique()
    images = _images(file.parent, list(first.index))
    rows = pd.DataFrame(images, columns=["patient_id", "path"])
    own = first.reindex(rows["patient_id"]).set_axis(rows.index)
    rows["mortality"] = own["mortality"].astype("Int64")
    rows = add_columns(rows, own, _CLINICAL)
    provenance = replace(PROVENANCE, version=version_of(file))
    cohort = assemble("cocross", rows, file.parent, ENDPOINTS, provenance)
    cohort = note_without_image(cohort, set(first.index) - set(rows["patient_id"]))
    patients = cohort.table.set_index("image_id")["patient_id"]
    cohort = drop_where(
        cohort,
        ~patients.isin(first.index),
        "not_in_table",
        "the patient is not in the table of outcomes",
    )
    cohort = drop_where(
        cohort,
        patients.isin(outcomes.index[outcomes > 1]),
        "contradictory_outcomes",
        "the patient's rows of the table say different things about the outcome",
    )
    return clean(cohort)


def _table_file(root: Path) -> Path:
    if file := find_part(root, _DATABASE):
        return file
    exported = find_part(root, _EXPORT)
    folder = exported.parent if exported else root
    tables = [
        path
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() in {".xlsx", ".csv"} and not path.name.startswith("~")
    ]
    if exported and len(tables) == 1:
        return tables[0]
    if exported and tables:
        names = " and ".join(path.name for path in tables)
        raise UserError(f"the folder {folder} has several tables, {names}: leave one of them there")
    lacking = f"a table beside {_EXPORT}" if exported else f"{_DATABASE}, and {_EXPORT}"
    raise UserError(
        f"the folder {root} lacks {lacking}: give as root the folder that has {_DATABASE} and the "
        f"patients' folders, or that of an export with a table and {_EXPORT}"
    )


def _images(folder: Path, listed: list[str]) -> list[tuple[str, str]]:
    """Return the patient and the path of each image."""
    if (folder / _EXPORT).is_dir():
        files = [path for path in sorted((folder / _EXPORT).iterdir()) if path.is_file()]
        found = [(_patient(path.stem, listed), path) for path in files]
    else:
        found = [(path.parent.parent.name, path) for path in sorted(folder.glob("*/XR/*"))]
    images = [
        (patient, path.relative_to(folder).as_posix())
        for patient, path in found
        if path.suffix.lower() in _SUFFIXES
    ]
    if not images:
        raise UserError(
            f"the folder {folder} has no image ({', '.join(_SUFFIXES)}), neither in <ID>/XR nor in "
            f"{_EXPORT}: unpack the images beside the table"
        )
    return images


def _patient(stem: str, listed: list[str]) -> str:
    """Return the ID that a file's name is or begins with, or the name where there is none."""
    begins = [own for own in listed if re.match(re.escape(own) + r"([_\-. ]|$)", stem)]
    return max(begins, key=len, default=stem)


SOURCE = Source(
    name="cocross",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
