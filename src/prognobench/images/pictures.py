"""PNG and JPEG of any mode and depth."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from prognobench.images.codestream import MAX_SCANS, FrameSize, frame_size, has_too_many_scans
from prognobench.images.raster import ImageError, Raster, check_size, to_eight_bits, used_depth

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"

_TRUE_COLOUR, _GREY_ALPHA, _TRUE_COLOUR_ALPHA = 2, 4, 6
_WEIGHTS = np.array([19595, 38470, 7471], dtype=np.int64)
"""Weights of ITU-R BT.601 in parts of 65536, as Pillow has them."""


def read_picture(data: bytes) -> Raster:
    """Decode the bytes of a PNG or JPEG file.

    Raises:
        ImageError: When they are broken, or the image is too large.
    """
    try:
        if data.startswith(PNG):
            return _read_png(data)
        size = frame_size(data)
        if size is None:
            raise ImageError("the image is broken (no size in the header)")
        check_size(size.width, size.height)
        if has_too_many_scans(data):
            raise ImageError(f"the image is in more than {MAX_SCANS} scans")
        if size.lossless or size.precision > 8:
            return _read_deep_jpeg(data, size)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            check_size(*picture.size)
            # The luminance that the file stores, which BT.601 defines, without going by colours.
            picture.draft("L", None)
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            return Raster(_grey(picture))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more, all for one
        # thing: the bytes are no sound image.
        lines = str(error).splitlines()
        reason = lines[0][:80] if lines else type(error).__name__
        raise ImageError(f"the image is broken ({reason})") from error


def colour_to_grey(colour: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the grey of red, green and blue, of the same type, by the weights of BT.601.

    Args:
        colour: uint8 or uint16, the last dimension being the three colours.
    """
    grey = np.empty(colour.shape[:-1], dtype=colour.dtype)
    for row in range(len(colour)):  # in rows, because the products need eight bytes each
        grey[row] = (colour[row].astype(np.int64) @ _WEIGHTS + 0x8000) >> 16
    return grey


def by_used_depth(codes: npt.NDArray[np.uint16]) -> Raster:
    """Return an image of 16 bits, black to white being the depth that its values use."""
    depth = used_depth(int(codes.max()))
    return Raster(codes, to_eight_bits(np.arange(65536), 0, depth))


def _read_png(data: bytes) -> Raster:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("the image is broken (no size in the header)")
    check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    depth, kind = data[24], data[25]
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        check_size(*picture.size)
        if depth == 16:
            return by_used_depth(_sixteen_bits(data, picture, kind))
        picture.load()
        return Raster(_grey(picture))


def _sixteen_bits(data: bytes, picture: ImageFile.ImageFile, kind: int) -> npt.NDArray[np.uint16]:
    if kind == _GREY_ALPHA:
        # As if the four bytes of a pixel were four colours: grey and alpha, high and low.
        parts = _with_raw_mode(picture, "RGBA")
        return _on_black(*(_joined(parts[..., at], parts[..., at + 1]) for at in (0, 2)))
    if kind not in (_TRUE_COLOUR, _TRUE_COLOUR_ALPHA):
        picture.load()
        values = np.asarray(picture).astype(np.uint16)
        return _without(values, values == picture.info.get("transparency", -1))
    # Pillow takes the high byte of each value; read as if of the other byte order, the low one.
    mode = picture.mode
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        low = _with_raw_mode(again, f"{mode};16L")
    high = _with_raw_mode(picture, f"{mode};16B")
    colour = _joined(high, low)
    grey: npt.NDArray[np.uint16] = colour_to_grey(colour[..., :3])
    if kind == _TRUE_COLOUR_ALPHA:
        return _on_black(grey, colour[..., 3])
    clear = picture.info.get("transparency")
    return grey if clear is None else _without(grey, np.all(colour == np.array(clear), axis=-1))


def _joined(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined


def _with_raw_mode(picture: ImageFile.ImageFile, raw_mode: str) -> npt.NDArray[np.uint8]:
    picture.tile = [tile._replace(args=raw_mode) for tile in picture.tile]
    picture.load()
    return np.asarray(picture)


def _on_black(
    grey: npt.NDArray[np.uint16], alpha: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    return ((grey.astype(np.uint32) * alpha + 32767) // 65535).astype(np.uint16)


def _without(grey: npt.NDArray[np.uint16], clear: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    return np.where(clear, np.uint16(0), grey)


def _read_deep_jpeg(data: bytes, size: FrameSize) -> Raster:
    """Read a JPEG of more than 8 bits, or a lossless one, which Pillow does not."""
    from libjpeg.utils import decode

    decoded = np.asarray(decode(data))
    if decoded.shape[:2] != (size.height, size.width):
        raise ImageError("the image is broken (the pixels have another size than the header says)")
    if decoded.ndim == 3 and decoded.shape[2] == 3:
        decoded = colour_to_grey(decoded)
    if decoded.ndim != 2 or decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError("the image is neither grey nor of three colours")
    if size.precision == 16:
        return by_used_depth(decoded)
    codes = np.arange(256 ** int(decoded.dtype.itemsize))
    return Raster(decoded, to_eight_bits(codes, 0, size.precision))


def _grey(picture: Image.Image) -> npt.NDArray[np.uint8]:
    if picture.mode in {"LA", "PA", "RGBA"} or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            ground = Image.new("RGBA", picture.size, (0, 0, 0, 255))
            picture = Image.alpha_composite(ground, picture)
    if picture.mode not in {"1", "L", "RGBA"}:
        picture = picture.convert("RGB")
    if picture.mode != "L":  # which takes no notice of an alpha
        picture = picture.convert("L")
    return np.asarray(picture)
