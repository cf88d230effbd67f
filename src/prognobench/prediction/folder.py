"""The folder of an exported model: what lies in it, and that it is what was written.

Whoever is given such a folder does not know who made it. Nothing in it is ever run: it holds JSON
and safetensors only, paths are never read out of it, links are refused, sizes are bounded before
anything is read, and every file must have the digest that ``SHA256SUMS`` says.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

from prognobench.errors import UserError
from prognobench.files import file_digest, write_text

DESCRIPTION = "export.json"
CARD = "README.md"
SUMS = "SHA256SUMS"
TRAINED = "trained"
BACKBONE = "backbone.safetensors"

LARGEST_TEXT = 1_000_000
"""Bytes that a file of text may have."""

LARGEST_FILE = 16_000_000_000
"""Bytes that a file of weights may have: the largest backbones have about 5 GB."""

MOST_FILES = 16

_ALLOWED = {
    DESCRIPTION,
    CARD,
    f"{TRAINED}/model.json",
    f"{TRAINED}/adapter_config.json",
    f"{TRAINED}/adapter_model.safetensors",
    f"{TRAINED}/trained.safetensors",
    f"{TRAINED}/head.safetensors",
    BACKBONE,
}
_NEEDED = {DESCRIPTION, f"{TRAINED}/head.safetensors"}
_LINE = re.compile(r"([0-9a-f]{64})  ([\w./-]+)")


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of every file in a model folder, as ``sha256sum -c`` reads them."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != SUMS
    )
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    write_text(folder / SUMS, "".join(lines))


def verify(folder: Path) -> None:
    """Refuse a model folder that is not exactly what ``prognobench export`` wrote.

    The model card may have been written on, since it is there to be completed.

    Raises:
        UserError: Naming the file that is missing, altered, a link, too large or not of its kind.
    """
    if not folder.is_dir():
        raise UserError(f"there is no model folder {folder}: name one that export has written")
    found = _files(folder)
    digests = _digests(folder)
    for name in sorted(found - digests.keys() - {SUMS}):
        raise UserError(
            f"{folder / name} is not listed in {SUMS}: a model folder holds nothing but what "
            "export has written, take the file out or get the folder anew"
        )
    for name in sorted({*_NEEDED, *digests} - found - {CARD}):
        raise UserError(f"{folder / name} is missing: get the whole model folder anew")
    for name, digest in digests.items():
        if name != CARD and file_digest(folder / name) != digest:
            raise UserError(
                f"{folder / name} has been altered since the model was exported (its SHA-256 "
                "differs): get the model folder anew"
            )


def read_description(folder: Path) -> dict[str, Any]:
    """Return what ``export.json`` holds.

    Raises:
        UserError: When it is no JSON object.
    """
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: get the model folder anew") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object: get the model folder anew")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _files(folder: Path) -> set[str]:
    """Return the files of a folder by their relative names; nothing else may be in it."""
    found: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in [*folders, *files]:
            path = Path(place) / name
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UserError(
                    f"{path} is a link or no plain file: a model folder holds plain files only"
                )
            if path.is_file():
                if inside not in {*_ALLOWED, SUMS}:
                    raise UserError(
                        f"{path} does not belong into a model folder, which holds JSON and "
                        "safetensors only: take it out"
                    )
                found.add(inside)
                _check_size(path)
            if len(found) > MOST_FILES or inside.count("/") > 1:
                raise UserError(f"{folder} holds more than a model: name a model folder")
    return found


def _check_size(path: Path) -> None:
    largest = LARGEST_FILE if path.suffix == ".safetensors" else LARGEST_TEXT
    if path.stat().st_size > largest:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes, more than the {largest} that such a file "
            "of a model may have"
        )


def _digests(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {SUMS}: name a folder that `prognobench export` has written"
        )
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] not in _ALLOWED or match[2] in found:
            raise UserError(f"{path} has a line that export does not write: get the folder anew")
        found[match[2]] = match[1]
    return found


def check_tensors(path: Path, largest: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a safetensors file, read from its header alone.

    Args:
        path: The file.
        largest: Size of the largest dimension that is believable.

    Raises:
        UserError: When the file is broken, or a tensor is empty or of an absurd shape.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            shapes = {
                name: tuple(map(int, opened.get_slice(name).get_shape()))
                for name in opened.keys()  # noqa: SIM118  it is no mapping
            }
    except Exception as error:  # safetensors raises a class of its own for broken files
        raise UserError(
            f"{path} is no sound safetensors file ({type(error).__name__}): get it anew"
        ) from error
    for shape in shapes.values():
        if math.prod(shape) < 1 or any(side > largest for side in shape) or len(shape) > 5:
            raise UserError(f"{path} holds a tensor of the shape {shape}: no model has one")
    return shapes
