"""Files that are either whole or absent: atomic writes, digests, the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from prognobench.errors import UserError

CACHE_VARIABLE = "PROGNOBENCH_CACHE"


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that replaces it when the block ends well.

    The file is flushed to disk before it is renamed, so that a crash leaves either the old
    file or the whole new one, never a part.

    Args:
        target: The path that shall hold the finished file; its folder is made if need be.

    Yields:
        The temporary path to write to, with the same suffix as ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes files that only their owner may read; results are for sharing.
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` atomically, as UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` to ``target`` atomically, as indented JSON with sorted keys."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


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
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def cache_folder(*parts: str) -> Path:
    """Return a folder inside the cache, made if need be.

    The cache is ``$PROGNOBENCH_CACHE`` or the platform's own place for caches. What lies
    there can be made again and is never the only copy of a result.

    Raises:
        UserError: When the folder cannot be made.
    """
    base = os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("prognobench")
    folder = Path(base, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be made ({error.strerror}): "
            f"set {CACHE_VARIABLE} to a folder that can be written to"
        ) from error
    return folder
