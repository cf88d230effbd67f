"""Radiographs of the size that detectors have, in the formats of the public cohorts.

The real files at hand have 700 pixels a side. They are enlarged to 2,500 and get the noise of a
detector, without which they would compress better than real ones of this size do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from prognobench.randomness import generator

LONGER_SIDE = 2500
BITS = 12
NOISE = 12.0
"""Standard deviation of the noise, in values of :data:`BITS`."""

_Values = npt.NDArray[np.uint16]


def write_detector_files(sources: Sequence[Path], folder: Path) -> Mapping[str, dict[str, Path]]:
    """Write each radiograph in each format.

    Args:
        sources: Real radiographs that Pillow reads.
        folder: An empty folder.

    Returns:
        The files by name, by format.
    """
    written: dict[str, dict[str, Path]] = {name: {} for name in _ENCODERS}
    for number, source in enumerate(sources):
        values = _enlarged(source, number)
        for place, (name, encode) in enumerate(_ENCODERS.items()):
            path = folder / f"{number:03}-{place}"
            path.write_bytes(encode(values))
            written[name][path.name] = path
    return written


def _enlarged(source: Path, number: int) -> _Values:
    with Image.open(source) as picture:
        grey = picture.convert("L")
    zoom = LONGER_SIDE / max(grey.size)
    size = (round(grey.width * zoom), round(grey.height * zoom))
    large = np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    noise = generator("detector noise", number).normal(0.0, NOISE, large.shape)
    deep = large * 2 ** (BITS - 8) + noise
    return np.clip(deep, 0, 2**BITS - 1).astype(np.uint16)


def _picture(kind: str, **options: int) -> Callable[[_Values], bytes]:
    def encode(values: _Values) -> bytes:
        stream = io.BytesIO()
        Image.fromarray((values >> (BITS - 8)).astype(np.uint8)).save(stream, kind, **options)
        return stream.getvalue()

    return encode


def _deep_png(values: _Values) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def _dicom(
    syntax: uid.UID, encode: Callable[[_Values], bytes] | None = None
) -> Callable[[_Values], bytes]:
    def written(values: _Values) -> bytes:
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
        dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        dataset.Rows, dataset.Columns = values.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
        dataset.PixelRepresentation = 0
        dataset.WindowCenter, dataset.WindowWidth = 2 ** (BITS - 1), 2**BITS
        dataset.PixelData = encapsulate([encode(values)]) if encode else values.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset["PixelData"].is_undefined_length = encode is not None
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        return stream.getvalue()

    return written


_ENCODERS: Mapping[str, Callable[[_Values], bytes]] = {
    "PNG, 8 bit": _picture("PNG"),
    "PNG, 16 bit": _deep_png,
    "JPEG, 8 bit": _picture("JPEG", quality=90),
    "DICOM, JPEG lossless": _dicom(
        uid.JPEGLosslessSV1, lambda values: imagecodecs.ljpeg_encode(values, bitspersample=BITS)
    ),
    "DICOM, not compressed": _dicom(uid.ExplicitVRLittleEndian),
}
"""As in CDSL (JPEG), BIMCV (PNG of 16 bits), RICORD (JPEG lossless), NY-SBU (not compressed)."""
