"""The COVID-19 Image Repository of Hannover Medical School, in its original layout.

``data.csv`` has one row an image, and the images are ``png/<image_id>.png``. Its offsets are days
relative to the exam. Here the axis is days since admission, on which a patient's outcome has one
day, whichever image it is seen from. An image may lie before day 0, and so may an outcome: the
repository dates the admission by the COVID-19 case, not by the stay.

Lab values are intervals; ``inf`` and ``-inf`` mean above and below the detection limit and stay as
they are. The day of release from intensive care is left out, since it tells the outcome.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.cohort import Cohort, Provenance, outcome_day_column
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.tables import find_column, numbers, read_table, require_columns
from prognobench.errors import UserError
from prognobench.files import file_digest

KNOWN_VERSIONS = {"f49e0d93a3162d318475a640fa3274d9d852b781c05edcd4f7055575ecc0537b": "2.0"}
"""Published versions, by the SHA-256 of ``data.csv``."""

PROVENANCE = Provenance(
    source="mhh",
    title="COVID-19 Image Repository, Hannover Medical School",
    licence="CC BY 3.0",
    citation=(
        "Winther HB, Laser H, Gerbel S, et al. COVID-19 Image Repository. figshare (2020). "
        "doi:10.6084/m9.figshare.12275009"
    ),
    url="https://doi.org/10.25835/0090041",
    access="open, without registration",
)

ENDPOINTS = {
    "icu": "admitted to intensive care",
    "mortality": "death recorded (without a record the follow-up is unknown, not survival proven)",
}

_EVENT_OFFSETS = {"icu": "icu_admission_offset", "mortality": "death_offset"}
_REQUIRED = ("patient_id", "image_id", "admission_offset", *_EVENT_OFFSETS.values(), "projection")
_TEXT = ("sex", "modality")
_EMPTY_WHEN_REDACTED = ("age", "size", "weight")
_LABS = ("crp", "d-dimer", "factor_xii", "ldh", "lymphocytes", "neutrophils", "pco2", "po2")


def read(options: FolderOptions) -> Cohort:
    """Read the repository's folder.

    Raises:
        UserError: When ``data.csv``, ``png`` or a column is missing, or a cell cannot be read.
    """
    root = options.root
    file = root / "data.csv"
    lacking = [name for name in ("data.csv", "png") if not (root / name).exists()]
    if lacking:
        raise UserError(
            f"the folder {root} lacks {' and '.join(lacking)}: give as root the folder of the "
            "COVID-19 Image Repository that has data.csv and png"
        )
    table = read_table(file)
    columns = require_columns(table, _REQUIRED, file)
    rows = pd.DataFrame({name: table[columns[name]] for name in ("image_id", "patient_id")})
    rows["path"] = "png/" + rows["image_id"] + ".png"
    rows["site"] = "MHH"
    rows["view"] = table[columns["projection"]]
    admission = numbers(table[columns["admission_offset"]], "admission_offset", file)
    rows["acquired"] = -admission
    for endpoint, offset in _EVENT_OFFSETS.items():
        days = numbers(table[columns[offset]], offset, file)
        rows[endpoint] = days.notna().astype("int64")
        rows[outcome_day_column(endpoint)] = days - admission
    for name in _TEXT:
        if column := find_column(table, name):
            rows[name] = table[column]
    values = (
        *_EMPTY_WHEN_REDACTED,
        *(f"{lab}_{part}" for lab in _LABS for part in ("offset", "val")),
    )
    for name in values:
        column = find_column(table, name)
        if column is not None and table[column].notna().any():
            rows[name] = numbers(table[column], name, file)
    provenance = replace(PROVENANCE, version=_version(file))
    cohort = assemble("mhh", rows, root, ENDPOINTS, provenance)
    return clean(_drop_contradictory_days(cohort))


def _drop_contradictory_days(cohort: Cohort) -> Cohort:
    table = cohort.table
    disagreeing: set[str] = set()
    for endpoint in ENDPOINTS:
        days = table[outcome_day_column(endpoint)].groupby(table["patient_id"]).nunique()
        disagreeing |= set(days.index[days > 1])
    return cohort.without(
        set(table.loc[table["patient_id"].isin(disagreeing), "image_id"]),
        "contradictory_days",
        "the patient's images say different things about the day of an outcome",
    )


def _version(file: Path) -> str:
    digest = file_digest(file)
    return KNOWN_VERSIONS.get(digest, f"data.csv with SHA-256 {digest[:16]}")


SOURCE = Source(
    name="mhh",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=FolderOptions,
    read=read,
)
