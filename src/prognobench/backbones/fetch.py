"""Where the files of weights are on this machine, and how they get there."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import replace
from pathlib import Path

from prognobench.backbones.entry import (
    BackboneEntry,
    HubFile,
    LocalFile,
    PackagedFile,
    RequestedFile,
    UrlFile,
)
from prognobench.errors import UserError
from prognobench.files import cache_folder, file_digest, write_json

WEIGHTS_VARIABLE = "PROGNOBENCH_WEIGHTS"
"""Environment variable: a folder that holds ``<backbone>/<file name>``."""


def locate(entry: BackboneEntry) -> Path:
    """Return the path of an entry's file of weights; nothing is fetched.

    A file that the spec names comes first, then the folder ``PROGNOBENCH_WEIGHTS``, then the
    caches that :func:`fetch` fills.

    Raises:
        UserError: When it is not on this machine; the sentence says how to bring it.
    """
    found = _find(entry)
    if found is None:
        filename = _filename(entry)
        pull = (
            f"it cannot be fetched ({entry.weights.file.contact})"
            if isinstance(entry.weights.file, RequestedFile)
            else f"fetch it with `prognobench pull {entry.name}`"
        )
        raise UserError(
            f"the weights of {entry.name} ({filename}, {entry.weights.origin}) are not on this "
            f"machine: {pull}, or name a copy as 'weights' of the backbone in the spec"
        )
    return found


def local_copy(entry: BackboneEntry, path: Path) -> LocalFile | UrlFile:
    """Return a user's copy of an entry's published file, a zip archive with its member."""
    file = entry.weights.file
    if isinstance(file, UrlFile) and file.member and path.suffix == ".zip":
        return UrlFile("", str(path.absolute()), file.member)
    return LocalFile(path)


def on_disk(entry: BackboneEntry) -> bool:
    """Return whether the weights of an entry are on this machine."""
    return _find(entry) is not None


def resolved(entry: BackboneEntry) -> BackboneEntry:
    """Return an entry with the SHA-256 of its weights, where it can be known.

    That is the published one, else the one recorded when the file was fetched, else that of the
    file as it lies there; without a file it stays empty.
    """
    if entry.weights.sha256:
        return entry
    found = _find(entry)
    if found is None:
        return entry
    recorded = None
    if not isinstance(entry.weights.file, LocalFile):
        recorded = _records("weights.json").get(_origin(entry))
    about = found.stat()
    digest = recorded or _digest(found, about.st_size, about.st_mtime_ns)
    return replace(entry, weights=replace(entry.weights, sha256=digest))


def check_terms(entry: BackboneEntry) -> None:
    """Raise when an entry's terms have not been accepted on this machine.

    Raises:
        UserError: Naming the terms, and how they are accepted.
    """
    if entry.weights.terms and entry.name not in _records("accepted.json"):
        raise UserError(
            f"the weights of {entry.name} come under {entry.weights.terms}: read them, then "
            f"accept them once with `prognobench pull {entry.name} --accept-license`"
        )


def accept_terms(entry: BackboneEntry) -> None:
    """Record that an entry's terms have been accepted."""
    if entry.weights.terms:
        _record("accepted.json", entry.name, entry.weights.terms)


def fetch(entry: BackboneEntry) -> Path:
    """Bring an entry's file of weights to this machine and record its digest.

    A file that is there already is not fetched again. Hub files go to the standard hub cache,
    pinned to their revision, and an interrupted download goes on where it stopped.

    Raises:
        UserError: When it cannot be fetched, or is another file than the one fetched before.
    """
    check_terms(entry)
    found = _find(entry)
    if found is None:
        match entry.weights.file:
            case HubFile() as file:
                found = _from_hub(entry, file)
            case UrlFile() as file:
                found = _from_address(entry, file)
            case _:
                return locate(entry)
    digest = file_digest(found)
    known = entry.weights.sha256 or _records("weights.json").get(_origin(entry), digest)
    if digest != known:
        raise UserError(
            f"the weights file {found} of {entry.name} is not the one expected (its SHA-256 "
            "differs): delete it and fetch it again"
        )
    _record("weights.json", _origin(entry), digest)
    return found


def _find(entry: BackboneEntry) -> Path | None:
    file = entry.weights.file
    if isinstance(file, LocalFile):
        return file.path if file.path.is_file() else None
    if isinstance(file, PackagedFile):
        return file.locate()
    if isinstance(file, UrlFile) and not file.url:
        return Path(file.filename) if Path(file.filename).is_file() else None
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if folder:
        own = Path(folder) / entry.name / _filename(entry)
        if own.is_file():
            return own
    if isinstance(file, HubFile):
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(
            file.repository, file.filename, revision=file.revision
        )
        return Path(cached) if isinstance(cached, str) else None
    kept = cache_folder("weights") / entry.name / _filename(entry)
    return kept if kept.is_file() else None


def _filename(entry: BackboneEntry) -> str:
    match entry.weights.file:
        case LocalFile(path=path):
            return str(path)
        case PackagedFile(package=package):
            return package
        case HubFile(filename=name) | UrlFile(filename=name) | RequestedFile(filename=name):
            return name


def _origin(entry: BackboneEntry) -> str:
    file = entry.weights.file
    if isinstance(file, HubFile):
        return f"{file.repository}@{file.revision}/{file.filename}"
    return f"{entry.name}/{_filename(entry)}"


def _from_hub(entry: BackboneEntry, file: HubFile) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    try:
        # Asked once and briefly: the hub's own retries take most of a minute when it is away.
        address = huggingface_hub.hf_hub_url(file.repository, file.filename, revision=file.revision)
        huggingface_hub.get_hf_file_metadata(address, timeout=10)
        return Path(
            huggingface_hub.hf_hub_download(file.repository, file.filename, revision=file.revision)
        )
    except GatedRepoError as error:
        raise UserError(
            f"the weights of {entry.name} are gated: accept their terms at the hub page of "
            f"{file.repository}, and give your token in HF_TOKEN"
        ) from error
    except Exception as error:
        raise UserError(
            f"{file.filename} of {file.repository} could not be fetched "
            f"({type(error).__name__}): go online and pull again, or copy the file to "
            f"{WEIGHTS_VARIABLE}/{entry.name}/{file.filename}"
        ) from error


def _from_address(entry: BackboneEntry, file: UrlFile) -> Path:
    import torch

    target = cache_folder("weights") / entry.name / file.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Written beside the target and renamed when it is whole.
        torch.hub.download_url_to_file(file.url, str(target))
    except Exception as error:
        raise UserError(
            f"{file.url} could not be fetched ({type(error).__name__}): go online and pull again, "
            f"or copy the file to {WEIGHTS_VARIABLE}/{entry.name}/{file.filename}"
        ) from error
    return target


@functools.lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _changed: int) -> str:
    return file_digest(path)


def _records(name: str) -> dict[str, str]:
    try:
        found = json.loads((cache_folder("weights") / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record(name: str, key: str, value: str) -> None:
    write_json(cache_folder("weights") / name, {**_records(name), key: value})
