"""Where the files of weights are on this machine, and how they get there."""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import replace
from pathlib import Path

from prognobench.backbones.download import download
from prognobench.backbones.entry import (
    BackboneEntry,
    HubFile,
    LocalFile,
    PackagedFile,
    RequestedFile,
    UrlFile,
)
from prognobench.backbones.hub_cache import place_in_hub_cache
from prognobench.errors import UserError
from prognobench.files import file_digest, in_cache, lasting_cache_folder, write_json

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


def find_hub_file(name: str, file: HubFile) -> Path | None:
    """Return where a file of the hub is on this machine, in the commit that was fetched.

    Args:
        name: The backbone that it belongs to.
        file: The file.
    """
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if folder and (Path(folder) / name / file.filename).is_file():
        return Path(folder) / name / file.filename
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(
        file.repository, file.filename, revision=_commit(file)
    )
    return Path(cached) if isinstance(cached, str) else None


def fetch_hub_file(name: str, file: HubFile) -> Path:
    """Bring a file of the hub to this machine and record the commit it is from.

    Where the revision is a branch, the commit it stood for at the first fetch is the one that
    is meant from then on. What the hub says of the file's SHA-256 is checked.

    Raises:
        UserError: When it cannot be fetched, or arrives damaged.
    """
    found = find_hub_file(name, file)
    if found is not None:
        return found
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    wanted = _commit(file)
    try:
        # Asked once and briefly: the hub's own retries take most of a minute when it is away.
        address = huggingface_hub.hf_hub_url(file.repository, file.filename, revision=wanted)
        about = huggingface_hub.get_hf_file_metadata(address, timeout=10)
        if not about.commit_hash or not about.etag:
            raise OSError("the hub names no commit")
        address = huggingface_hub.hf_hub_url(
            file.repository, file.filename, revision=about.commit_hash
        )
        arriving = lasting_cache_folder("weights", "arriving") / about.etag
        token = huggingface_hub.get_token()
        download(address, arriving, f"Bearer {token}" if token else "")
    except GatedRepoError as error:
        raise UserError(
            f"the weights of {name} are gated: accept their terms at the hub page of "
            f"{file.repository}, and give your token in HF_TOKEN"
        ) from error
    except Exception as error:
        raise UserError(
            f"{file.filename} of {file.repository} could not be fetched "
            f"({type(error).__name__}): go online and pull again, or copy the file to "
            f"{WEIGHTS_VARIABLE}/{name}/{file.filename}"
        ) from error
    # The hub tags large files with their SHA-256, and small ones with a git hash.
    if re.fullmatch(r"[0-9a-f]{64}", about.etag) and file_digest(arriving) != about.etag:
        arriving.unlink()
        raise UserError(
            f"{file.filename} of {file.repository} arrived damaged (its SHA-256 is not the hub's): "
            "pull again"
        )
    commit = about.commit_hash
    path = place_in_hub_cache(arriving, replace(file, revision=wanted), commit, about.etag)
    _record("commits.json", f"{file.repository}@{file.revision}", commit)
    return path


def fetched_commit(entry: BackboneEntry) -> str:
    """Return the commit of the hub that an entry's weights are from; empty where not known."""
    file = entry.weights.file
    return _commit(file) if isinstance(file, HubFile) else ""


def _commit(file: HubFile) -> str:
    return _records("commits.json").get(f"{file.repository}@{file.revision}", file.revision)


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
                found = fetch_hub_file(entry.name, file)
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
    if isinstance(file, HubFile):
        return find_hub_file(entry.name, file)
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if folder and (Path(folder) / entry.name / _filename(entry)).is_file():
        return Path(folder) / entry.name / _filename(entry)
    kept = in_cache("weights", entry.name, _filename(entry))
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


def _from_address(entry: BackboneEntry, file: UrlFile) -> Path:
    target = lasting_cache_folder("weights", entry.name) / file.filename
    try:
        download(file.url, target)
    except OSError as error:
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
        found = json.loads(in_cache("weights", name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record(name: str, key: str, value: str) -> None:
    write_json(lasting_cache_folder("weights") / name, {**_records(name), key: value})
