"""What files and their margins tell, and text that is burnt into an image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from radiograph_copies import radiographs

from prognobench.audit.image_facts import image_facts
from prognobench.audit.images import LARGE_SIDE
from prognobench.audit.text import characters
from prognobench.images.geometry import to_square
from prognobench.images.store import build_store


def written(image, text, place, size=13):
    """An image with a word on it."""
    picture = Image.fromarray(to_square(image, LARGE_SIDE))
    draw = ImageDraw.Draw(picture)
    draw.text(place, text, fill=255, font=ImageFont.load_default(size=size))
    return np.array(picture)


@pytest.mark.parametrize("size", [11, 13, 15])
def test_words_near_the_margin_are_seen_and_their_absence_too(size):
    tried = 0
    for _, images in radiographs(4):
        own = to_square(images[0], LARGE_SIDE)
        assert characters(own) == 0
        for left, top in [(30, 30), (330, 40), (40, 390), (330, 380)]:
            # White on white is no text for a model either.
            if own[top : top + 16, left : left + 50].max() < 170:
                tried += 1
                assert characters(written(images[0], "liegend", (left, top), size)) >= 3
    assert tried >= 4


def test_a_marker_and_what_is_in_the_middle_are_no_text():
    _, images = radiographs(1)[0]
    assert characters(written(images[0], "L", (40, 40), 20)) == 0
    assert characters(written(images[0], "valve", (200, 210))) == 0
    assert characters(np.zeros((LARGE_SIDE, LARGE_SIDE), np.uint8)) == 0


def test_size_and_format_are_those_of_the_file(tmp_path, data_folder):
    grey = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, 2)).save(tmp_path / "colour.jpg")
    (tmp_path / "wrong.png").write_bytes((tmp_path / "colour.jpg").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    files = {name: tmp_path / name for name in ("grey.png", "colour.jpg", "wrong.png")}
    files["derived"] = next((data_folder / "dicom" / "derived").glob("*.dcm"))
    files["broken.png"] = tmp_path / "broken.png"
    store = build_store(files, [LARGE_SIDE], tmp_path / "store")
    facts = image_facts(files, store)
    assert list(facts.index) == [name for name in files if name != "broken.png"]
    assert facts.loc["grey.png", ["width", "height"]].tolist() == [60, 40]
    assert facts["file_format"].tolist()[:3] == [
        "PNG, 8 bit, grey",
        *["JPEG, 8 bit, colour"] * 2,
    ]
    assert facts.loc["derived", "file_format"].startswith(
        "DICOM, 12 bit, MONOCHROME1, JPEG Lossless"
    )


def test_the_words_of_the_hannover_images_are_seen(data_folder):
    # The word "liegend" stands on the first, "Bettaufnahme" on the others; none on the last two.
    names = ["b343e657", "a47dc73e", "b03ef875", "006f3a8a", "e87352fc"]
    files = {name: data_folder / "mhh" / "png" / f"{name}.png" for name in names}
    from prognobench.images.decode import decode

    found = [characters(to_square(decode(path), LARGE_SIDE)) for path in files.values()]
    assert min(found[:3]) >= 5
    assert found[3:] == [0, 0]
