"""Fetching a file from an address of its own, going on where an earlier try stopped."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from prognobench.files import sync_folder, write_text

CHUNK = 1 << 20
TIMEOUT = 30


def download(url: str, target: Path, credentials: str = "") -> None:
    """Fetch a file; it appears under its name only when it is whole.

    What has arrived is kept beside it with the server's entity tag, so that the next call asks
    for the rest of the same file; a server that has another file by then, or cannot send parts,
    sends all of it.

    Args:
        url: An address of http or https.
        target: Where the file goes; its folder is made.
        credentials: What is sent as ``Authorization``, to this address and to none that it
            leads to.

    Raises:
        OSError: When the server cannot be reached, refuses, or stops early.
        ValueError: When the address is of another kind.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is no address of http or https")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, tag = (target.with_name(target.name + end) for end in (".part", ".etag"))
    headers = {}
    if part.is_file() and tag.is_file():
        headers = {
            "Range": f"bytes={part.stat().st_size}-",
            "If-Range": tag.read_text(encoding="utf-8"),
        }
    try:
        _receive(_request(url, headers, credentials), part, tag)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # The part is all of the file, or of another one: once more from the beginning.
        part.unlink()
        _receive(_request(url, {}, credentials), part, tag)
    part.replace(target)
    sync_folder(target.parent)
    tag.unlink(missing_ok=True)


def _request(url: str, headers: dict[str, str], credentials: str) -> urllib.request.Request:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  checked
    if credentials:
        request.add_unredirected_header("Authorization", credentials)
    return request


def _receive(request: urllib.request.Request, part: Path, tag: Path) -> None:
    from rich.progress import wrap_file

    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310  checked
        goes_on = response.status == 206
        there = part.stat().st_size if goes_on else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        if response.headers.get("ETag"):
            write_text(tag, response.headers["ETag"])
        else:
            tag.unlink(missing_ok=True)
        with (
            part.open("ab" if goes_on else "wb") as out,
            wrap_file(response, int(length or 0), description=part.stem, transient=True) as body,
        ):
            shutil.copyfileobj(body, out, CHUNK)
            out.flush()
            os.fsync(out.fileno())
    if total is not None and part.stat().st_size != total:
        raise OSError(f"the server stopped after {part.stat().st_size} of {total} bytes")
