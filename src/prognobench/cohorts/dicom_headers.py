"""The headers of a folder of DICOM files, read without their pixels.

Nothing that a file says can stop the reading: one that is broken, nested too deep or too large is
returned with ``readable`` false. Names and dates of birth are looked at only to tell whether the
file's path shows them, and leave this module in no form.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom

from prognobench.cohorts.deflated_dicom import META_BYTES, inflated, is_deflated
from prognobench.cohorts.identifying_paths import masked_paths, shows_patient
from prognobench.cohorts.radiograph_view import is_chest, view_of
from prognobench.errors import UserError

HEADER_BYTES = 512 * 1024
"""How much of one file is read at most, pixels and unused elements not counted."""

LONGEST_TEXT = 1024
"""The longest value that is taken for one; the standard allows 64 characters in most."""

_SUFFIXES = (".dcm", ".dicom", ".ima")
_MARK, _MARK_AT = b"DICM", 128
_MOMENTS = ("Acquisition", "Content", "Series", "Study")
"""Whose dates and times say when an image was taken, the nearest to it first."""

LONGEST_STUDY = 30
"""Days after a study's date up to which the date of its images is believed. A date before the study
or much later was shifted or set by another device, and the study's own date is taken."""

_TAGS = [
    *(f"{name}{kind}" for name in _MOMENTS for kind in ("Date", "Time")),
    "SOPInstanceUID",
    "StudyInstanceUID",
    "Modality",
    "StudyDescription",
    "SeriesDescription",
    "ReferencedImageSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "BodyPartExamined",
    "ViewPosition",
    "PatientOrientation",
    "ViewCodeSequence",
]
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}

# pydicom's warnings about odd values quote them; here they would print identifiers.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


@dataclass(frozen=True)
class DicomHeader:
    """What the header of one file says, as far as a cohort needs it.

    Attributes:
        path: The file, relative to the folder, with forward slashes.
        readable: Whether the header could be read; otherwise all the rest is empty.
        patient_id: Patient ID (0010,0020).
        instance: SOP Instance UID (0008,0018), the same for copies of one file.
        study: Study Instance UID (0020,000D).
        modality: Modality (0008,0060), such as ``CR``, ``DX`` or ``CT``.
        view: See :func:`prognobench.cohorts.radiograph_view.view_of`.
        unclear_view: Whether the study has several views with no word on which this is.
        chest: Whether it is, or may be, of the chest.
        study_date: Study Date (0008,0020).
        date: Day of the acquisition, else of the content, series or study; that of the study where
            the others lie before it or more than :data:`LONGEST_STUDY` days after it.
        time: Time of day on that day, of the same origins, as ``HHMMSS``.
        age: Age in years (0010,1010).
        sex: Sex (0010,0040): ``F``, ``M`` or ``O``.
        references_image: Whether it has a Referenced Image Sequence (0008,1140), as processed
            copies of an image do.
        referenced: The SOP Instance UIDs that the sequence names.
        identifying_path: Whether the path shows the patient's name or date of birth.
        masked_path: Of a file that cannot be read, so that nobody knows whom its path shows, the
            path with a star for each word or date that is in no other path; empty where none is.
    """

    path: str
    readable: bool = True
    patient_id: str = ""
    instance: str = ""
    study: str = ""
    modality: str = ""
    view: str | None = None
    unclear_view: bool = False
    chest: bool = True
    study_date: datetime.date | None = None
    date: datetime.date | None = None
    time: str = ""
    age: float | None = None
    sex: str | None = None
    references_image: bool = False
    referenced: frozenset[str] = frozenset()
    identifying_path: bool = False
    masked_path: str = ""

    @property
    def image_id(self) -> str:
        """Patient, time of day, and a digest of the instance.

        Ids of one day are in the order of their times, so that of a patient's images of one day
        the earliest is the first. A file that names no patient has its path as its id, unless
        that shows who the patient is, or may show it.
        """
        digest = hashlib.sha256((self.instance or self.path).encode(errors="replace")).hexdigest()[
            :8
        ]
        if self.masked_path:
            return f"{self.masked_path}-{digest}"
        if not self.patient_id:
            return f"file-{digest}" if self.identifying_path else self.path
        return f"{self.patient_id}-{self.time or 'notime'}-{digest}"


def read_headers(root: Path) -> list[DicomHeader]:
    """Read the headers of all DICOM files of a folder tree, in the order of their paths.

    A DICOM file is one with the mark ``DICM`` at byte 128, or with a suffix such as ``.dcm``. A
    DICOMDIR and hidden files are left aside. Several files are read at a time; the result does
    not depend on how many.

    Args:
        root: The folder; folders that it links to are read too, each once.

    Raises:
        UserError: When a folder cannot be listed.
    """
    files = sorted(tree_files(root))
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")
        found = pool.map(lambda path: read_header(root, path), files)
        headers = [header for header in found if header is not None]
    known = [own.path for own in headers if own.readable and not own.identifying_path]
    masked = masked_paths([own.path for own in headers if not own.readable], known)
    return [replace(own, masked_path=masked.get(own.path, "")) for own in headers]


def read_header(root: Path, path: str) -> DicomHeader | None:
    """Read the header of one file; None when it is no DICOM file and does not claim to be one.

    Args:
        root: The folder.
        path: The file relative to it, with forward slashes.
    """
    claims = path.lower().endswith(_SUFFIXES)
    if _UNSAFE.search(path):
        return DicomHeader(path, readable=False) if claims else None
    try:
        if not (root / path).is_file():
            return DicomHeader(path, readable=False) if claims else None
        with _BoundedReader(io.FileIO(root / path)) as stream:
            beginning = stream.read(META_BYTES)
            if beginning[_MARK_AT : _MARK_AT + len(_MARK)] != _MARK:
                return DicomHeader(path, readable=False) if claims else None
            stream.seek(0)
            if not is_deflated(beginning):
                return _header(path, _dataset(stream))
            plain, more = _inflated(stream)
            dataset = _dataset(plain)
            if more and plain.tell() >= len(plain.getvalue()):
                # What follows, such as the view, may have been cut off.
                raise ValueError("the header is too large")
            return _header(path, dataset)
    except Exception:
        # Broken files end in every kind of error; what they say may hold identifiers.
        return DicomHeader(path, readable=False)


class _BoundedReader(io.BufferedReader):
    """A file of which only so much can be read; seeking over the rest costs nothing."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._left = HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > self._left:
            raise ValueError("the header is too large")
        self._left -= size
        return super().read(size)


def _dataset(stream: io.BufferedIOBase) -> Any:
    return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)


def _inflated(stream: _BoundedReader) -> tuple[io.BytesIO, bool]:
    """Return the beginning of a deflated file as that of a plain one, and whether there is more."""
    found = inflated(stream.read(HEADER_BYTES - META_BYTES), HEADER_BYTES)
    if found is None:
        raise ValueError("the file does not say how long its first part is")
    return io.BytesIO(found.data), not found.whole


def tree_files(root: Path) -> Iterator[str]:
    """Give the files of a folder tree, but hidden ones, each as its path below the root.

    Folders that it links to are part of it, each once.

    Raises:
        UserError: When a folder cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        about = os.stat(folder)  # noqa: PTH116  (os.walk gives text)
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        # Where a link leads to a folder of the same tree, the order decides which is read.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        for name in files:
            if not name.startswith(".") and name.upper() != "DICOMDIR":
                yield (inside / name).as_posix()


def _refuse(error: OSError) -> None:
    raise UserError(
        f"the folder {error.filename} cannot be read ({error.strerror}): check the path and its "
        "permissions"
    ) from error


def _header(path: str, dataset: Any) -> DicomHeader:
    series, study = _text(dataset, "SeriesDescription"), _text(dataset, "StudyDescription")
    own = [_view_code(dataset), series]
    orientation = _text(dataset, "PatientOrientation")
    view, unclear = view_of(_text(dataset, "ViewPosition"), own, orientation, study)
    patient_id = _code(dataset, "PatientID")
    day, time = _moment(dataset)
    references = dataset.get("ReferencedImageSequence") or ()
    instance, modality = _code(dataset, "SOPInstanceUID"), _code(dataset, "Modality").upper()
    if not (instance or modality):
        raise ValueError("the header ends before it says anything")
    return DicomHeader(
        path=path,
        patient_id=patient_id,
        instance=instance,
        study=_code(dataset, "StudyInstanceUID"),
        modality=modality,
        view=view,
        unclear_view=unclear,
        chest=is_chest(_text(dataset, "BodyPartExamined"), [series, study]),
        study_date=dicom_date(_text(dataset, "StudyDate")),
        date=day,
        time=time,
        age=_age(_text(dataset, "PatientAge")),
        sex=_text(dataset, "PatientSex").upper()[:1] or None,
        # De-identification may leave it empty.
        references_image=bool(references),
        referenced=frozenset(_text(one, "ReferencedSOPInstanceUID") for one in references) - {""},
        identifying_path=shows_patient(
            path,
            name=_text(dataset, "PatientName"),
            birth_date=_text(dataset, "PatientBirthDate"),
            patient_id=patient_id,
        ),
    )


def _moment(dataset: Any) -> tuple[datetime.date | None, str]:
    """Return the day and the time of day at which an image was taken.

    Both are of one origin, or the time is of one that names no other day: a study may go on for
    days, and its date beside the time of a later acquisition would put that before the others.
    """
    days = [dicom_date(_text(dataset, f"{name}Date")) for name in _MOMENTS]
    times = [_time(_text(dataset, f"{name}Time")) for name in _MOMENTS]
    study = days[-1]
    believed = (
        own
        for own in days
        if own is not None and (study is None or 0 <= (own - study).days <= LONGEST_STUDY)
    )
    day = next(believed, None)
    of_day = (time for own, time in zip(days, times, strict=True) if time and own in {None, day})
    return day, next(of_day, "")


def _text(dataset: Any, name: str) -> str:
    value = dataset.get(name)
    if value is None:
        return ""
    several = isinstance(value, pydicom.multival.MultiValue | list | tuple)
    text = "\\".join(map(str, value)) if several else str(value)
    if len(text) > LONGEST_TEXT:
        raise ValueError("a value is too long")
    return text.strip(" \0\t\r\n")


def _code(dataset: Any, name: str) -> str:
    text = _text(dataset, name)
    if not text.isprintable():
        # With a wrong length, an id runs on into the elements after it, such as a date of birth.
        raise ValueError("an identifier is no text")
    return text


def _view_code(dataset: Any) -> str:
    codes = dataset.get("ViewCodeSequence")
    return _text(codes[0], "CodeMeaning") if codes else ""


def dicom_date(text: str) -> datetime.date | None:
    """Return a date as DICOM writes it (``20200131``, once ``2020.01.31``), or None."""
    digits = re.sub(r"[.-]", "", text[:10])
    try:
        # The basic form of ISO 8601 alone: fromisoformat takes weeks as well.
        return datetime.date.fromisoformat(digits) if re.fullmatch(r"\d{8}", digits) else None
    except ValueError:
        return None


def _time(text: str) -> str:
    digits = text.partition(".")[0].replace(":", "")
    return digits.ljust(6, "0") if re.fullmatch(r"(\d\d){1,3}", digits) else ""


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text.upper())
    return None if match is None else round(int(match[1]) * _YEARS[match[2]], 2)
