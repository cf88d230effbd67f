"""MIDRC-RICORD-1c, radiographs of COVID-19 patients graded by radiologists, as TCIA gives it.

The images are ``manifest-*/MIDRC-RICORD-1C/MIDRC-RICORD-1C-<Anon MRN>/<study>/<series>/*.dcm``.
The grades are read from either form of the annotations: the MD.ai export
(``1c_mdai_rsna_project_*_annotations_*.json``: label groups, and annotations by
``StudyInstanceUID``), or the table with one row a reader and study (``.csv``: ``Anon MRN``,
``Anon TCIA Study Date``, ``Reader_id``, ``CLASS_label``, ``GRADE_label``). There is no outcome:
the endpoint is severity, of the patient.

A study is positive when most of its readers gave a positive grade; a reader who called it negative
for pneumonia gave none of the grades. An adjudicated reading takes the place of the others. A
patient is positive from the day of the first positive study on, and negative when every graded
study is. ``acquired`` counts from a patient's first radiograph.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from prognobench.cohorts.cohort import Cohort, Provenance, outcome_day_column
from prognobench.cohorts.collection_files import collection_table
from prognobench.cohorts.downloads import version_of
from prognobench.cohorts.patient_ids import match_ids
from prognobench.cohorts.radiographs import (
    Radiographs,
    chest_radiographs,
    cohort_of,
    days_between,
    first_days,
    image_rows,
)
from prognobench.cohorts.source import FolderOptions, Source
from prognobench.cohorts.table_dates import dates
from prognobench.cohorts.tables import find_column, read_table, require_columns
from prognobench.errors import UserError

NAME = "midrc_ricord_1c"
"""Name of the cohort in results."""

Grade = Literal["mild", "moderate", "severe"]

PROVENANCE = Provenance(
    source="ricord",
    title="MIDRC-RICORD-1c",
    licence="CC BY-NC 4.0",
    citation=(
        "Tsai E, Simpson S, Lungren MP, et al. Medical Imaging Data Resource Center (MIDRC) - RSNA "
        "International COVID Open Research Database (RICORD) Release 1c - Chest x-ray Covid+. The "
        "Cancer Imaging Archive (2021). doi:10.7937/91ah-v663"
    ),
    url="https://doi.org/10.7937/91ah-v663",
    access="open, without registration (NBIA Data Retriever)",
)

ENDPOINTS = {"severity": "airspace disease graded severe in any radiograph by most readers"}

TABLES = (
    "1c_mdai_rsna_project*annotations*.json",
    "1c_mdai_rsna_project*annotations*.csv",
)
_PREFIX = "MIDRC-RICORD-1C-"
_GRADES: tuple[Grade, ...] = ("mild", "moderate", "severe")
_NEGATIVE = "negative"
_ADJUDICATION = "adjudicat"
_UNNAMED_GROUP = "default group"

_Study = tuple[str, datetime.date | None]
_Readings = dict[_Study, dict[str, set[str]]]
"""By study (its UID, or the patient and the day) and reader, the first words of the labels."""


class RicordOptions(FolderOptions):
    """Options of the source ``ricord``.

    Attributes:
        positive_grades: The grades that are the event: ``mild`` (1 or 2 lung zones), ``moderate``
            (3 or 4), ``severe`` (more than 4).
    """

    positive_grades: tuple[Grade, ...] = Field(default=("severe",), min_length=1)


@dataclass(frozen=True)
class _Course:
    """Whether a patient was ever positive (None: the readers leave it open), and since when."""

    positive: bool | None
    since: datetime.date | None = None


def read(options: RicordOptions) -> Cohort:
    """Read the folder of the download.

    Raises:
        UserError: When the annotations, the images or a column are missing, or the annotations
            cannot be read.
    """
    file = collection_table(options.root, TABLES)
    images = chest_radiographs(options.root)
    by_uid = file.suffix.lower() == ".json"
    readings = _exported(file) if by_uid else _tabulated(file, images)
    verdicts = {
        study: _verdict(readers, frozenset(options.positive_grades))
        for study, readers in readings.items()
    }
    studies: dict[str, dict[_Study, datetime.date | None]] = defaultdict(dict)
    for header in images.headers:
        day = header.study_date or header.date  # the table has the days of studies
        study = (header.study, None) if by_uid else (header.patient_id, day)
        if study in verdicts:
            studies[header.patient_id][study] = header.date
    images = _noted(images, verdicts, {study for held in studies.values() for study in held})
    courses = {patient: _course(held, verdicts) for patient, held in studies.items()}
    starts = first_days(images)
    rows = image_rows(images, starts)
    rows["site"] = [
        patient.upper().removeprefix(_PREFIX).rpartition("-")[0] or None
        for patient in rows["patient_id"]
    ]
    positive, days = [], []
    for patient in rows["patient_id"]:
        course = courses.get(patient, _Course(None))
        positive.append(None if course.positive is None else int(course.positive))
        days.append(days_between(starts.get(patient), course.since))
    rows["severity"] = positive
    rows[outcome_day_column("severity")] = days
    words = " or ".join(grade for grade in _GRADES if grade in options.positive_grades)
    endpoints = {"severity": ENDPOINTS["severity"].replace("severe", words)}
    provenance = replace(PROVENANCE, version=version_of(file))
    return cohort_of(images, rows, NAME, endpoints, provenance)


def _exported(file: Path) -> _Readings:
    """Read the export of MD.ai, in which every label of a reader is one annotation."""
    readings: _Readings = defaultdict(lambda: defaultdict(set))
    try:
        export = json.loads(file.read_text(encoding="utf-8-sig"))
        labels = {
            str(label["id"]): (str(group.get("name", "")), _first_word(label["name"]))
            for group in export["labelGroups"]
            for label in group["labels"]
        }
        for dataset in export["datasets"]:
            for annotation in dataset["annotations"]:
                label = labels.get(str(annotation["labelId"]))
                study = str(annotation.get("StudyInstanceUID") or "")
                if label is not None and study:
                    reader = f"{label[0]}/{annotation.get('createdById') or ''}"
                    readings[study, None][reader].add(label[1])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file} is no export of MD.ai with labelGroups, labels, datasets and annotations: "
            "download it again"
        ) from error
    return readings


def _tabulated(file: Path, images: Radiographs) -> _Readings:
    """Read the table with one row a reader and study."""
    table = read_table(file)
    names = ("Anon MRN", "Anon TCIA Study Date", "Reader_id", "CLASS_label", "GRADE_label")
    columns = require_columns(table, names, file)
    patient, date, reader, label, grade = (table[columns[name]] for name in names)
    known = match_ids(images.patients, set(patient.dropna()), _PREFIX)
    image_ids = {listed: found for found, listed in known.items()}
    named = table[column] if (column := find_column(table, "Reader_name")) else reader
    by = reader.fillna("") + "/" + named.fillna("")
    days = dates(date, names[1], file, month_first=True)
    readings: _Readings = defaultdict(lambda: defaultdict(set))
    cells = zip(patient, days, by, label, grade, strict=True)
    for listed, day, who, *labels in cells:
        held = readings[image_ids.get(listed, str(listed)), day][who]
        held |= {_first_word(text) for text in labels if isinstance(text, str)}
    return readings


def _first_word(label: object) -> str:
    """Return ``severe`` of ``Severe Opacities (>4 lung zones)``."""
    return next(iter(str(label).casefold().split()), "")


def _verdict(readers: Mapping[str, set[str]], positive: frozenset[str]) -> bool | None:
    """Say whether most readers gave a positive grade; None when nobody did, or half of them.

    The adjudicated readings decide where there are any, then those of named groups of labels.
    """
    adjudicated = [labels for name, labels in readers.items() if _ADJUDICATION in name.casefold()]
    named = [labels for name, labels in readers.items() if _UNNAMED_GROUP not in name.casefold()]
    for group in (adjudicated, named, list(readers.values())):
        votes = [vote for labels in group if (vote := _vote(labels, positive)) is not None]
        if votes:
            share = sum(votes) / len(votes)
            return None if share == 0.5 else share > 0.5
    return None


def _vote(labels: set[str], positive: frozenset[str]) -> bool | None:
    given = {grade in positive for grade in _GRADES if grade in labels}
    if given:
        # A reader who gave two grades on either side of the line decided nothing.
        return given.pop() if len(given) == 1 else None
    return False if _NEGATIVE in labels else None


def _course(
    studies: Mapping[_Study, datetime.date | None], verdicts: Mapping[_Study, bool | None]
) -> _Course:
    found = [verdicts[study] for study in studies]
    if True not in found:
        return _Course(None if None in found else False)
    since = [day for study, day in studies.items() if verdicts[study] and day is not None]
    return _Course(True, min(since, default=None))


def _noted(
    images: Radiographs, verdicts: Mapping[_Study, bool | None], seen: set[_Study]
) -> Radiographs:
    undecided = sum(verdicts[study] is None for study in seen)
    images = images.noted(
        "study_without_image",
        f"annotated studies without an image here: {len(verdicts) - len(seen)}",
    )
    return images.noted(
        "readers_undecided", f"studies whose grade the readers leave open: {undecided}"
    )


SOURCE = Source(
    name=PROVENANCE.source,
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=RicordOptions,
    read=read,
)
