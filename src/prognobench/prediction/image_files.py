"""From what a user names, files and folders, to decoded squares."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prognobench.errors import UserError
from prognobench.images.decoders import decode_files

BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
DICOM_MARK, DICOM_MARK_AT = b"DICM", 128


@dataclass(frozen=True)
class FoundFiles:
    """Image files.

    Attributes:
        paths: The files, in the order in which they were named, those of a folder sorted.
        passed_over: How many files of folders are no images by their content.
    """

    paths: tuple[Path, ...]
    passed_over: int = 0


def find_images(named: Iterable[Path]) -> FoundFiles:
    """Return the image files that are named, and those under the folders that are named.

    A file in a folder is an image if its content begins like one, whatever its name. A file that
    is named itself is always taken, so that it is told when it cannot be read.

    Raises:
        UserError: When a name is neither a file nor a folder, or there is no image at all.
    """
    paths: dict[Path, None] = {}
    passed_over = 0
    given = list(named)
    for path in given:
        if path.is_dir():
            for inside in _under(path):
                if _begins_like_an_image(inside):
                    paths[inside] = None
                else:
                    passed_over += 1
        elif path.exists():
            paths[path] = None
        else:
            raise UserError(f"there is no file or folder {path}: name images or folders of them")
    if not paths:
        where = ", ".join(str(path) for path in given) or "nothing"
        raise UserError(
            f"no image was found in {where} ({passed_over} other files): name DICOM, PNG or JPEG "
            "files or folders of them"
        )
    return FoundFiles(tuple(paths), passed_over)


def _under(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name != "DICOMDIR":
                yield Path(place) / name


def _begins_like_an_image(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            start = stream.read(DICOM_MARK_AT + len(DICOM_MARK))
    except OSError:
        return True  # it is told as unreadable
    return start.startswith(BEGINNINGS) or start[DICOM_MARK_AT:] == DICOM_MARK


def read_squares(
    paths: Sequence[Path], size: int, percentiles: tuple[float, float] | None = None
) -> Iterator[tuple[Path, npt.NDArray[np.uint8] | str]]:
    """Yield each file with its square of ``size`` pixels, or with why it cannot be read.

    The way from file to square is the benchmark's own, in processes that a hostile file may end.

    Args:
        paths: The files.
        size: Side of the squares.
        percentiles: See :func:`prognobench.images.raster.to_grey`.
    """
    request = {"sizes": [size], "percentiles": percentiles}
    files = {str(place): path for place, path in enumerate(paths)}
    outcomes = {own.name: own for own in decode_files(files, lambda *_: request)}
    for place, path in files.items():
        own = outcomes[place]
        yield path, own.images[0] if own.images else str(own.failure)
