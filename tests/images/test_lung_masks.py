import csv

import numpy as np
import pytest
from make_images import encoded
from PIL import Image

from prognobench.images import lung_masks as module
from prognobench.images.geometry import Box
from prognobench.images.lung_masks import around, box_of_mask, read_masks


def two_lungs(height=100, width=80, value=255):
    mask = np.zeros((height, width), np.uint8)
    mask[20:70, 10:30] = value
    mask[25:80, 45:72] = value
    return mask


@pytest.mark.parametrize("value", [1, 128, 255])
def test_both_lungs_are_in_the_box(value):
    assert box_of_mask(two_lungs(value=value)) == Box(10 / 80, 0.2, 72 / 80, 0.8)


def test_specks_are_noise():
    mask = two_lungs()
    mask[0:5, 0:5] = 255
    assert box_of_mask(mask) == box_of_mask(two_lungs())


@pytest.mark.parametrize("mask", [np.zeros((9, 9), np.uint8), np.eye(200, dtype=np.uint8)])
def test_no_lungs(mask):
    assert box_of_mask(mask) is None


def test_around():
    boxes = [Box(0.1, 0.2, 0.3, 0.9), Box(0.5, 0.1, 0.8, 0.7)]
    assert around(boxes) == Box(0.1, 0.1, 0.8, 0.9)


def test_masks_of_any_kind_of_file_and_one_that_is_broken(tmp_path, monkeypatch):
    kinds = {
        "bits": encoded(Image.fromarray(two_lungs()).convert("1")),
        "ones": encoded(two_lungs(value=1)),
        "jpeg": encoded(two_lungs(), "JPEG", quality=90),
        "none": encoded(np.zeros((9, 9), np.uint8)),
        "broken": b"no mask",
    }
    files = {name: tmp_path / name for name in (*kinds, "missing")}
    for name, data in kinds.items():
        files[name].write_bytes(data)
    for _ in range(2):  # read, then known
        found = read_masks(files, tmp_path / "store")
        expected = box_of_mask(two_lungs())
        assert found.boxes == {**dict.fromkeys(("bits", "ones", "jpeg"), expected), "none": None}
        assert set(found.failures) == {"broken", "missing"}
    asked = []
    original = module.decode_files

    def watched(files, wanted):
        return original(files, lambda *about: asked.append(wanted(*about)) or asked[-1])

    monkeypatch.setattr(module, "decode_files", watched)
    read_masks({"ones": files["ones"]}, tmp_path / "store")
    assert not any(asked)


def test_real_masks_agree_with_pillow(data_folder, tmp_path):
    folder = data_folder / "cohen"
    with (folder / "masks" / "masks.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "lungVAE"][:12]
    files = {row["filename"]: folder / row["mask"] for row in rows}
    found = read_masks(files, tmp_path)
    assert not found.failures
    for name, path in files.items():
        picture = Image.open(path).convert("L")
        box, whole = found.boxes[name], picture.getbbox()
        assert box is not None
        scale = (picture.width, picture.height) * 2
        own = [share * side for share, side in zip(box[:4], scale, strict=True)]
        # Pillow's box has the specks in it too.
        assert own[0] >= whole[0] - 1e-6
        assert own[3] <= whole[3] + 1e-6
        lung = np.asarray(picture) > 0
        left, top, right, bottom = np.round(own).astype(int)
        assert lung[top:bottom, left:right].sum() > 0.97 * lung.sum()
