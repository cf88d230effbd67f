"""Image paths inside a root: one form, and no way out of it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from prognobench.errors import UserError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def relative_path(text: str, where: str) -> str:
    """Return a path of a table in its one form: relative to the root, with forward slashes.

    The check is of the words of the path only: a link inside the root may lead elsewhere, as
    large image folders often do.

    Args:
        text: The path as the table has it.
        where: The table and what to do instead, for the error.

    Raises:
        UserError: When the path is absolute, has a ``..`` or is empty.
    """
    path = text.strip().replace("\\", "/")
    parts = PurePosixPath(path).parts
    if is_absolute(path):
        raise UserError(f"the path '{text}' of {where} is absolute: give it relative to the root")
    if ".." in parts:
        raise UserError(f"the path '{text}' of {where} leads out of the root: give one inside it")
    if not parts or _CONTROL.search(path):
        raise UserError(f"the path {text!r} of {where} is no path of an image: correct it")
    return str(PurePosixPath(path))


def is_absolute(path: str) -> bool:
    """Say whether a path is absolute on any system, a drive letter included."""
    return path.startswith(("/", "\\")) or bool(_DRIVE.match(path))
