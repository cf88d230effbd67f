"""What the header of a compressed image says of its size, read without decoding any pixel.

Native decoders take the room that a header asks for. So the header is looked at first.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SCANS = 200
"""Most scans of a JPEG image, each of which goes over all its pixels; encoders make some dozen."""

_START_OF_FRAME = frozenset([*range(0xC0, 0xD0), 0xF7]) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
_J2K_MARK = b"\xff\x4f\xff\x51"
_JP2_MARK = b"\x00\x00\x00\x0cjP"
_LOSSLESS = frozenset([0xC3, 0xC7, 0xCB, 0xCF, 0xF7])


@dataclass(frozen=True)
class FrameSize:
    """The size of a compressed image.

    Attributes:
        width: Columns.
        height: Rows.
        components: Number of components, such as 1 for grey.
        precision: Bits of the first component.
        lossless: Whether it is JPEG lossless or JPEG-LS.
        tiles: Number of tiles of a JPEG 2000 image.
    """

    width: int
    height: int
    components: int
    precision: int
    lossless: bool = False
    tiles: int = 1


def frame_size(data: bytes) -> FrameSize | None:
    """Return the size that a JPEG, JPEG-LS or JPEG 2000 image declares, or None if it has none."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(_JP2_MARK):
        place = data.find(_J2K_MARK)
        return _j2k(data[place:]) if place >= 0 else None
    return _j2k(data) if data.startswith(_J2K_MARK) else None


def has_too_many_scans(data: bytes) -> bool:
    """Say whether a JPEG image would take longer to decode than any sound one."""
    # Inside a scan the byte FF is always followed by 00, so that this counts their beginnings.
    return data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS


def _jpeg(data: bytes) -> FrameSize | None:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in _WITHOUT_LENGTH:
            place += 2
            continue
        if marker in _START_OF_FRAME:
            if place + 10 > len(data):
                return None
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            width = int.from_bytes(data[place + 7 : place + 9], "big")
            lossless = marker in _LOSSLESS
            return FrameSize(width, height, data[place + 9], data[place + 4], lossless)
        if marker in (0xD9, 0xDA):
            return None
        place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
    return None


def _j2k(data: bytes) -> FrameSize | None:
    if len(data) < 43:
        return None
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = (
        int.from_bytes(data[place : place + 4], "big") for place in range(8, 40, 4)
    )
    if not tile_width or not tile_height:
        return None
    across = -(-max(0, right - tile_left) // tile_width)
    down = -(-max(0, bottom - tile_top) // tile_height)
    components = int.from_bytes(data[40:42], "big")
    precision = (data[42] & 0x7F) + 1
    return FrameSize(right - left, bottom - top, components, precision, tiles=across * down)
