"""What is known of an image file without looking at the lungs: its size, its format, its text."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from prognobench.audit.images import LARGE_SIDE
from prognobench.audit.text import characters
from prognobench.images.codestream import frame_size
from prognobench.images.pictures import JPEG, PNG
from prognobench.images.store import StoreResult

HEAD_BYTES = 512 * 1024
"""How much of a file is read."""

_DICOM_MARK, _DICOM_AT = b"DICM", 128
_PNG_KINDS = {0: "grey", 2: "colour", 3: "palette", 4: "grey, alpha", 6: "colour, alpha"}


def image_facts(files: Mapping[str, Path], store: StoreResult) -> pd.DataFrame:
    """Return what the files and their margins tell.

    Args:
        files: The image files by image id.
        store: The decoded images, at :data:`prognobench.audit.images.LARGE_SIDE` among others;
            others of ``files`` are left out.

    Returns:
        One row an image, by its id: ``width`` and ``height`` in pixels (missing where the header
        does not say), ``file_format`` (such as ``PNG, 8 bit, grey``), ``characters`` (of burnt-in
        text, see :mod:`prognobench.audit.text`).
    """
    large = store.stores[LARGE_SIDE]
    ids = [image_id for image_id in files if image_id in large.rows]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        heads = list(pool.map(_about, (files[image_id] for image_id in ids)))
        # The filters of scipy let other threads work.
        counts = list(pool.map(lambda one: characters(large.images[large.rows[one]]), ids))
    table = pd.DataFrame(heads, columns=["width", "height", "file_format"], index=pd.Index(ids))
    table["width"] = table["width"].astype("float64")
    table["height"] = table["height"].astype("float64")
    return table.assign(characters=pd.Series(counts, index=table.index, dtype="int64"))


def _about(path: Path) -> tuple[int | None, int | None, str]:
    """Return width, height and format of a file by its first bytes."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if head.startswith(PNG):
            width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
            kind = _PNG_KINDS.get(head[25], "other")
            return width, height, f"PNG, {head[24]} bit, {kind}"
        if head.startswith(JPEG):
            size = frame_size(head)
            if size is None:
                return None, None, "JPEG"
            colour = "grey" if size.components == 1 else "colour"
            return size.width, size.height, f"JPEG, {size.precision} bit, {colour}"
        if head[_DICOM_AT : _DICOM_AT + 4] == _DICOM_MARK:
            return _dicom(head)
    except Exception:
        # Broken headers end in every kind of error; what they say may hold identifiers.
        return None, None, "unknown"
    return None, None, "unknown"


def _dicom(head: bytes) -> tuple[int | None, int | None, str]:
    import pydicom

    wanted = ["Rows", "Columns", "BitsStored", "PhotometricInterpretation"]
    found = pydicom.dcmread(io.BytesIO(head), stop_before_pixels=True, specific_tags=wanted)
    syntax = found.file_meta.TransferSyntaxUID.name.split("(")[0].strip()
    bits, kind = found.get("BitsStored"), found.get("PhotometricInterpretation")
    return int(found.Columns), int(found.Rows), f"DICOM, {bits} bit, {kind}, {syntax}"
