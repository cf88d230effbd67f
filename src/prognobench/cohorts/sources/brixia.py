"""BrixIA: chest X-rays of COVID-19 patients with the Brixia score, in both published forms.

* The dataset of Brescia: ``metadata_global_v2.csv`` with the DICOM files in ``dicom_clean`` and
  the score that the radiologist on duty gave (reader ``clinical``); of 150 images
  ``metadata_consensus_v1.csv`` has the mode of five experts (reader ``consensus``).
* The annotations of images of the covid-chestxray-dataset: ``public-annotations.csv`` with the
  scores of a ``senior`` and a ``junior`` reader; the images and their patients are those of the
  folder given as ``cohen``.

Six zones, A to C of the right lung and D to F of the left from top to bottom, are scored from 0 to
3; their sum, 0 to 18, is kept as ``severity_score`` with the zones as ``severity_score_a`` to
``severity_score_f`` and the sums of all readers as ``severity_score_<reader>``. The scores are no
predictors: they are what the endpoint is made of.

The endpoint belongs to the subject: the chosen reader's score reached the threshold on any image.
Its day is that of the first such image, counted from the subject's first image, so that images
after it are left out by default. Where an image of a subject has no date, the order is unknown,
and of that subject only the images with its highest score are kept: the label is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.cohort import (
    Cohort,
    Provenance,
    outcome_day_column,
    outcome_score_column,
)
from prognobench.cohorts.downloads import (
    add_columns,
    drop_where,
    find_part,
    require_parts,
    version_of,
)
from prognobench.cohorts.outcome_kinds import OtherOutcome
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.table_dates import day_numbers
from prognobench.cohorts.tables import (
    find_column,
    numbers,
    quote_some,
    read_table,
    require_columns,
)
from prognobench.errors import UserError, nearest

PROVENANCE = Provenance(
    source="brixia",
    title="BrixIA COVID-19 Dataset, and Brixia scores of the covid-chestxray-dataset",
    licence="research use agreement, no redistribution; the public annotations CC BY-NC-SA 4.0",
    citation=(
        "Signoroni A, Savardi M, Benini S, et al. BS-Net: learning COVID-19 pneumonia severity on "
        "a large chest X-ray dataset. Medical Image Analysis 71:102046 (2021). "
        "doi:10.1016/j.media.2021.102046"
    ),
    url="https://brixia.github.io",
    access="registration for the dataset; the public annotations are open",
)

ZONES = "ABCDEF"
HIGHEST = 3 * len(ZONES)
"""The highest score: 3 in each zone."""

_IN_WORDS = "the subject's Brixia score reached {} of 18 on any image"

ENDPOINTS = {"severity": _IN_WORDS.format(9)}

OTHERS = {
    outcome_score_column("severity"): OtherOutcome(
        "ordinal", "Brixia score of the image, 0 to 18", HIGHEST
    )
}

_METADATA = ("metadata_global_v2.csv", "metadata_global_v1.csv")
_CONSENSUS = "metadata_consensus_v1.csv"
_IMAGES = "dicom_clean"
_ANNOTATIONS = "public-annotations.csv"
_INITIALS = {"senior": "S", "junior": "J"}
_SCORE = outcome_score_column("severity")
_ZONE_COLUMNS = [f"{_SCORE}_{zone.lower()}" for zone in ZONES]
_PATIENT_UNKNOWN = "(unknown)"


class BrixiaOptions(FolderOptions):
    """Options of the source ``brixia``.

    Attributes:
        threshold: The least score of 18 that is severe.
        reader: Whose score counts: ``clinical`` (default) or ``consensus`` of the dataset,
            ``senior`` (default) or ``junior`` of the public annotations.
        cohen: The folder of the covid-chestxray-dataset, for the public annotations.
    """

    threshold: int = Field(default=9, ge=1, le=HIGHEST)
    reader: str = ""
    cohen: Path | None = None


@dataclass(frozen=True)
class _Scored:
    """Images with the scores of each reader.

    Attributes:
        rows: One row an image with ``image_id, patient_id, path, day`` and clinical columns; a
            patient or day that is not known is missing.
        root: The folder that ``path`` is relative to.
        readings: By reader, the scores of the six zones and ``total``, all missing where the
            reader did not read the image; the first reader is the default.
        files: The tables.
    """

    rows: pd.DataFrame
    root: Path
    readings: dict[str, pd.DataFrame]
    files: tuple[Path, ...]


def read(options: BrixiaOptions) -> Cohort:
    """Read the dataset, or the public annotations with the images they are of.

    Raises:
        UserError: When a table, the images, a column or an option is missing, or a cell cannot be
            read.
    """
    metadata = next((file for name in _METADATA if (file := find_part(options.root, name))), None)
    scored = _annotations(options) if metadata is None else _dataset(options.root, metadata)
    reader = options.reader or next(iter(scored.readings))
    if reader not in scored.readings:
        raise UserError(
            f"the option 'reader' of the cohort source 'brixia' names no reader '{reader}' of "
            f"{scored.files[0].name}: {nearest(reader, scored.readings)}"
        )
    reading = scored.readings[reader]
    rows = scored.rows.drop(columns="day").assign(
        **{f"{_SCORE}_{name}": own["total"] for name, own in scored.readings.items()},
        **dict(zip(_ZONE_COLUMNS, (reading[zone] for zone in ZONES), strict=True)),
        **{_SCORE: reading["total"]},
    )
    unlisted = rows["patient_id"].isna()
    unread = reading["total"].isna()
    unlike = ~unread & (reading[list(ZONES)].sum(axis=1) != reading["total"])
    rows["patient_id"] = rows["patient_id"].fillna(_PATIENT_UNKNOWN)
    score = reading["total"].where(~unlisted & ~unlike)
    rows, other_score = _labelled(rows, score, scored.rows["day"], options.threshold)
    cohort = assemble(
        "brixia",
        rows,
        scored.root,
        {"severity": _IN_WORDS.format(options.threshold)},
        replace(PROVENANCE, version=version_of(*scored.files)),
        others=OTHERS,
    )
    rules = [
        (
            unlisted,
            "unknown_patient",
            "the tables at hand do not say whose image it is",
        ),
        (unread, "not_read", f"the image has no score of the reader {reader}"),
        (unlike, "inconsistent_score", "the scores of the zones do not add up to the global one"),
        (
            other_score,
            "undated_lower_score",
            "the subject's images are not all dated, and another one has the highest score",
        ),
    ]
    for leaving, rule, reason in rules:
        cohort = drop_where(cohort, leaving.set_axis(rows["image_id"]), rule, reason)
    return clean(cohort)


def _labelled(
    rows: pd.DataFrame, score: pd.Series, day: pd.Series, threshold: int
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows with the endpoint, and which undated images do not show the highest score."""
    patients = rows["patient_id"]
    highest = score.groupby(patients).transform("max")
    dated = (day.notna() | score.isna()).groupby(patients).transform("all")
    first = day.where(score.notna()).groupby(patients).transform("min")
    # An undated image that is kept is one with the highest score: of the day of the outcome.
    acquired = (day - first).where(dated, 0.0)
    reached = acquired.where(score >= threshold).groupby(patients).transform("min")
    severe = (highest >= threshold).astype("Int64").where(highest.notna())
    labelled = rows.assign(
        acquired=acquired, **{"severity": severe, outcome_day_column("severity"): reached}
    )
    return labelled, ~dated & (score < highest)


def _dataset(root: Path, file: Path) -> _Scored:
    parts = require_parts(
        root, [_IMAGES], f"give as root the folder that has {file.name} and {_IMAGES}"
    )
    table = read_table(file)
    columns = require_columns(
        table, ["Filename", "BrixiaScore", "BrixiaScoreGlobal", "Subject"], file
    )
    names = table[columns["Filename"]]
    folder = parts[_IMAGES]
    rows = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": table[columns["Subject"]],
            "path": f"{folder.relative_to(root).as_posix()}/" + names,
            "site": "ASST Spedali Civili di Brescia",
            "day": np.nan,
        }
    )
    if study := find_column(table, "StudyDate"):
        rows["day"] = day_numbers(table[study], study, file)
    if group := find_column(table, "AgeAtStudyDateFiveYear"):
        # Group 0 is 0 to 4 years, 1 is 5 to 9 years, and so on: the middle of each.
        rows["age"] = 5 * numbers(table[group], group, file) + 2
    kept = {"sex": "Sex", "modality": "Modality", "manufacturer": "Manufacturer"}
    rows = add_columns(rows, table, {**kept, "consensus_testset": "ConsensusTestset"})
    readings = {"clinical": _clinical(table, columns, file)}
    consensus = find_part(root, _CONSENSUS)
    if consensus is None:
        return _Scored(rows, root, readings, (file,))
    expert = read_table(consensus)
    modes = [f"Mode{zone}" for zone in ZONES]
    found = require_columns(expert, ["Filename", *modes], consensus)
    reading = _zone_numbers(expert, [found[mode] for mode in modes], consensus)
    by_image = reading.assign(total=reading.sum(axis=1, skipna=False)).set_axis(
        expert[found["Filename"]]
    )
    by_image = by_image[~by_image.index.duplicated()]
    readings["consensus"] = by_image.reindex(names).set_axis(table.index)
    return _Scored(rows, root, readings, (file, consensus))


def _annotations(options: BrixiaOptions) -> _Scored:
    file = find_part(options.root, _ANNOTATIONS)
    if file is None:
        raise UserError(
            f"the folder {options.root} lacks {_METADATA[0]}, and {_ANNOTATIONS}: give as root the "
            "folder of the BrixIA dataset, or that of the public annotations"
        )
    if options.cohen is None:
        raise UserError(
            f"{file} are scores of images of the covid-chestxray-dataset: give its folder as the "
            "option 'cohen'"
        )
    parts = require_parts(
        options.cohen,
        ["metadata.csv", "images"],
        "give as 'cohen' the folder of the covid-chestxray-dataset",
    )
    table = read_table(file)
    headers = {
        reader: [*(f"{initial}-{zone}" for zone in ZONES), f"{initial}-Global"]
        for reader, initial in _INITIALS.items()
    }
    needed = [name for names in headers.values() for name in names]
    columns = require_columns(table, ["filename", *needed], file)
    readings = {
        reader: _zone_numbers(table, [columns[name] for name in names[:-1]], file).assign(
            total=numbers(table[columns[names[-1]]], names[-1], file)
        )
        for reader, names in headers.items()
    }
    images = read_table(parts["metadata.csv"])
    wanted = ["filename", "folder", "patientid", "offset", "view", "location"]
    found = require_columns(images, wanted, parts["metadata.csv"])
    listed = images.rename(columns={column: name for name, column in found.items()})
    days = numbers(listed["offset"], "offset", parts["metadata.csv"])
    listed = listed.assign(day=days).drop_duplicates("filename").set_index("filename")
    own = listed.reindex(table[columns["filename"]]).set_axis(table.index)
    names = table[columns["filename"]]
    rows = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": own["patientid"],
            "path": own["folder"].fillna("images") + "/" + names,
            "site": own["location"],
            "view": own["view"].replace("?", None),
            "day": own["day"],
        }
    )
    rows = add_columns(rows, own, {"age": "age", "sex": "sex"})
    return _Scored(rows, parts["metadata.csv"].parent, readings, (file, parts["metadata.csv"]))


def _clinical(table: pd.DataFrame, columns: dict[str, str], file: Path) -> pd.DataFrame:
    # Read as numbers, 023013 lost its leading zero.
    scores = table[columns["BrixiaScore"]].str.zfill(len(ZONES))
    wrong = scores[scores.notna() & ~scores.fillna("").str.fullmatch(rf"[0-3]{{{len(ZONES)}}}")]
    if len(wrong):
        raise UserError(
            f"the column 'BrixiaScore' of {file} has {quote_some(wrong)} where six digits from 0 "
            "to 3 were expected: take the table as it was downloaded"
        )
    zones = {zone: pd.to_numeric(scores.str[place]) for place, zone in enumerate(ZONES)}
    total = numbers(table[columns["BrixiaScoreGlobal"]], "BrixiaScoreGlobal", file)
    return pd.DataFrame(zones, dtype="float64").assign(total=total)


def _zone_numbers(table: pd.DataFrame, columns: list[str], file: Path) -> pd.DataFrame:
    zones = pd.DataFrame(
        {
            zone: numbers(table[column], column, file)
            for zone, column in zip(ZONES, columns, strict=True)
        }
    )
    wrong = [
        score for score in zones.to_numpy().ravel() if not (np.isnan(score) or score in range(4))
    ]
    if wrong:
        raise UserError(
            f"{file} has {quote_some(wrong)} as the score of a zone where 0 to 3 was expected: "
            "take the table as it was downloaded"
        )
    return zones


SOURCE = Source(
    name="brixia",
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=BrixiaOptions,
    read=read,
    others=OTHERS,
)
