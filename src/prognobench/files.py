"""Files that are either whole or absent: atomic writes, digests, seals, the cache folder.

Everything that is written into an output folder or a cache goes through :func:`atomic_path`,
:func:`atomic_folder` or what stands on them (``tests/test_writes.py`` holds it).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from prognobench.errors import UserError

CACHE_VARIABLE = "PROGNOBENCH_CACHE"

WRITING = ".prognobench-writing-"
"""How the names of temporary files and folders begin, by which what a crash left is known."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

_PLAIN_NAME = re.compile(r"\w[\w .,()+=-]*")
_OTHER_THAN_WORDS = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST_NAME = 120
"""Bytes; file systems take 255, and names get endings."""

SEAL = "sha256_of_the_rest"
"""Key of sealed JSON that holds the digest of everything else in it."""


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that replaces it when the block ends well.

    The file is flushed to disk before it is renamed, and its folder after, so that a crash or a
    power cut leaves either the old file or the whole new one, never a part.

    Args:
        target: The path that shall hold the finished file; its folder is made if need be.

    Yields:
        The temporary path to write to, with the same suffix as ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, handle = _held(
        lambda: tempfile.mkstemp(dir=target.parent, prefix=WRITING, suffix=target.suffix)
    )
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes files that only their owner may read; results are for sharing.
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):  # the folder may have gone, or become read-only
            temporary.unlink(missing_ok=True)
        _close(handle)
    sync_folder(target.parent)


def require_writable(target: Path, *, folder: bool = False) -> None:
    """Raise the ``OSError`` that a write would end in, for those who have long work before it.

    Nothing is left behind, and no folder is made.

    Args:
        target: What shall be written; its folder need not exist.
        folder: Whether it is a folder that is written into.
    """
    try:
        is_folder = stat.S_ISDIR(target.stat().st_mode)
    except FileNotFoundError:
        is_folder = folder
    if is_folder != folder:
        code = errno.ENOTDIR if folder else errno.EISDIR
        raise OSError(code, os.strerror(code), str(target))
    place = target.absolute() if folder else target.absolute().parent
    while not place.exists():
        place = place.parent
    _try_to_write(place)


def _try_to_write(folder: Path) -> None:
    # Permissions alone do not tell: a file system may be read-only, or full.
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``target`` when the block ends well.

    Between an older folder's leaving and the new one's coming there is a moment with neither:
    whoever reads takes an absent folder for one that has to be made again.

    Args:
        target: The folder that shall hold what is written; its parent is made if need be.

    Yields:
        The temporary folder; it is empty and beside ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)

    def make() -> tuple[int | None, str]:
        name = tempfile.mkdtemp(dir=target.parent, prefix=WRITING)
        return _open_folder(Path(name)), name

    temporary, handle = _held(make)
    try:
        yield temporary
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                with path.open("rb") as written:
                    os.fsync(written.fileno())
            else:
                sync_folder(path)
        sync_folder(temporary)
        temporary.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _close(handle)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush to disk which files a folder holds, where the system can."""
    handle = _open_folder(folder)
    if handle is None:
        return
    try:
        # Some network file systems refuse it for folders; the files themselves are flushed.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, older_than: float = 0.0) -> int:
    """Delete temporary files and folders that a killed process left in a folder.

    Only names that :func:`atomic_path` and :func:`atomic_folder` give are touched, and of those
    only what no living process holds: each is locked (``flock``) while it is written, and the
    system lets go of the lock when its process ends, however it ends. The age guards what a lock
    cannot: a folder shared by machines that do not see one another's locks.

    Args:
        folder: The folder; those below it are searched as well, links are not followed.
        older_than: Seconds since the last change below which nothing is touched.

    Returns:
        How many were deleted.
    """
    removed = 0
    for place, folders, names in os.walk(folder):
        left = [name for name in (*folders, *names) if name.startswith(WRITING)]
        folders[:] = [name for name in folders if not name.startswith(WRITING)]
        for path in (Path(place, name) for name in left):
            with contextlib.suppress(OSError):
                if not path.is_symlink() and time.time() - path.stat().st_mtime >= older_than:
                    removed += _remove_unheld(path)
    return removed


def _remove_unheld(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        if not _lock(handle, wait=False):
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    finally:
        os.close(handle)


def _held(make: Callable[[], tuple[int | None, str]]) -> tuple[Path, int | None]:
    """Make a temporary file or folder and hold its lock."""
    while True:
        handle, name = make()
        if handle is None or not _lock(handle, wait=True) or Path(name).exists():
            return Path(name), handle
        # Between its making and its locking another process took it for a leftover.
        os.close(handle)


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _open_folder(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return None


if sys.platform == "win32":

    def _lock(handle: int, *, wait: bool) -> bool:  # noqa: ARG001
        """Return False: without ``flock`` nothing is held, and so no leftover is deleted."""
        return False

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> bool:
        """Hold a file while it is open here; return False where that cannot be had."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held by another process, or a file system that knows no locks
            return False
        return True


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` atomically, as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` to ``target`` atomically, as indented JSON with sorted keys."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def write_sealed(target: Path, value: dict[str, Any]) -> None:
    """Write a mapping as JSON with a digest of itself, which :func:`read_sealed` checks."""
    write_json(target, {**value, SEAL: identity(value, 64)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return what :func:`write_sealed` wrote; None where it is missing, damaged or other."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        seal = found.pop(SEAL)
        return found if seal == identity(found, 64) else None
    # RecursionError: damage, or malice, may nest brackets without end.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def identity(value: Any, length: int = 16) -> str:
    """Return a hash of plain data (mappings, lists, strings, numbers, None).

    Equal data give equal hashes whatever the order of their keys.

    Args:
        value: Data that JSON can say; anything else raises ``TypeError``.
        length: How many hexadecimal digits to return, at most 64.
    """
    canonical = _CANONICAL.encode(value)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def file_name(text: str) -> str:
    """Return a name for a file or folder that says a text, whatever stands in it.

    It leads nowhere else and every file system takes it. Slashes become hyphens; a text with
    stranger characters, or a long one, is shortened and ends in a hash, so that two texts do not
    share a name for that.
    """
    plain = text.replace("/", "-")
    if _PLAIN_NAME.fullmatch(plain) and len(plain.encode()) <= _LONGEST_NAME:
        return plain
    return f"{_OTHER_THAN_WORDS.sub('-', plain)[:60].strip('-.')}-{identity(text, 8)}".lstrip("-")


def cache_folder(*parts: str) -> Path:
    """Return a folder inside the cache, made if need be.

    The cache is ``$PROGNOBENCH_CACHE`` or the platform's own place for caches. What lies
    there can be made again and is never the only copy of a result. Where it cannot be written
    to, a temporary folder that ends with this process takes its place, and a warning says so.
    """
    wanted = _cache_base().joinpath(*parts)
    trouble = _cannot_be_written(wanted)
    if trouble:
        _warn_once(_cache_base(), trouble)
        wanted = _temporary_cache().joinpath(*parts)
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def lasting_cache_folder(*parts: str) -> Path:
    """Return a folder inside the cache for what is not to be fetched or asked for twice.

    Raises:
        UserError: When it cannot be written to.
    """
    folder = _cache_base().joinpath(*parts)
    trouble = _cannot_be_written(folder)
    if trouble:
        raise UserError(
            f"the cache folder {folder} cannot be written to ({trouble}): "
            f"set {CACHE_VARIABLE} to a folder that can"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def in_cache(*parts: str) -> Path:
    """Return where something is in the cache, for reading: the cache may be read-only."""
    kept = _cache_base().joinpath(*parts)
    return kept if kept.exists() else cache_folder(*parts[:-1]) / parts[-1]


def _cache_base() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("prognobench"))


@functools.lru_cache(maxsize=256)
def _cannot_be_written(folder: Path) -> str:
    """Return why a folder cannot be written to, as the system says it; empty where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


@functools.cache
def _warn_once(base: Path, trouble: str) -> None:
    logging.getLogger(__name__).warning(
        "the cache folder %s cannot be written to (%s): what is computed is kept until this "
        "process ends and no longer; set %s to a folder that can be written to",
        base,
        trouble,
        CACHE_VARIABLE,
    )


@functools.cache
def _temporary_cache() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="prognobench-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
