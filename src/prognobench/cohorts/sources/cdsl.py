"""CDSL, the COVID Data for Shared Learning of HM Hospitales, as PhysioNet gives it.

``patient_01.csv`` has one row a patient, ``CDSL-<version>-dicom-metadata.csv`` one row an image,
which is ``IMAGES/<patient_group_folder_id>/<patient_folder_id>/<study_id>/<image_id>.jpg``.

Days count from the admission to hospital. An image is of the stay when it was taken from the visit
to the emergency department, or else from the admission, until the discharge. Of the clinical
columns those of the first measurements in the emergency department are kept, where 0 stands for
not measured; what tells of the later course, such as ventilation, is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.cohort import Cohort, Provenance, outcome_day_column
from prognobench.cohorts.downloads import (
    drop_unknown_view,
    drop_where,
    note_left_out,
    note_without_image,
    version_of,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.table_dates import day_numbers
from prognobench.cohorts.tables import (
    UTF_8,
    find_column,
    fold,
    is_missing,
    numbers,
    numbers_where_all,
    quote_some,
    read_table,
    require_columns,
)
from prognobench.errors import UserError

PROVENANCE = Provenance(
    source="cdsl",
    title="COVID Data for Shared Learning (CDSL), HM Hospitales",
    licence="PhysioNet data use agreement",
    citation=(
        "Ritoré Á, Oprescu AM, Estirado Bronchalo A, Armengol de la Hoz MÁ. COVID Data for Shared "
        "Learning (CDSL): A comprehensive, multimodal COVID-19 dataset from HM Hospitales (version "
        "1.0.0). PhysioNet (2024). doi:10.13026/1176-6c44"
    ),
    url="https://doi.org/10.13026/1176-6c44",
    access="registration: a PhysioNet account with credentials, and a request to the data's owner",
)

ENDPOINTS = {"mortality": "died in hospital", "icu": "admitted to intensive care"}

_PATIENTS = "patient_01.csv"
_IMAGES = "CDSL-*dicom-metadata.csv"
_ENCODINGS = (UTF_8, "latin-1")
_DEATH = ("death", "fallecimiento")
"""Where a discharge led to, in the PhysioNet version and in the Spanish one before it."""

_STAY = ("admission", "arrival", "discharge")
_FOLDERS = ("patient_group_folder_id", "patient_folder_id", "study_id")
_IMAGE_COLUMNS = (
    "patient_id",
    *_FOLDERS,
    "image_id",
    "StudyDate",
    "Modality",
    "ViewPosition",
)
_RADIOGRAPHS = ("CR", "DX")
_CHEST = ("CHEST", "TORAX", "THORAX")
_FIRST_MEASURED = (
    "temp_first_emerg",
    "hr_first_emerg",
    "sat_02_first_emerg",
    "bp_max_first_emerg",
    "bp_min_first_emerg",
)


def read(options: FolderOptions) -> Cohort:
    """Read the folder of the PhysioNet project.

    Raises:
        UserError: When a table, ``IMAGES`` or a column is missing, or a cell cannot be read.
    """
    root = options.root
    patient_file, image_file = _files(root)
    patients = _patients(patient_file)
    several = set(patients.index[patients.index.duplicated()])
    by_patient = patients[~patients.index.duplicated()]
    everything = _images(image_file)
    images = everything[everything["Modality"].isin(_RADIOGRAPHS)].reset_index(drop=True)
    own = by_patient.reindex(images["patient_id"]).set_axis(images.index)
    taken = day_numbers(images["StudyDate"], "StudyDate", image_file)
    folders = images[_FOLDERS[0]].str.cat(images[list(_FOLDERS[1:])], "/")
    rows = own.drop(columns=list(_STAY)).assign(
        image_id=images["study_id"] + "/" + images["image_id"],
        patient_id=images["patient_id"],
        path="IMAGES/" + folders + "/" + images["image_id"] + ".jpg",
        view=images["ViewPosition"],
        acquired=taken - own["admission"],
    )
    provenance = replace(PROVENANCE, version=version_of(patient_file, image_file))
    cohort = assemble("cdsl", rows, root, ENDPOINTS, provenance)
    with_image = set(everything["patient_id"].dropna())
    cohort = note_without_image(cohort, set(patients.index) - with_image)
    cohort = note_left_out(
        cohort,
        "not_radiograph",
        "the modality is not CR or DX",
        len(everything) - len(images),
        len(with_image - set(images["patient_id"])),
    )
    rules = [
        (
            images["BodyPart"].map(_is_no_chest),
            "not_chest",
            "the body part is known and is not the chest",
        ),
        (
            ~images["patient_id"].isin(by_patient.index),
            "not_in_table",
            "the patient is not in the table of outcomes",
        ),
        (
            images["patient_id"].isin(several),
            "several_rows",
            "the table has several rows of the patient that do not say the same",
        ),
        (
            (taken < own["arrival"]) | (taken > own["discharge"]),
            "outside_stay",
            "the image was taken before the stay in hospital or after it",
        ),
    ]
    for leaving, rule, reason in rules:
        cohort = drop_where(cohort, leaving.set_axis(rows["image_id"]), rule, reason)
    return clean(drop_unknown_view(cohort))


def _images(file: Path) -> pd.DataFrame:
    """Return the needed columns of the table of images, which lists each slice of each CT."""
    wanted = [*_IMAGE_COLUMNS, "BodyPart", "BodyPartExamined"]
    folded = {fold(name) for name in wanted}
    for encoding in _ENCODINGS:
        try:
            table = pd.read_csv(
                file,
                usecols=lambda name: fold(name) in folded,
                dtype="str",
                encoding=encoding,
                skipinitialspace=True,
            )
            break
        except UnicodeDecodeError:
            continue
        except (ValueError, pd.errors.ParserError) as error:
            raise UserError(
                f"the table {file} is no valid CSV: take it as it was downloaded"
            ) from error
    columns = require_columns(table, _IMAGE_COLUMNS, file)
    images = pd.DataFrame({name: table[column] for name, column in columns.items()})
    part = find_column(table, "BodyPart") or find_column(table, "BodyPartExamined")
    return images.assign(BodyPart=table[part] if part else None)


def _files(root: Path) -> tuple[Path, Path]:
    found = sorted(root.glob(_IMAGES))
    lacking = [name for name in (_PATIENTS, "IMAGES") if not (root / name).exists()]
    lacking += [] if found else ["CDSL-1.0.0-dicom-metadata.csv"]
    if lacking:
        raise UserError(
            f"the folder {root} lacks {' and '.join(lacking)}: give as root the folder of the "
            "version of CDSL that has them"
        )
    return root / _PATIENTS, found[-1]


def _patients(file: Path) -> pd.DataFrame:
    """Return each different row of the table of patients, by ``patient_id``."""
    table = read_table(file, encodings=_ENCODINGS).drop_duplicates()
    dated = ("admission_d_inpat", "discharge_date", "icu_date_in")
    columns = require_columns(table, ["patient_id", *dated, "destin_discharge"], file)
    admission, discharge, intensive = (
        day_numbers(table[columns[name]], name, file) for name in dated
    )
    emergency = find_column(table, "admission_date_emerg")
    arrived = day_numbers(table[emergency], emergency, file) if emergency else admission
    mortality = _deaths(table[columns["destin_discharge"]], file)
    rows = pd.DataFrame(
        {
            "admission": admission,
            "arrival": np.fmin(admission, arrived),
            "discharge": discharge,
            "mortality": mortality,
            outcome_day_column("mortality"): (discharge - admission).where(mortality.eq(1)),
            "icu": intensive.notna().astype("Int64"),
            outcome_day_column("icu"): intensive - admission,
        }
    )
    for name in ("age", "sex"):
        if column := find_column(table, name):
            rows[name] = numbers_where_all(table[column])
    for name in _FIRST_MEASURED:
        if column := find_column(table, name):
            cells = table[column].str.replace(",", ".")
            rows[name] = numbers(cells, name, file).replace(0, np.nan)
    return rows.set_axis(table[columns["patient_id"]])


def _deaths(cells: pd.Series, file: Path) -> pd.Series:
    codes = [None if is_missing(cell) else int(cell.casefold() in _DEATH) for cell in cells]
    if not any(codes):
        raise UserError(
            f"the column 'destin_discharge' of {file} has no 'Death' or 'Fallecimiento', but "
            f"{quote_some(cells.dropna(), 3) or 'nothing'}: take the table as it was downloaded"
        )
    return pd.Series(codes, index=cells.index, dtype="Int64")


def _is_no_chest(part: object) -> bool:
    return isinstance(part, str) and not any(word in part.upper() for word in _CHEST)


SOURCE = Source(
    name="cdsl",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
