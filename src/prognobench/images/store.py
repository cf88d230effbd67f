"""The image store: every file decoded once, memory-mapped afterwards.

A store is one uint8 array of images by size by size in a ``.npy`` file, and a ``.json`` beside it
with the image ids of its rows, the files that failed, and the digest of the array. Its key is made
of all that decides its content: the files' digests, the size, the versions of our rules and of the
libraries that decode. Each size has a store of its own that depends on no other size.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from prognobench.errors import UserError
from prognobench.files import atomic_path, file_digest, identity, write_json
from prognobench.images.decode import DECODE_VERSION, ImageError, decode_bytes, read_bytes
from prognobench.images.geometry import GEOMETRY_VERSION, to_square

Pixels = npt.NDArray[np.uint8]

_LIBRARIES = ("pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg")


@dataclass(frozen=True)
class ImageStore:
    """Decoded square images of one size.

    Attributes:
        images: uint8, images by size by size, memory-mapped.
        image_ids: The image of each row, sorted.
    """

    images: Pixels
    image_ids: tuple[str, ...]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}

    def index_of(self, image_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the rows of some images, in their order.

        Raises:
            KeyError: When one of them is not in the store.
        """
        return np.array([self._rows[image_id] for image_id in image_ids], dtype=np.int64)

    def pixel_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each image's pixels, which equal pictures share."""
        return {
            image_id: hashlib.sha256(self.images[row].tobytes()).hexdigest()
            for image_id, row in self._rows.items()
        }


@dataclass(frozen=True)
class StoreResult:
    """What :func:`build_store` made or found.

    Attributes:
        stores: The images by size; each holds the same images.
        digests: SHA-256 of each file's bytes, by image id; also of those that failed to decode.
        failures: Why an image is not in the stores, by image id.
    """

    stores: dict[int, ImageStore]
    digests: dict[str, str]
    failures: dict[str, str] = field(default_factory=dict)


def build_store(
    files: Mapping[str, Path],
    sizes: Sequence[int],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> StoreResult:
    """Decode every file once and give its images at each size, from the cache where they are.

    A file that cannot be read or decoded never stops the others. A store that is found is
    verified by its digest; a truncated or altered one is made anew.

    Args:
        files: The image files by image id.
        sizes: Sides of the squares in pixels.
        folder: Where stores are kept.
        progress: Called with the numbers of files done and of all files, while decoding only.

    Raises:
        UserError: When the folder cannot be written to.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests, failures = _digests(files, pool)
        paths = {size: folder / f"{_key(digests, size)}.npy" for size in sorted(set(sizes))}
        missing = {size: path for size, path in paths.items() if _verified(path) is None}
        if missing:
            try:
                _decode_all(files, digests, missing, pool, progress)
            except OSError as error:
                raise UserError(
                    f"the image store in {folder} cannot be written ({error.strerror}): free some "
                    "space there, or choose another cache folder"
                ) from error
    stores = {}
    for size, path in paths.items():
        about = json.loads(_beside(path).read_text(encoding="utf-8"))
        # NumPy cannot map an array without elements.
        mapped = np.load(path, mmap_mode="r" if about["image_ids"] else None, allow_pickle=False)
        stores[size] = ImageStore(mapped, tuple(about["image_ids"]))
        failures.update(about["failures"])
    return StoreResult(stores, digests, dict(sorted(failures.items())))


def _key(digests: Mapping[str, str], size: int) -> str:
    return identity(
        {
            "rules": [DECODE_VERSION, GEOMETRY_VERSION],
            "libraries": {name: version(name) for name in _LIBRARIES},
            "size": size,
            "files": dict(digests),
        },
        32,
    )


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _digests(
    files: Mapping[str, Path], pool: ThreadPoolExecutor
) -> tuple[dict[str, str], dict[str, str]]:
    def one(image_id: str) -> tuple[str | None, str]:
        try:
            return hashlib.sha256(read_bytes(files[image_id])).hexdigest(), ""
        except ImageError as error:
            return None, str(error)

    digests, failures = {}, {}
    names = sorted(files)
    for image_id, (digest, reason) in zip(names, pool.map(one, names), strict=True):
        if digest is None:
            failures[image_id] = reason
        else:
            digests[image_id] = digest
    return digests, failures


def _verified(path: Path) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads(_beside(path).read_text(encoding="utf-8"))
        return about if about["sha256"] == file_digest(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _decode_all(
    files: Mapping[str, Path],
    digests: Mapping[str, str],
    targets: Mapping[int, Path],
    pool: ThreadPoolExecutor,
    progress: Callable[[int, int], None] | None,
) -> None:
    image_ids: list[str] = []
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        parts = {size: stack.enter_context(atomic_path(path)) for size, path in targets.items()}
        streams = {size: stack.enter_context(path.open("wb")) for size, path in parts.items()}
        for size, stream in streams.items():
            _write_header(stream, (len(digests), size, size))
        decoded = _decoded(files, digests, list(targets), pool)
        for done, (image_id, squares) in enumerate(decoded, start=1):
            if isinstance(squares, str):
                failures[image_id] = squares
            else:
                image_ids.append(image_id)
                for size, square in squares.items():
                    streams[size].write(square.tobytes())
            if progress is not None:
                progress(done, len(digests))
        sums = {}
        for size, stream in streams.items():
            # NumPy leaves room in the header for the first axis to change, for this use.
            stream.seek(0)
            _write_header(stream, (len(image_ids), size, size))
            stream.flush()
            sums[size] = file_digest(parts[size])
    for size, path in targets.items():
        about = {"image_ids": image_ids, "failures": failures, "sha256": sums[size]}
        write_json(_beside(path), about)


def _write_header(stream: IO[bytes], shape: tuple[int, int, int]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _decoded(
    files: Mapping[str, Path],
    digests: Mapping[str, str],
    sizes: Sequence[int],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[str, dict[int, Pixels] | str]]:
    """Yield each image with its squares by size, or with the reason why there are none.

    Threads, not processes: Pillow decodes and resizes without the interpreter's lock, and
    processes take longer to start than a small cohort takes to decode.
    """

    def one(image_id: str) -> dict[int, Pixels] | str:
        try:
            data = read_bytes(files[image_id])
            if hashlib.sha256(data).hexdigest() != digests[image_id]:
                raise ImageError("the file was changed while it was being read")
            image = decode_bytes(data)
            return {size: to_square(image, size) for size in sizes}
        except ImageError as error:
            return str(error)

    names = sorted(digests)
    yield from zip(names, pool.map(one, names), strict=True)
