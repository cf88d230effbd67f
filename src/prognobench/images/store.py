"""The image store: every image decoded once, memory-mapped afterwards.

What an image is decoded to is kept under a key of all that decides it: the digest of its file,
what is asked of it (percentiles, lung box), the size, the versions of our rules and of the
libraries that decode. So a cohort with ten images more decodes ten, and cohorts share what they
have in common.
``images/<rules>/`` of the cache holds a :class:`~prognobench.images.pixel_file.PixelFile` a size,
and ``failures``, a line of JSON for each file that cannot be decoded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prognobench.errors import UserError
from prognobench.files import identity
from prognobench.images.append_only import append_lines, read_lines
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.decoder import Request
from prognobench.images.decoders import decode_files
from prognobench.images.file_digests import FileDigests
from prognobench.images.geometry import GEOMETRY_VERSION, Box
from prognobench.images.pixel_file import PixelFile, Pixels

_LIBRARIES = ("pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg")
_FAILURE = re.compile(rb'\{"file": "([0-9a-f]{64})", "reason": (".*")\}')


@dataclass(frozen=True)
class ImageStore:
    """Decoded square images of one size.

    Attributes:
        images: uint8, rows by size by size, memory-mapped; also rows of other cohorts, so that
            :meth:`index_of` tells which to take.
        rows: The row of each image, by its id in sorted order.
        sums: SHA-256 of the pixels of each image.
    """

    images: Pixels
    rows: Mapping[str, int]
    sums: Mapping[str, str]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The ids of its images, sorted."""
        return tuple(self.rows)

    def index_of(self, image_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the rows of some images, in their order.

        Raises:
            KeyError: When one of them is not in the store.
        """
        return np.array([self.rows[image_id] for image_id in image_ids], dtype=np.int64)

    def pixels(self, image_ids: Sequence[str]) -> Pixels:
        """Return some images, in their order: still memory-mapped where they stand in a row.

        Raises:
            KeyError: When one of them is not in the store.
        """
        rows = self.index_of(image_ids)
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self.images[rows[0] : rows[-1] + 1]
        return self.images[rows]

    def pixel_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each image's pixels, which equal pictures share."""
        return dict(self.sums)


@dataclass(frozen=True)
class StoreResult:
    """What :func:`build_store` made or found.

    Attributes:
        stores: The images by size; each holds the same images.
        digests: SHA-256 of each file's bytes, by image id; also of those that failed to decode.
        contents: What decides each image's pixels besides our rules and the size, as one hash: the
            digest of the file where nothing is asked of the image.
        failures: Why an image is not in the stores, by image id.
    """

    stores: dict[int, ImageStore]
    digests: dict[str, str]
    contents: dict[str, str]
    failures: dict[str, str] = field(default_factory=dict)


def build_store(
    files: Mapping[str, Path],
    sizes: Sequence[int],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    percentiles: tuple[float, float] | None = None,
    boxes: Mapping[str, Box] | None = None,
) -> StoreResult:
    """Give the images of files at each size, and decode those that are not in the store.

    A file that cannot be read or decoded never stops the others. What is found in the store is
    verified by its digest; what was truncated or altered is made anew.

    Args:
        files: The image files by image id.
        sizes: Sides of the squares in pixels.
        folder: Where the store is kept.
        progress: Called with the numbers of files done and of all files that need work.
        percentiles: See :func:`prognobench.images.raster.to_grey`.
        boxes: What to show of an image, by its id; all of it where there is none.

    Raises:
        UserError: When the folder cannot be written to.
    """
    try:
        building = _Building(files, sizes, folder, percentiles, boxes or {})
        building.find()
        building.decode(progress)
        return building.result()
    except OSError as error:
        raise UserError(
            f"the image store in {folder} cannot be written ({error.strerror}): free some "
            "space there, or choose another cache folder"
        ) from error


class _Building:
    """One call of :func:`build_store`."""

    def __init__(
        self,
        files: Mapping[str, Path],
        sizes: Sequence[int],
        folder: Path,
        percentiles: tuple[float, float] | None,
        boxes: Mapping[str, Box],
    ) -> None:
        rules = {
            "rules": [DECODE_VERSION, GEOMETRY_VERSION],
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
        home = folder / identity(rules)
        home.mkdir(parents=True, exist_ok=True)
        self._files = {image_id: files[image_id] for image_id in sorted(files)}
        self._percentiles = percentiles
        self._boxes = boxes
        self._known = FileDigests(folder / "file_digests")
        self._pixels = {size: PixelFile(home, size) for size in sorted(set(sizes))}
        self._failures_path = home / "failures"
        self._reasons = {
            digest.decode(): str(json.loads(reason))
            for digest, reason in read_lines(self._failures_path, _FAILURE)
        }
        self._nothing_kept = not self._reasons and not any(map(len, self._pixels.values()))
        self._digests: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._new_reasons: dict[str, str] = {}

    def content(self, image_id: str, digest: str) -> str:
        """Return the hash of what decides an image's pixels."""
        box = self._boxes.get(image_id)
        if box is None and self._percentiles is None:
            return digest
        asked = {"percentiles": self._percentiles, "box": box}
        return identity({"file": digest, **asked}, 64)

    def find(self) -> None:
        """Take what is known without opening a file."""
        self._marks = {image_id: self._known.mark(path) for image_id, path in self._files.items()}
        keys = []
        for image_id, mark in self._marks.items():
            if (digest := self._known.get(mark)) is not None:
                self._digests[image_id] = digest
                keys.append(self.content(image_id, digest))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for pixels in self._pixels.values():
                pixels.check(keys, threads)

    def decode(self, progress: Callable[[int, int], None] | None) -> None:
        """Read the files that are left, and decode those whose content is not in the store."""
        todo = [
            image_id
            for image_id in self._files
            if (digest := self._digests.get(image_id)) is None
            or (digest not in self._reasons and self._missing(image_id, digest))
        ]
        if not todo:
            return
        with ExitStack() as stack:
            stack.callback(self._save)
            writing = {
                size: stack.enter_context(pixels.writing(todo))
                for size, pixels in self._pixels.items()
            }
            outcomes = decode_files({name: self._files[name] for name in todo}, self._wanted)
            for done, outcome in enumerate(outcomes, start=1):
                name, digest = outcome.name, outcome.digest
                if digest is None:
                    self._failures[name] = str(outcome.failure)
                else:
                    self._digests[name] = digest
                    self._known.add(self._marks[name], digest)
                    if outcome.failure is not None:
                        self._failures[name] = outcome.failure
                        if outcome.lasting:
                            self._new_reasons[digest] = outcome.failure
                    elif outcome.images is not None:
                        key = self.content(name, digest)
                        for square in outcome.images:
                            writing[len(square)].write(name, key, square)
                if progress is not None:
                    progress(done, len(todo))

    def _missing(self, image_id: str, digest: str) -> list[int]:
        key = self.content(image_id, digest)
        return [size for size, pixels in self._pixels.items() if not pixels.is_sound(key)]

    def _wanted(self, image_id: str, digest: str | None) -> Request | None:
        digest = digest or self._digests.get(image_id)
        if digest is not None:
            missing = [] if digest in self._reasons else self._missing(image_id, digest)
        elif self._nothing_kept:
            missing = list(self._pixels)
        else:
            return None
        if not missing:
            return None
        box = self._boxes.get(image_id)
        return {"sizes": missing, "percentiles": self._percentiles, "box": box}

    def _save(self) -> None:
        lines = (
            json.dumps({"file": digest, "reason": reason})
            for digest, reason in sorted(self._new_reasons.items())
        )
        append_lines(self._failures_path, lines)
        self._known.keep()

    def result(self) -> StoreResult:
        """Return what there is now."""
        for image_id, digest in self._digests.items():
            if digest in self._reasons:
                self._failures[image_id] = self._reasons[digest]
        contents = {
            image_id: self.content(image_id, digest)
            for image_id, digest in sorted(self._digests.items())
        }
        keys = {name: key for name, key in contents.items() if name not in self._failures}
        stores = {
            size: ImageStore(
                pixels.mapped(),
                {name: pixels.row(key) for name, key in keys.items()},
                {name: pixels.digest(key) for name, key in keys.items()},
            )
            for size, pixels in self._pixels.items()
        }
        failures = dict(sorted(self._failures.items()))
        return StoreResult(stores, dict(sorted(self._digests.items())), contents, failures)
