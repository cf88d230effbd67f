"""The covid-chestxray-dataset of Cohen et al., in its original layout.

``metadata.csv`` has one row an image, ``<folder>/<filename>``, taken from publications and from
other collections. Days are those of the column ``offset``: since the first symptoms or since
admission, whichever the publication gave.

Whether a patient went to intensive care is told without its day; what is told is whether the
patient was there when an image was taken (``in_icu``). *Not there* does not mean *not yet*: of the
35 such images of admitted patients whose admission and release other tables give, 21 were taken
after the release. So the day of the outcome is the last one on which the patient was not yet
there, with an image of a later day on which the patient was; where there are no two such images
the day is unknown. The same holds for ``intubated`` and ``intubation_present``. Death has no day,
and no image is after it.

``Would have been stated`` and ``Not visible`` stand for what is not known. Columns that tell of
the course after the image (extubation, supplemental oxygen at any time) are left out.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.coding import code_endpoint
from prognobench.cohorts.cohort import LUNG_MASK, Cohort, Provenance, outcome_day_column
from prognobench.cohorts.downloads import (
    add_columns,
    drop_unknown_view,
    drop_where,
    require_parts,
    version_of,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.tables import numbers, read_table, require_columns

PROVENANCE = Provenance(
    source="cohen",
    title="COVID-19 Image Data Collection (covid-chestxray-dataset)",
    licence="of each image in the column license; the tables CC BY-NC-SA 4.0",
    citation=(
        "Cohen JP, Morrison P, Dao L, Roth K, Duong TQ, Ghassemi M. COVID-19 Image Data "
        "Collection: Prospective Predictions Are the Future. arXiv:2006.11988 (2020)"
    ),
    url="https://github.com/ieee8023/covid-chestxray-dataset",
    access="open, without registration",
)

ENDPOINTS = {
    "mortality": "did not survive",
    "icu": "was in intensive care at any time of the illness",
    "intubation": "was intubated or ventilated at any time of the illness",
}

_COLUMNS = {"mortality": "survival", "icu": "went_icu", "intubation": "intubated"}
_AT_THE_IMAGE = {"icu": "in_icu", "intubation": "intubation_present"}
_UNKNOWN = ("would have been stated", "not visible")
_CLINICAL = (
    "age",
    "sex",
    "finding",
    "temperature",
    "pO2_saturation",
    "leukocyte_count",
    "neutrophil_count",
    "lymphocyte_count",
    "license",
    "url",
)


class CohenOptions(FolderOptions):
    """Options of the source ``cohen``.

    Attributes:
        finding: A finding that the images kept must have, such as ``COVID-19``; by default all
            are kept.
        masks: Folder below the root of lung masks, each ``<name of the image>_mask.png``; images
            without one have none.
    """

    finding: str = ""
    masks: str = "annotations/lungVAE-masks"


def read(options: CohenOptions) -> Cohort:
    """Read the dataset's folder.

    Raises:
        UserError: When ``metadata.csv``, ``images`` or a column is missing, or a cell cannot be
            read.
    """
    parts = require_parts(
        options.root,
        ["metadata.csv", "images"],
        "give as root the folder of the covid-chestxray-dataset that has metadata.csv and images",
    )
    file = parts["metadata.csv"]
    table = read_table(file)
    names = ("patientid", "offset", "finding", "view", "modality", "location", "folder", "filename")
    columns = require_columns(table, [*names, *_COLUMNS.values(), *_AT_THE_IMAGE.values()], file)
    rows = pd.DataFrame(
        {
            "image_id": table[columns["filename"]],
            "patient_id": table[columns["patientid"]],
            "path": table[columns["folder"]] + "/" + table[columns["filename"]],
            "site": table[columns["location"]],
            "view": table[columns["view"]].replace("?", None),
            "acquired": numbers(table[columns["offset"]], "offset", file),
        }
    )

    def coded(column: str, event: str, other: str) -> pd.Series:
        cells = table[columns[column]]
        known = cells.where(~cells.str.strip().str.casefold().isin(_UNKNOWN))
        return code_endpoint(known, column, file, positive=(event,), negative=(other,))

    rows["mortality"] = coded("survival", "N", "Y")
    for endpoint, column in _AT_THE_IMAGE.items():
        rows[endpoint] = coded(_COLUMNS[endpoint], "Y", "N")
        rows[outcome_day_column(endpoint)] = _last_day_without(rows, coded(column, "Y", "N"))
    rows = add_columns(rows, table, {name: name for name in _CLINICAL})
    masks = [_mask(file.parent, options.masks, str(name)) for name in rows["image_id"]]
    if any(masks):
        rows[LUNG_MASK] = masks
    provenance = replace(PROVENANCE, version=version_of(file))
    cohort = assemble("cohen", rows, file.parent, ENDPOINTS, provenance)
    modality = table[columns["modality"]].set_axis(rows["image_id"])
    cohort = drop_where(
        cohort,
        modality.str.casefold().ne("x-ray"),
        "not_radiograph",
        "the modality is not X-ray",
    )
    if options.finding:
        findings = table[columns["finding"]].set_axis(rows["image_id"])
        cohort = drop_where(
            cohort,
            ~findings.map(lambda words: _names_finding(words, options.finding)).astype(bool),
            "other_finding",
            f"the finding is not {options.finding}",
        )
    return clean(drop_unknown_view(cohort))


def _mask(root: Path, folder: str, image: str) -> str | None:
    path = f"{folder}/{Path(image).stem}_mask.png"
    return path if (root / path).is_file() else None


def _last_day_without(rows: pd.DataFrame, state: pd.Series) -> pd.Series:
    """Return, for each image, its patient's last day that was before the first day in a state."""
    patients, days = rows["patient_id"], rows["acquired"]
    first_with = days.where(state.eq(1).fillna(False)).groupby(patients).transform("min")
    before = state.eq(0).fillna(False) & (days < first_with)
    return days.where(before).groupby(patients).transform("max")


def _names_finding(words: object, finding: str) -> bool:
    # Later versions are hierarchical (Pneumonia/Viral/COVID-19), earlier ones list with commas.
    parts = re.split(r"[/,]", words) if isinstance(words, str) else []
    return finding.strip().casefold() in {part.strip().casefold() for part in parts}


SOURCE = Source(
    name="cohen",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=CohenOptions,
    read=read,
)
