"""Storage that fails while it is used: a disk that is full, gone or read-only, in a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sql

from prognobench.errors import UserError


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_OF_DISKS = _numbers("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "ENODEV", "ENXIO")
"""What only storage says, whichever file it is about."""

_OF_PATHS = _numbers("ENOENT", "ENOTDIR", "EACCES", "EPERM", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN")
"""What storage says of a path, and much else of other things."""

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_PRIMARY = 0xFF
"""The bits of SQLite's extended codes that say the kind."""


@contextlib.contextmanager
def told(output: Path) -> Iterator[None]:
    """Turn errors of an output folder's storage into a sentence; others pass as they are.

    Args:
        output: The output folder.

    Raises:
        UserError: When its disk is full, read-only or gone. What was finished before is there.
    """
    try:
        yield
    except (OSError, sql.exc.DatabaseError) as error:
        cause = _cause(error, output)
        if cause is None:
            raise
        raise UserError(
            f"the output folder {output} cannot be used any longer ({cause}): mend that and run "
            "again, what is finished is kept"
        ) from error


def _cause(error: OSError | sql.exc.DatabaseError, output: Path) -> str | None:
    """Return what the storage says, None where it is not the storage's fault."""
    if isinstance(error, OSError):
        named = isinstance(error.filename, str | os.PathLike)
        own = named and Path(error.filename).is_relative_to(output)
        if (error.errno in _OF_DISKS and (own or not named)) or (error.errno in _OF_PATHS and own):
            return os.strerror(error.errno)
        return None
    code = getattr(error.orig, "sqlite_errorcode", None)
    return str(error.orig) if code is not None and code & _PRIMARY in _OF_SQLITE else None
