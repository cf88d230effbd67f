"""Which view of which part of the body an image shows, by the words of its DICOM header.

Laterals hide under frontal descriptions: a study that is called ``CHEST AP`` may hold one, and a
series that is called ``AP`` may be one. So whatever is said of the image itself (view position,
series, patient orientation) comes before what is said of the study, and a lateral named there
counts even against a frontal view position: a frontal image lost is better than a lateral kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

LATERAL = "LATERAL"

_WORDS = {
    "AP": "AP",
    "PA": "PA",
    "FRONTAL": "FRONTAL",
    "FRONTALE": "FRONTAL",
    "LAT": LATERAL,
    "LLAT": LATERAL,
    "RLAT": LATERAL,
    "LL": LATERAL,
    "PROFIL": LATERAL,
    "PROFILO": LATERAL,
    "PERFIL": LATERAL,
}
_BEGINNINGS = {"LATER": LATERAL, "SEITL": LATERAL}
_SIDES = ("LATERALIT", "LATERALID")
"""Words such as ``LATERALE`` or ``SEITLICH``; ``LATERALITY`` names a side, and no view."""

_POSITIONS = {"RL": LATERAL}
"""A view position of PS3.3 (C.8.11.5) that is two letters of other words elsewhere."""

_SPELLED_OUT = re.compile(r"(ANTER|POSTER)(?:O|IOR)[^A-Z]*(?:ANTER|POSTER)IORE?\b")
_APART = re.compile(r"(?<![A-Z])([APL])(?:\s*[./-]+\s*)([APL])\b\.?")
"""``antero-posterior`` and ``posterior-anterior``; ``A.P.``, ``p.-a.``, ``P/A`` and ``L-L``."""

_OTHER_POSITIONS = frozenset({"LLD", "RLD", "LLO", "RLO", "LPO", "RPO", "LAO", "RAO"})
"""Decubitus and oblique views: neither frontal nor lateral."""

_CHEST = re.compile(r"CHEST|TH?ORA[XC]|LUNG|PULMO")
_ELSEWHERE = re.compile(
    r"ABD|PELVI|KIDNEY|KUB|HIP|KNEE|FOOT|ANKLE|HAND|WRIST|ELBOW|SHOULDER|SPINE|SKULL|NECK|FEMUR"
)


def view_of(
    position: str, descriptions: Sequence[str], orientation: str, study: str
) -> tuple[str | None, bool]:
    r"""Return an image's view, and whether its study leaves open which of several it is.

    Args:
        position: View Position (0018,5101).
        descriptions: What else is said of the image itself: the meaning of its view code
            (0054,0220), its series description (0008,103E).
        orientation: Patient Orientation (0020,0020), such as ``L\F``: where rows and columns of
            the image run to.
        study: Study Description (0008,1030).

    Returns:
        ``AP``, ``PA``, ``FRONTAL``, ``LATERAL``, the position of a decubitus or oblique view, or
        None when nothing says; and whether the study has frontal and lateral images with no word
        on which of them this is.
    """
    if position.strip().upper() in _OTHER_POSITIONS:
        return position.strip().upper(), False
    own = [_named(position, {**_WORDS, **_POSITIONS}), *map(_named, descriptions)]
    rows_run_to = orientation.strip().upper()[:1]
    if {LATERAL} in own or rows_run_to in {"A", "P"}:
        return LATERAL, False
    by_study = _named(study)
    frontal = "FRONTAL" if rows_run_to in {"L", "R"} else None
    for named in [*own, by_study]:
        if LATERAL in named and not (named is by_study and frontal):
            continue
        which = named - {LATERAL}
        if len(which) == 1:
            return which.pop(), False
    if frontal:
        return frontal, False
    if by_study == {LATERAL}:
        return LATERAL, False
    return None, any(LATERAL in named for named in [*own, by_study])


def is_frontal(view: object) -> bool:
    """Say whether words for a view, as a table has them, mean a frontal one.

    Args:
        view: Such as ``AP``, ``p.a.``, ``PORTABLE AP`` or ``Lateral``; what names a lateral,
            decubitus or oblique view as well is none. A view that is not known, so no text, may
            be frontal.
    """
    if not isinstance(view, str):
        return True
    named = _named(view)
    return bool(named) and LATERAL not in named and not _OTHER_POSITIONS & set(_letters(view))


def is_chest(body_part: str, descriptions: Sequence[str]) -> bool:
    """Say whether an image is of the chest; one of which nothing is said may be.

    Args:
        body_part: Body Part Examined (0018,0015), which decides where it is given.
        descriptions: Descriptions of the series and of the study.
    """
    if body_part.strip():
        return bool(_CHEST.search(body_part.upper()))
    text = " ".join(descriptions).upper()
    return bool(_CHEST.search(text)) or not _ELSEWHERE.search(text)


def _named(text: str, words: Mapping[str, str] = _WORDS) -> set[str]:
    found = set()
    for word in _letters(text):
        beginning = next((own for own in _BEGINNINGS if word.startswith(own)), "")
        if word in words:
            found.add(words[word])
        elif beginning and not word.startswith(_SIDES):
            found.add(_BEGINNINGS[beginning])
    return found


def _letters(text: str) -> list[str]:
    """Return the words of a text in capitals without accents, projections in two letters."""
    apart = unicodedata.normalize("NFKD", text.upper())
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    short = _SPELLED_OUT.sub(lambda found: "AP" if found[1] == "ANTER" else "PA", plain)
    return re.findall(r"[A-Z]+", _APART.sub(r"\1\2", short))
