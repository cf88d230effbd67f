"""AIforCOVID, in both forms in which it was distributed.

* The imaging archive: ``AIforCOVID.xlsx`` with the DICOM files in ``imgs``, and of the later
  releases ``AIforCOVID_r2.xlsx`` with ``imgs_r2`` and ``AIforCOVID_r3.xlsx`` with ``imgs_r3``.
  Each release that is there is read; the paper's first release has 820 patients, all three 1,585.
* The challenge: ``TrainSet/trainClinData.xls`` with the images in ``TrainSet/TrainSet``, and the
  same for ``TestSet``. ``testClinData.xls`` may come without outcomes, beside the folders, and
  without its images, which are then counted as missing.

There is one image a patient, taken at admission (day 0), and ``ImageFile`` is the id, with or
without a suffix. The days of the outcomes are not given. A severe course includes death, so a
patient with a mild course who died has contradictory outcomes and is left out, with its count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.coding import code_endpoint
from prognobench.cohorts.cohort import Cohort, Provenance
from prognobench.cohorts.downloads import add_columns, drop_where, find_part, version_of
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.tables import find_column, read_table, require_columns
from prognobench.errors import UserError

PROVENANCE = Provenance(
    source="aiforcovid",
    title="AIforCOVID Imaging Archive",
    licence="data use agreement, no redistribution",
    citation=(
        "Soda P, D'Amico NC, Tessadori J, et al. AIforCOVID: Predicting the clinical outcomes in "
        "patients with COVID-19 applying AI to chest-X-rays. An Italian multicentre study. Medical "
        "Image Analysis 74:102216 (2021). doi:10.1016/j.media.2021.102216"
    ),
    url="https://aiforcovid.radiomica.it",
    access="registration at the portal",
)

ENDPOINTS = {
    "severity": (
        "severe course: non-invasive ventilation, intensive care or death, against home isolation "
        "or hospital without ventilatory support"
    ),
    "mortality": "died",
}

_SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg")
# fmt: off
_CLINICAL = (
    "PositivityAtAdmission", "Temp_C", "DaysFever", "Cough", "DifficultyInBreathing", "WBC",
    "RBC", "CRP", "Fibrinogen", "Glucose", "PCT", "LDH", "INR", "D_dimer", "Ox_percentage",
    "PaO2", "SaO2", "PaCO2", "pH", "CardiovascularDisease", "IschemicHeartDisease",
    "AtrialFibrillation", "HeartFailure", "Ictus", "HighBloodPressure", "Diabetes", "Dementia",
    "BPCO", "Cancer", "ChronicKidneyDisease", "RespiratoryFailure", "Obesity", "Position",
)
# fmt: on
_RENAMED = {"age": "Age", "sex": "Sex"}


@dataclass(frozen=True)
class _Release:
    """A table with the folder of its images beside it.

    Attributes:
        table: Name of the table.
        images: Name of the folder.
        outcomes: Columns of outcomes that the table must have.
    """

    table: str
    images: str
    outcomes: tuple[str, ...] = ("Prognosis",)


_ARCHIVE = (
    _Release("AIforCOVID.xlsx", "imgs"),
    _Release("AIforCOVID_r2.xlsx", "imgs_r2"),
    _Release("AIforCOVID_r3.xlsx", "imgs_r3"),
)
_CHALLENGE = (
    _Release("trainClinData.xls", "TrainSet"),
    _Release("completeTestClinData.xls", "TestSet"),
    _Release("testClinData.xls", "TestSet", outcomes=()),
)


def read(options: FolderOptions) -> Cohort:
    """Read a folder of either distribution.

    Raises:
        UserError: When tables, folders or columns are missing, both distributions are there, or a
            cell cannot be read.
    """
    releases = _releases(options.root)
    rows = pd.concat(
        [_rows(options.root, file, release) for file, release in releases], ignore_index=True
    )
    contradictory = rows["severity"].eq(0).fillna(False) & rows["mortality"].eq(1).fillna(False)
    endpoints = {name: words for name, words in ENDPOINTS.items() if rows[name].notna().any()}
    untold = [name for name in ENDPOINTS if name not in endpoints]
    provenance = replace(PROVENANCE, version=version_of(*(file for file, _ in releases)))
    cohort = assemble("aiforcovid", rows.drop(columns=untold), options.root, endpoints, provenance)
    cohort = drop_where(
        cohort,
        contradictory.set_axis(rows["image_id"]),
        "contradictory_outcomes",
        "Prognosis is MILD and Death is 1, while a severe course includes death",
    )
    return clean(cohort)


def _releases(root: Path) -> list[tuple[Path, _Release]]:
    found = {
        release.table: (file, release)
        for release in (*_ARCHIVE, *_CHALLENGE)
        if (file := find_part(root, release.table))
    }
    if "completeTestClinData.xls" in found:  # the same patients, with their outcomes
        found.pop("testClinData.xls", None)
    kinds = [[r.table for r in kind if r.table in found] for kind in (_ARCHIVE, _CHALLENGE)]
    if not found:
        raise UserError(
            f"the folder {root} lacks AIforCOVID.xlsx with the folder imgs, and trainClinData.xls "
            "with the folder TrainSet: give as root the folder of one of these downloads"
        )
    if all(kinds):
        raise UserError(
            f"the folder {root} has the same patients twice, in {kinds[0][0]} and in {kinds[1][0]}"
            ": give as root the folder of one of them"
        )
    lacking = [
        f"{release.images} beside {release.table}"
        for file, release in found.values()
        if release.outcomes and not _folder(file, release).is_dir()
    ]
    if lacking:
        raise UserError(
            f"the folder {root} lacks {' and '.join(lacking)}: unpack the images of each release "
            "beside its table"
        )
    return list(found.values())


def _rows(root: Path, file: Path, release: _Release) -> pd.DataFrame:
    table = read_table(file)
    columns = require_columns(table, ["ImageFile", "Hospital", *release.outcomes], file)
    folder = _folder(file, release)
    below = folder.relative_to(root).as_posix()
    ids = table[columns["ImageFile"]].map(_stem, na_action="ignore")
    files = _files_by_id(folder)
    rows = pd.DataFrame(
        {
            "image_id": ids,
            "patient_id": ids,
            "path": f"{below}/" + ids.map(lambda name: files.get(name, name), na_action="ignore"),
            "site": table[columns["Hospital"]].str.strip().str.upper(),
            "acquired": 0.0,
        }
    )
    prognosis, death = (find_column(table, name) for name in ("Prognosis", "Death"))
    nothing = pd.Series(pd.NA, index=table.index, dtype="Int64")
    rows["severity"] = (
        code_endpoint(table[prognosis], prognosis, file, positive=("SEVERE",), negative=("MILD",))
        if prognosis
        else nothing
    )
    rows["mortality"] = code_endpoint(table[death], death, file) if death else nothing
    return add_columns(rows, table, {**_RENAMED, **dict(zip(_CLINICAL, _CLINICAL, strict=True))})


def _folder(file: Path, release: _Release) -> Path:
    """Return the folder of a table's images: beside it, or one deeper where that has none."""
    beside = file.parent / release.images
    inside = beside / release.images
    return inside if inside.is_dir() else beside


def _stem(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in _SUFFIXES else name


def _files_by_id(folder: Path) -> dict[str, str]:
    listed = folder.iterdir() if folder.is_dir() else ()
    names = sorted(path.name for path in listed if path.suffix.lower() in _SUFFIXES)
    return {_stem(name): name for name in reversed(names)}


SOURCE = Source(
    name="aiforcovid",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
