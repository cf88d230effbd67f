"""Image files for tests, sound and broken."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

NAME_OF_A_PATIENT = "Secret^Patient"


def gradient(height: int = 20, width: int = 30) -> np.ndarray:
    return np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def by_pillow(image: np.ndarray, side: int, size: int) -> np.ndarray:
    """Return what Pillow makes of an image in the middle of a black square."""
    height, width = image.shape
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((side, side), np.uint8)
    padded[top : top + height, left : left + width] = image
    return np.asarray(Image.fromarray(padded).resize((size, size), Image.Resampling.BICUBIC))


def dicom(
    pixels: np.ndarray, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **tags: Any
) -> bytes:
    """Return an uncompressed DICOM file of these stored values."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    return _written(_dataset(pixels, bits, syntax, data, tags))


def encapsulated(pixels: np.ndarray, frame: bytes, syntax: str, bits: int, **tags: Any) -> bytes:
    """Return a DICOM file whose pixels are a compressed frame of a transfer syntax."""
    return _written(_dataset(pixels, bits, syntax, encapsulate([frame]), tags))


def _dataset(
    pixels: np.ndarray, bits: int, syntax: str, data: bytes, tags: dict[str, Any]
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName = NAME_OF_A_PATIENT
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = data
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = UID(syntax).is_encapsulated
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    return dataset


def _written(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset)
    return stream.getvalue()
