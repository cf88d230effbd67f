"""One rule from an image file to 8-bit grey.

The kind of a file is told by its content, never by its name. Whatever the depth, its values fall
into 256 equal bins from black to white, so 8-bit files come through unchanged:

* PNG and JPEG of 8 bits: the value itself; colour by the weights of ITU-R BT.601 (an equal red,
  green and blue is that grey exactly), which is the luminance that a JPEG stores; what is
  transparent is black; one bit is black or white. A JPEG is turned upright as its EXIF orientation
  says.
* PNG and JPEG of 16 bits: the depth is the least of 8, 10, 12, 14 and 16 bits that holds the
  brightest pixel, because detectors of 10 to 14 bits are exported in 16-bit files without
  rescaling, and at the nominal depth they would be nearly black. Other depths hold as they are.
* DICOM: see :mod:`prognobench.images.dicom`.

With percentiles, the values of the image are cut off at two of its own percentiles and stretched
to black and white, as in Ruffini et al. 2025 (2nd and 98th); windows of DICOM files then play no
part.

A change of the rule changes :data:`DECODE_VERSION`, which is part of every key that depends on it.
"""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prognobench.images.pictures import JPEG, PNG, read_picture
from prognobench.images.raster import ImageError, Raster, to_grey

__all__ = ["DECODE_VERSION", "MAX_BYTES", "ImageError", "decode", "decode_bytes", "read_bytes"]

DECODE_VERSION = 5
"""Version of the rule; results of different versions are not the same data."""

MAX_BYTES = 500_000_000
"""Largest file that is read."""

_DICOM_MARK = b"DICM"
_DICOM_MARK_AT = 128


def decode(path: Path, percentiles: tuple[float, float] | None = None) -> npt.NDArray[np.uint8]:
    """Read an image file as 8-bit grey of its full size.

    Args:
        path: A PNG, JPEG or DICOM file, whatever its name.
        percentiles: See :func:`prognobench.images.raster.to_grey`.

    Returns:
        An array of height by width, 0 black and 255 white, bone bright.

    Raises:
        ImageError: When the file cannot be read or decoded.
    """
    return decode_bytes(read_bytes(path), percentiles)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        ImageError: When there is no such file, or it is empty, too large or not readable.
    """
    try:
        about = path.stat()
        # To open a pipe would wait for someone to write to it.
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise ImageError("the path leads to no regular file")
        if about.st_size > MAX_BYTES:
            raise ImageError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its path is not valid"
        raise ImageError(f"the file cannot be read ({reason})") from error
    if not data:
        raise ImageError("the file is empty")
    return data


def decode_bytes(
    data: bytes, percentiles: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Decode the bytes of an image file, as :func:`decode` does.

    Raises:
        ImageError: When the bytes are no image that can be decoded.
    """
    return to_grey(_read(data), percentiles)


def _read(data: bytes) -> Raster:
    if data[_DICOM_MARK_AT : _DICOM_MARK_AT + len(_DICOM_MARK)] == _DICOM_MARK:
        from prognobench.images.dicom import read_dicom  # pydicom is slow to import

        return read_dicom(data)
    if data.startswith((PNG, JPEG)):
        return read_picture(data)
    raise ImageError("the content is neither PNG, JPEG nor DICOM")
