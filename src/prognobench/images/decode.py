"""One rule from an image file to 8-bit grey.

The kind of a file is told by its content, never by its name. Whatever the depth, its values fall
into 256 equal bins from black to white, so 8-bit files come through unchanged:

* PNG and JPEG of 8 bits: the value itself; colour by the weights of ITU-R BT.601 (an equal red,
  green and blue is that grey exactly); what is transparent is black; one bit is black or white.
  A JPEG is turned upright as its EXIF orientation says.
* PNG of 16 bits: the depth is the least of 8, 10, 12, 14 and 16 bits that holds the brightest
  pixel, because detectors of 10 to 14 bits are exported in 16-bit files without rescaling, and
  at the nominal depth they would be nearly black.
* DICOM: see :mod:`prognobench.images.dicom`.

A change of the rule changes :data:`DECODE_VERSION`, which is part of every key that depends on it.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

DECODE_VERSION = 1
"""Version of the rule; results of different versions are not the same data."""

MAX_PIXELS = 80_000_000
"""Largest image that is decoded; the largest radiographs have about 20 million pixels."""

MAX_BYTES = 1_000_000_000
"""Largest file that is read."""

_DEPTHS = (8, 10, 12, 14, 16)
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_DICOM_MARK = b"DICM"
_DICOM_MARK_AT = 128


class ImageError(Exception):
    """An image file cannot be used; the message is a short reason without any identifier."""


def decode(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image file as 8-bit grey of its full size.

    Args:
        path: A PNG, JPEG or DICOM file, whatever its name.

    Returns:
        An array of height by width, 0 black and 255 white, bone bright.

    Raises:
        ImageError: When the file cannot be read or decoded.
    """
    return decode_bytes(read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        ImageError: When there is no such file, or it is empty, too large or not readable.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except OSError as error:
        raise ImageError(f"the file cannot be read ({error.strerror})") from error
    if not data:
        raise ImageError("the file is empty")
    return data


def decode_bytes(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode the bytes of an image file, as :func:`decode` does.

    Raises:
        ImageError: When the bytes are no image that can be decoded.
    """
    if data[_DICOM_MARK_AT : _DICOM_MARK_AT + len(_DICOM_MARK)] == _DICOM_MARK:
        from prognobench.images.dicom import decode_dicom  # pydicom is slow to import

        return decode_dicom(data)
    if data.startswith((_PNG, _JPEG)):
        return _decode_picture(data)
    raise ImageError("the content is neither PNG, JPEG nor DICOM")


def to_eight_bits(values: npt.NDArray[np.generic], low: int, depth: int) -> npt.NDArray[np.uint8]:
    """Return integer values in 256 equal bins of the range of ``depth`` bits from ``low`` on.

    Args:
        values: Integers; those outside the range are taken to its ends.
        low: The lowest value of the range.
        depth: Number of bits of the range; the highest value is ``low + 2**depth - 1``.
    """
    above = np.clip(values.astype(np.int64) - low, 0, 2**depth - 1)
    shifted = above >> (depth - 8) if depth >= 8 else above * 255 // (2**depth - 1)
    return shifted.astype(np.uint8)


def check_size(width: int, height: int) -> None:
    """Raise :class:`ImageError` unless an image of this size is worth decoding."""
    if width < 1 or height < 1:
        raise ImageError("the image has no pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the image has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} million"
        )


def _decode_picture(data: bytes) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            check_size(*picture.size)
            picture.load()
            return _grey(ImageOps.exif_transpose(picture))
    except ImageError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more, all for one
        # thing: the bytes are no sound image.
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise ImageError(f"the image is broken ({reason})") from error


def _grey(picture: Image.Image) -> npt.NDArray[np.uint8]:
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        brightest = int(values.max())
        depth = next((depth for depth in _DEPTHS if brightest < 2**depth), _DEPTHS[-1])
        return to_eight_bits(values, 0, depth)
    if picture.mode in {"LA", "PA", "RGBA"} or "transparency" in picture.info:
        colour = picture.convert("RGBA")
        ground = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(ground, colour)
    if picture.mode not in {"1", "L"}:
        picture = picture.convert("RGB")
    return np.array(picture.convert("L"), dtype=np.uint8)
