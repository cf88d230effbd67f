"""Sound image files of every kind that is read, and what can happen to them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

Random = np.random.Generator
PNG = b"\x89PNG\r\n\x1a\n"
HEADER = 2048
"""Bytes at the beginning that are changed more often than others: there the lengths stand."""

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MADE_BY_OTHERS = (
    "MR_small_RLE",
    "MR_small_jp2klossless",
    "MR_small_jpeg_ls_lossless",
    "MR_small_bigendian",
    "MR_small_implicit",
    "JPEG-lossy",
    "JPGExtended",
    "JPEG2000",
    "J2K_pixelrep_mismatch",
    "SC_rgb_rle_16bit",
    "SC_rgb_jpeg_dcmtk",
    "SC_ybr_full_422_uncompressed",
    "examples_palette",
    "image_dfl",
    "UN_sequence",
    "nested_priv_SQ",
    "liver_1frame",
)
"""Files that come with pydicom, of many makers and compressions."""


def dicom(pixels: np.ndarray[Any, Any], syntax: str, frame: bytes | None, **tags: Any) -> bytes:
    """Return a DICOM file of 12 bits, with a compressed frame or without."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPInstanceUID, dataset.Modality, dataset.PatientID = "1.2.3", "DX", "7"
    dataset.StudyDate, dataset.ViewPosition = "20200203", "AP"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = [2000, 1500], [3000, 900]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = pixels.tobytes() if frame is None else encapsulate([frame])
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = frame is not None
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    return _written(dataset)


def sound_files() -> dict[str, bytes]:
    """Return small sound files of every kind that is read, by name."""
    random = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(96) * 20, np.arange(80) * 25)
    deep = np.clip(smooth + random.normal(0, 40, smooth.shape), 0, 4095).astype(np.uint16)
    grey = (deep >> 4).astype(np.uint8)
    colour = np.stack([grey, grey[::-1], 255 - grey], axis=-1)
    files = {
        f"png {picture.mode}": picture_file(picture, "PNG")
        for picture in (
            Image.fromarray(grey),
            Image.fromarray(grey).convert("1"),
            Image.fromarray(grey).convert("P"),
            Image.fromarray(colour),
            Image.fromarray(colour).convert("RGBA"),
            Image.fromarray(deep),
        )
    }
    for name, pixels in {"RGB": np.stack([deep] * 3, -1), "LA": np.stack([deep] * 2, -1)}.items():
        files[f"png {name} of 16 bits"] = bytes(imagecodecs.png_encode(pixels))
    files |= {
        "jpeg": picture_file(Image.fromarray(grey), "JPEG"),
        "jpeg in colour": picture_file(Image.fromarray(colour), "JPEG"),
        "jpeg progressive": picture_file(Image.fromarray(colour), "JPEG", progressive=True),
        "jpeg cmyk": picture_file(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "jpeg of 12 bits": imagecodecs.jpeg_encode(deep, level=90, bitspersample=12),
        "jpeg lossless": imagecodecs.ljpeg_encode(deep, bitspersample=12),
    }
    lossless = {"level": 0, "codecformat": "j2k", "reversible": True, "bitspersample": 12}
    frames = {
        uid.ExplicitVRLittleEndian: None,
        uid.ImplicitVRLittleEndian: None,
        uid.DeflatedExplicitVRLittleEndian: None,
        uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode(deep, bitspersample=12),
        uid.JPEGExtended12Bit: imagecodecs.jpeg_encode(deep, level=90, bitspersample=12),
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(deep),
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(deep, **lossless),
        uid.HTJ2KLossless: imagecodecs.htj2k_encode(deep, reversible=True),
    }
    for syntax, frame in frames.items():
        files[f"dicom {syntax.name}"] = dicom(deep, syntax, frame)
    files["dicom with tables"] = dicom(
        deep, uid.ExplicitVRLittleEndian, None, **_tables(), WindowCenter=None, WindowWidth=None
    )
    for name in MADE_BY_OTHERS:
        files[f"dicom {name}"] = Path(str(get_testdata_file(f"{name}.dcm"))).read_bytes()
    return files


def _tables() -> dict[str, Any]:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, 16], [16 * value for value in range(4096)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return {"VOILUTSequence": [item], "ModalityLUTSequence": [item]}


def picture_file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def _written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


# What can happen to a sound file. Each takes its bytes, a random stream and another sound file.


def _place(data: bytearray, random: Random) -> int:
    end = min(HEADER, len(data)) if random.random() < 0.6 else len(data)
    return int(random.integers(end)) if end else 0


def flip_bits(data: bytearray, random: Random, _: bytes) -> bytes:
    for _each in range(int(2 ** random.uniform(0, 8))):
        data[_place(data, random)] ^= 1 << int(random.integers(8))
    return bytes(data)


def noise(data: bytearray, random: Random, _: bytes) -> bytes:
    start, length = _place(data, random), int(2 ** random.uniform(0, 10))
    data[start : start + length] = random.bytes(len(data[start : start + length]))
    return bytes(data)


def truncate(data: bytearray, random: Random, _: bytes) -> bytes:
    return bytes(data[: _place(data, random)])


def lengths(data: bytearray, random: Random, _: bytes) -> bytes:
    for _each in range(int(random.integers(1, 5))):
        width = int(random.choice([1, 2, 4]))
        value = int(random.choice(EXTREMES)) % 256**width
        start = _place(data, random)
        data[start : start + width] = value.to_bytes(width, random.choice(["little", "big"]))
    return bytes(data)


def cut_out(data: bytearray, random: Random, _: bytes) -> bytes:
    start, length = _place(data, random), int(2 ** random.uniform(0, 12))
    del data[start : start + length]
    return bytes(data)


def repeat(data: bytearray, random: Random, _: bytes) -> bytes:
    start, length = _place(data, random), int(2 ** random.uniform(0, 10))
    block = bytes(data[start : start + length]) * int(random.integers(1, 50))
    return bytes(data[:start]) + block + bytes(data[start:])


def splice(data: bytearray, random: Random, other: bytes) -> bytes:
    start = _place(data, random)
    end = int(random.integers(len(other)))
    return bytes(data[:start]) + other[end:]


MUTATIONS: Mapping[str, Callable[[bytearray, Random, bytes], bytes]] = {
    "flipped bits": flip_bits,
    "noise": noise,
    "truncated": truncate,
    "length fields": lengths,
    "cut out": cut_out,
    "repeated block": repeat,
    "spliced": splice,
}


def mutated(data: bytes, random: Random, other: bytes) -> tuple[str, bytes]:
    """Return what happened to a sound file, and what is left of it.

    Checksums of half the PNG files are mended, because they would hide most of what is behind.
    """
    name = str(random.choice(list(MUTATIONS)))
    changed = MUTATIONS[name](bytearray(data), random, other)
    if random.random() < 0.3:
        changed = MUTATIONS[str(random.choice(list(MUTATIONS)))](bytearray(changed), random, other)
    if changed.startswith(PNG) and random.random() < 0.5:
        changed = _mended(changed)
    return name, changed


def _mended(data: bytes) -> bytes:
    parts, place = [PNG], len(PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        parts.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts) + data[place:]
