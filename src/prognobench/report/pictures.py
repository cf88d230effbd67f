"""Pictures inside the page, made small enough: contact sheets, and where models looked."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

LARGEST_SHEET = 600_000
"""Bytes of a contact sheet that are embedded as they are; a larger one is made smaller."""

SHEET_WIDTH = 1400
"""Pixels to which a larger contact sheet is reduced."""

EXAMPLE_WIDTH = 448
"""Pixels to which an image with its map beside it is reduced."""

MOST_BYTES = 3_000_000
"""Bytes of all pictures of a page."""

DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for files that are missing, broken or no pictures."""


class Pictures:
    """Embeds pictures until the page has as many as it may.

    Attributes:
        left_out: How many did not find room.
        unreadable: How many are missing or damaged.
    """

    def __init__(self, budget: int = MOST_BYTES) -> None:
        self._budget = budget
        self.left_out = 0
        self.unreadable = 0

    def sheet(self, path: Path) -> str | None:
        """Return a contact sheet as a data address, None where it cannot be shown."""
        return self._shown(path, SHEET_WIDTH, LARGEST_SHEET)

    def example(self, path: Path) -> str | None:
        """Return an image with its map as a data address, None where it cannot be shown."""
        return self._shown(path, EXAMPLE_WIDTH)

    def _shown(self, path: Path, width: int, largest: int = 0) -> str | None:
        """Return a picture as a data address, made smaller where it has more bytes than that."""
        try:
            reduced, data = _reduced(path, width), path.read_bytes()
        except DAMAGED:
            self.unreadable += 1
            return None
        if len(data) > largest:
            return self._address(reduced, "jpeg")
        return self._address(data, "png")

    def _address(self, data: bytes, kind: str) -> str | None:
        if len(data) > self._budget:
            self.left_out += 1
            return None
        self._budget -= len(data)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _reduced(path: Path, width: int) -> bytes:
    with Image.open(path) as picture:
        mode = "L" if picture.mode in ("1", "L", "I;16") else "RGB"
        reduced = picture.convert(mode)
        reduced.thumbnail((width, width * 4))
        stream = io.BytesIO()
        reduced.save(stream, "JPEG", quality=85)
    return stream.getvalue()
