"""Whether the path of a file says who the patient is, and paths that cannot say so."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

_NO_NAMES = frozenset(
    {"anon", "anonymous", "anonymized", "anonymised", "deidentified", "name", "none", "patient"}
    | {"phantom", "removed", "subject", "test", "unknown"}
)
"""What stands for a name where there is none."""

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_PIECE = re.compile(r"[^\W\d_]{2,}|(?<!\d)(?:\d{6}|\d{8})(?!\d)")
"""The words of a path, and the numbers that may be dates."""

_DATES = {6: ("%y%m%d", "%d%m%y", "%m%d%y"), 8: ("%Y%m%d", "%d%m%Y", "%m%d%Y")}


def shows_patient(path: str, *, name: str, birth_date: str, patient_id: str) -> bool:
    """Say whether a path shows a patient's name or date of birth.

    Args:
        path: The path, with forward slashes.
        name: Patient's Name (0010,0010).
        birth_date: Patient's Birth Date (0010,0030).
        patient_id: Patient ID (0010,0020); words of it are no names.
    """
    birth = re.sub(r"\D", "", birth_date)
    if len(birth) == 8:
        year, month, day = birth[:4], birth[4:6], birth[6:]
        digits = re.sub(r"[^\w/]|_", "", path)
        if any(date in digits for date in (birth, day + month + year, month + day + year)):
            return True
    code = _words(_plain_letters(patient_id, {}))
    for umlauts in ({}, _UMLAUTS):
        names = _words(_plain_letters(name, umlauts)) - _NO_NAMES - code
        parts = "|".join(names | {own[0] for own in names})
        for word in _words(_plain_letters(path, {})):
            # Of names alone, also run together or with initials: no syllable of another word.
            if any(own in word for own in names) and re.fullmatch(f"({parts})+", word):
                return True
    return False


def masked_paths(paths: Iterable[str], harmless: Iterable[str]) -> dict[str, str]:
    """Return paths of which nobody knows whom they show, without what may say who that is.

    Args:
        paths: The paths of files that do not say whose they are.
        harmless: Paths of the same folder that are known to show no patient.

    Returns:
        By path, the path with a star for each word and each date that is in no harmless one; paths
        without any are left out.
    """
    known = {word for path in harmless for word in _PIECE.findall(_plain_letters(path, {}))}

    def shown(found: re.Match[str]) -> str:
        piece = _plain_letters(found[0], {})
        return found[0] if piece in known or (piece.isdigit() and not _is_date(piece)) else "*"

    masked = {}
    for path in paths:
        suffix = PurePosixPath(path).suffix
        masked[path] = _PIECE.sub(shown, path.removesuffix(suffix)) + suffix
    return {path: own for path, own in masked.items() if own != path}


def _is_date(digits: str) -> bool:
    for written in _DATES[len(digits)]:
        try:
            datetime.datetime.strptime(digits, written)
        except ValueError:
            continue
        return True
    return False


def _plain_letters(text: str, umlauts: Mapping[int, str]) -> str:
    """Return text in lower case without accents, umlauts as they are spelled out or without too."""
    composed = unicodedata.normalize("NFC", text.casefold()).translate(umlauts)
    apart = unicodedata.normalize("NFKD", composed)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 1}
