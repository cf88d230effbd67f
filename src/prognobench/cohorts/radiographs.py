"""From the headers of a DICOM collection to the rows of a cohort, each file left out by name.

The rules that every collection shares stand here: what can be read, is a radiograph of the chest,
names its patient, and is there once. Views other than frontal are left to
:func:`prognobench.cohorts.checks.clean`, as in every cohort.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean
from prognobench.cohorts.cohort import Cohort, Drop, Provenance
from prognobench.cohorts.dicom_headers import DicomHeader, read_headers
from prognobench.cohorts.radiograph_view import is_frontal
from prognobench.errors import UserError

RADIOGRAPHS = ("CR", "DX")


@dataclass(frozen=True)
class Radiographs:
    """The images of a collection that are left, and what was taken out.

    Attributes:
        root: The folder that was read.
        headers: One an image.
        drops: What each rule took out, in order.
        source_images: Number of DICOM files before any rule.
        patients: All patients before any rule, of the files and of the table.
    """

    root: Path
    headers: tuple[DicomHeader, ...]
    drops: tuple[Drop, ...]
    source_images: int
    patients: frozenset[str]

    def without(self, leaving: Iterable[DicomHeader], rule: str, reason: str) -> Radiographs:
        """Return the images without some of them, the drop recorded (also when it is empty)."""
        paths = {header.path for header in leaving}
        kept = tuple(header for header in self.headers if header.path not in paths)
        lost = patients_of(self.headers) - patients_of(kept)
        names = sorted(header.image_id for header in self.headers if header.path in paths)
        drop = Drop(rule, reason, len(names), len(lost), tuple(names))
        return replace(self, headers=kept, drops=(*self.drops, drop))

    def noted(self, rule: str, reason: str, without_image: Collection[str] = ()) -> Radiographs:
        """Return the same images with a line in the participant flow that takes no image.

        Args:
            rule: Short name of the line.
            reason: The line in words.
            without_image: Patients of whom the table knows, and of whom there is no image.
        """
        return replace(
            self,
            drops=(*self.drops, Drop(rule, reason, 0, len(without_image))),
            patients=self.patients.union(without_image),
        )


def chest_radiographs(root: Path) -> Radiographs:
    """Read a folder tree of DICOM files and leave out what is no chest radiograph of a patient.

    Raises:
        UserError: When the folder does not exist or has no DICOM file.
    """
    headers = read_headers(root)
    if not headers:
        raise UserError(
            f"there is no DICOM file in the folder {root} or below it: give as root the folder "
            "that the images were downloaded to"
        )
    found = Radiographs(root, tuple(headers), (), len(headers), patients_of(headers))
    found = found.without(
        [header for header in found.headers if not header.readable],
        "unreadable_header",
        "the file is no DICOM file, or its header is broken, nested too deep or too large",
    )
    found = found.without(
        [header for header in found.headers if header.modality not in RADIOGRAPHS],
        "not_radiograph",
        "the modality is not CR or DX",
    )
    found = found.without(
        [header for header in found.headers if not header.patient_id],
        "no_patient_id",
        "the header names no patient",
    )
    found = found.without(
        _processed_copies(found.headers),
        "processed_copy",
        "the file refers to another frontal image that is here, tag (0008,1140)",
    )
    found = found.without(
        _copies(found.headers), "duplicate_file", "another file is the same instance"
    )
    found = found.without(
        [header for header in found.headers if not header.chest],
        "not_chest",
        "the body part is known and is not the chest",
    )
    return found.without(
        [header for header in found.headers if header.unclear_view],
        "unclear_view",
        "the study has frontal and lateral images, and the file does not say which it is",
    )


def first_days(radiographs: Radiographs) -> dict[str, datetime.date]:
    """Return the day of each patient's first image that is left, where any has a date."""
    days: dict[str, datetime.date] = {}
    for header in radiographs.headers:
        if header.date is not None:
            days[header.patient_id] = min(header.date, days.get(header.patient_id, header.date))
    return days


def image_rows(
    radiographs: Radiographs, day_zero: Mapping[str, datetime.date | None]
) -> pd.DataFrame:
    """Return one row an image, ready for the outcomes to be added.

    Args:
        radiographs: The images.
        day_zero: The day that ``acquired`` counts from, by patient.

    Returns:
        ``image_id, patient_id, path, view, acquired, age, sex, modality``; ``age`` and ``sex``
        only where any header has them.

    Raises:
        UserError: When no image is left.
    """
    require_images(radiographs.drops, radiographs.headers, radiographs)
    rows = pd.DataFrame(
        [
            {
                "image_id": header.image_id,
                "patient_id": header.patient_id,
                "path": header.path,
                "view": header.view,
                "acquired": days_between(day_zero.get(header.patient_id), header.date),
                "age": header.age,
                "sex": header.sex,
                "modality": header.modality,
            }
            for header in radiographs.headers
        ]
    )
    return rows.drop(columns=[name for name in ("age", "sex") if rows[name].isna().all()])


def days_between(start: datetime.date | None, end: datetime.date | None) -> float | None:
    """Return the whole days from one date to another, or None when either is not known."""
    return None if start is None or end is None else float((end - start).days)


def cohort_of(
    radiographs: Radiographs,
    rows: pd.DataFrame,
    name: str,
    endpoints: Mapping[str, str],
    provenance: Provenance,
) -> Cohort:
    """Make a cohort of the rows of a collection, with all that was taken out before.

    Args:
        radiographs: The images.
        rows: One row an image, see :func:`image_rows`, with the outcomes.
        name: Name of the cohort in results.
        endpoints: The endpoints with their positive class in words.
        provenance: Where the rows came from.

    Raises:
        UserError: When no image is left, or as :func:`prognobench.cohorts.assemble.assemble`.
    """
    cohort = clean(assemble(name, rows, radiographs.root, endpoints, provenance))
    cohort = replace(
        cohort,
        drops=(*radiographs.drops, *cohort.drops),
        source_images=radiographs.source_images,
        source_patients=len(radiographs.patients),
    )
    require_images(cohort.drops, cohort.table["image_id"], radiographs)
    return cohort


def require_images(drops: Iterable[Drop], left: Sized, radiographs: Radiographs) -> None:
    """Raise :class:`UserError` when nothing is left, saying what took it."""
    if not len(left):
        taken = ", ".join(f"{drop.images} {drop.rule}" for drop in drops if drop.images)
        raise UserError(
            f"none of the {radiographs.source_images} DICOM files under {radiographs.root} is a "
            f"frontal chest radiograph that can be used ({taken}): check the folder and the table"
        )


def patients_of(headers: Iterable[DicomHeader]) -> frozenset[str]:
    """Return the ids of the patients of some images."""
    return frozenset(header.patient_id for header in headers if header.patient_id)


def _processed_copies(headers: Iterable[DicomHeader]) -> list[DicomHeader]:
    """Return the files that refer to an image which can take their place.

    That is the image that they name, where it is here, else any of their study. A lateral or an
    image of another part is no original of a frontal chest radiograph.
    """
    headers = list(headers)
    usable = [header for header in headers if _is_usable(header)]
    here, frontal = ({header.instance for header in some} - {""} for some in (headers, usable))
    originals = [header for header in headers if not header.references_image]
    first = {header.instance for header in originals if _is_usable(header)} - {""}
    studies = {
        (_study(header), usable) for header in originals for usable in {False, _is_usable(header)}
    }

    def is_copy(header: DicomHeader) -> bool:
        named = header.referenced & here - {header.instance}
        if named & first:
            return True
        if _is_usable(header) and named and not named & frontal:
            return False  # it goes with a lateral
        return (_study(header), _is_usable(header)) in studies

    return [header for header in headers if header.references_image and is_copy(header)]


def _is_usable(header: DicomHeader) -> bool:
    return header.chest and not header.unclear_view and is_frontal(header.view)


def _study(header: DicomHeader) -> tuple[str, ...]:
    day = header.study_date or header.date
    return (header.study,) if header.study else (header.patient_id, str(day))


def _copies(headers: Iterable[DicomHeader]) -> list[DicomHeader]:
    seen: set[str] = set()
    copies = []
    for header in headers:
        if header.instance and header.instance in seen:
            copies.append(header)
        seen.add(header.instance)
    return copies
