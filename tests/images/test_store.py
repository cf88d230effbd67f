import hashlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from make_images import dicom, encoded, gradient

from prognobench.errors import UserError
from prognobench.files import file_digest
from prognobench.images import file_digests
from prognobench.images import store as module
from prognobench.images.decode import decode
from prognobench.images.geometry import Box, crop_square, to_square
from prognobench.images.pixel_file import PixelFile
from prognobench.images.store import build_store


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    found = {}
    for place in range(12):
        path = folder / f"{place}.png"
        path.write_bytes(encoded(gradient(20 + place, 30)))
        found[f"image{place:02}"] = path
    return found


class Work:
    """What was done with the files: how many were opened, and how many of these decoded."""

    def __init__(self):
        self.opened = self.decoded = 0


@pytest.fixture
def work(monkeypatch):
    counted = Work()
    original = module.decode_files

    def counting(*arguments):
        for outcome in original(*arguments):
            counted.opened += 1
            counted.decoded += outcome.images is not None
            yield outcome

    monkeypatch.setattr(module, "decode_files", counting)
    return counted


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once."""
    monkeypatch.setattr(file_digests, "SETTLED", -1.0)


def found(folder: Path, suffix: str) -> Path:
    (path,) = folder.rglob(f"*.{suffix}")
    return path


def test_every_image_at_every_size(files, tmp_path, work):
    seen = []
    made = build_store(files, [16, 8, 16], tmp_path / "s", lambda *done: seen.append(done))
    assert list(made.stores) == [8, 16]
    assert work.decoded == 12
    assert seen == [(n, 12) for n in range(1, 13)]
    for size, store in made.stores.items():
        assert store.image_ids == tuple(files)
        assert store.size == size
        assert isinstance(store.images, np.memmap)
        rows = store.index_of(["image07", "image02"])
        for row, name in zip(rows, ["image07", "image02"], strict=True):
            assert np.array_equal(store.images[row], to_square(decode(files[name]), size))
    assert made.digests == made.contents == {name: file_digest(p) for name, p in files.items()}
    assert made.failures == {}
    with pytest.raises(KeyError):
        store.index_of(["none"])


def test_images_in_a_row_are_not_copied(files, tmp_path):
    store = build_store(files, [8], tmp_path / "s").stores[8]
    assert np.shares_memory(store.pixels(store.image_ids), store.images)
    mixed = store.pixels(["image03", "image01"])
    assert not np.shares_memory(mixed, store.images)
    assert np.array_equal(mixed[1], to_square(decode(files["image01"]), 8))
    assert store.pixels([]).shape == (0, 8, 8)


def test_the_second_time_nothing_is_decoded(files, tmp_path, work):
    first = build_store(files, [8], tmp_path / "s")
    again = build_store(dict(reversed(files.items())), [8], tmp_path / "s")
    assert work.decoded == 12
    assert np.array_equal(first.stores[8].images, again.stores[8].images)


def test_a_file_that_did_not_change_is_not_opened_again(files, tmp_path, work, settled):
    build_store(files, [8], tmp_path / "s")
    build_store(files, [8], tmp_path / "s")
    assert work.opened == 12
    same = files["image00"].stat()
    files["image00"].write_bytes(files["image01"].read_bytes())
    os.utime(files["image00"], ns=(same.st_atime_ns, same.st_mtime_ns))
    made = build_store(files, [8], tmp_path / "s")
    assert (work.opened, work.decoded) == (13, 12)
    assert made.digests["image00"] == made.digests["image01"]


def test_a_file_that_was_just_written_is_read_again(files, tmp_path, work):
    build_store(files, [8], tmp_path / "s")
    build_store(files, [8], tmp_path / "s")
    assert (work.opened, work.decoded) == (24, 12)


def test_ten_more_files_decode_ten(files, tmp_path, work, settled):
    some = dict(list(files.items())[:2])
    build_store(some, [8], tmp_path / "s")
    made = build_store(files, [8], tmp_path / "s")
    assert (work.opened, work.decoded) == (12, 12)
    for name, path in files.items():
        expected = to_square(decode(path), 8)
        assert np.array_equal(made.stores[8].pixels([name])[0], expected)


def test_a_file_elsewhere_is_known_by_its_content(files, tmp_path, work):
    build_store(files, [8], tmp_path / "s")
    moved = {name: path.rename(path.with_suffix(".moved")) for name, path in files.items()}
    build_store(moved, [8], tmp_path / "s")
    assert work.decoded == 12
    assert found(tmp_path / "s", "pixels").stat().st_size == 12 * 64


def test_equal_files_under_two_names(files, tmp_path):
    files["image01"].write_bytes(files["image00"].read_bytes())
    made = build_store(files, [8, 16], tmp_path / "s")
    for size in (8, 16):
        store = made.stores[size]
        assert np.array_equal(*store.pixels(["image00", "image01"]))
        assert store.sums["image00"] == store.sums["image01"]


def test_another_size_decodes_anew_and_leaves_the_first(files, tmp_path, work):
    build_store(files, [8], tmp_path / "s")
    before = found(tmp_path / "s", "pixels").read_bytes()
    build_store(files, [8, 16], tmp_path / "s")
    assert work.decoded == 24
    assert next((tmp_path / "s").rglob("8.pixels")).read_bytes() == before


def test_a_changed_file_is_another_content(files, tmp_path):
    build_store(files, [8], tmp_path / "s")
    files["image00"].write_bytes(encoded(255 - gradient()))
    made = build_store(files, [8], tmp_path / "s")
    assert np.array_equal(made.stores[8].pixels(["image00"])[0], to_square(255 - gradient(), 8))


def test_what_is_asked_of_an_image_is_part_of_its_content(files, tmp_path, work):
    plain = build_store(files, [8], tmp_path / "s")
    box = Box(0.0, 0.0, 0.5, 0.5)
    cut = build_store(files, [8], tmp_path / "s", boxes={"image03": box})
    assert work.decoded == 13
    image = decode(files["image03"])
    expected = to_square(crop_square(image, box), 8)
    assert np.array_equal(cut.stores[8].pixels(["image03"])[0], expected)
    clipped = build_store(files, [8], tmp_path / "s", percentiles=(20, 80))
    assert work.decoded == 25
    expected = to_square(decode(files["image03"], (20, 80)), 8)
    assert np.array_equal(clipped.stores[8].pixels(["image03"])[0], expected)
    contents = [made.contents["image03"] for made in (plain, cut, clipped)]
    assert len(set(contents)) == 3
    assert plain.digests == cut.digests == clipped.digests
    assert plain.contents["image04"] == cut.contents["image04"]


def truncate(path):
    os.truncate(path, path.stat().st_size - 100)


def alter(path):
    data = bytearray(path.read_bytes())
    data[3 * 64 + 5] ^= 1
    path.write_bytes(data)


def exchange(path):
    """Give two rows to one another's images."""
    lines = path.read_bytes().splitlines()
    first, second = lines[3].split(b" ", 1), lines[4].split(b" ", 1)
    lines[3:5] = [second[0] + b" " + first[1], first[0] + b" " + second[1]]
    path.write_bytes(b"\n".join([*lines, b""]))


def tear(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "suffix", "decoded"),
    [
        (truncate, "pixels", 2),
        (alter, "pixels", 1),
        (Path.unlink, "pixels", 12),
        (tear, "index", 1),
        (exchange, "index", 2),
        (lambda path: path.write_bytes(b"{"), "index", 12),
        (Path.unlink, "index", 12),
    ],
)
def test_what_was_damaged_is_made_anew(files, tmp_path, work, damage, suffix, decoded):
    first = build_store(files, [8], tmp_path / "s").stores[8]
    whole = np.array(first.pixels(first.image_ids))
    damage(found(tmp_path / "s", suffix))
    for _ in range(2):
        made = build_store(files, [8], tmp_path / "s").stores[8]
        assert work.decoded == 12 + decoded
        assert np.array_equal(made.pixels(made.image_ids), whole)


def test_damaged_digests_of_files_are_found_out(files, tmp_path, settled):
    before = build_store(files, [8], tmp_path / "s")
    known = tmp_path / "s" / "file_digests"
    known.write_bytes(re.sub(rb" [0-9a-f]{8}", b" 00000000", known.read_bytes()))
    made = build_store(files, [8], tmp_path / "s")
    assert made.digests == before.digests
    store = made.stores[8]
    assert np.array_equal(store.pixels(["image05"])[0], to_square(decode(files["image05"]), 8))


def test_failures_are_named_and_stop_nothing(files, tmp_path, work):
    files["image03"].write_bytes(b"not an image")
    files["image05"].unlink()
    files["image06"].write_bytes(encoded(gradient())[:60])
    files["image07"].write_bytes(dicom(np.zeros((4, 4), np.uint16), NumberOfFrames=2))
    for _ in range(2):  # decoded, then from the cache
        made = build_store(files, [8], tmp_path / "s")
        assert list(made.failures) == ["image03", "image05", "image06", "image07"]
        assert "neither PNG" in made.failures["image03"]
        assert made.failures["image05"] == "the file does not exist"
        store = made.stores[8]
        assert len(store.image_ids) == 8
        assert not set(made.failures) & set(store.image_ids)
        for name in store.image_ids:
            assert np.array_equal(store.pixels([name])[0], to_square(decode(files[name]), 8))
        assert "image05" not in made.digests
    assert work.decoded == 8


def test_none_at_all(tmp_path):
    broken = tmp_path / "x.png"
    broken.write_bytes(b"x")
    made = build_store({"x": broken}, [8], tmp_path / "s")
    assert made.stores[8].images.shape == (0, 8, 8)
    assert build_store({}, [8], tmp_path / "s").stores[8].image_ids == ()


def test_pixel_digests_find_equal_pictures_in_different_files(files, tmp_path):
    files["image00"].write_bytes(encoded(gradient(), compress_level=1))
    files["image01"].write_bytes(encoded(gradient(), compress_level=9))
    made = build_store(files, [8], tmp_path / "s")
    pixels = made.stores[8].pixel_digests()
    assert pixels["image00"] == pixels["image01"] != pixels["image05"]
    assert made.digests["image00"] != made.digests["image01"]
    expected = hashlib.sha256(made.stores[8].pixels(["image05"]).tobytes()).hexdigest()
    assert pixels["image05"] == expected


def test_what_is_decoded_is_kept_when_the_rest_is_interrupted(files, tmp_path, work):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(files, [8], tmp_path / "s", stop)
    before = work.decoded
    made = build_store(files, [8], tmp_path / "s").stores[8]
    assert before + 7 == work.decoded
    for name in files:
        assert np.array_equal(made.pixels([name])[0], to_square(decode(files[name]), 8))


def test_several_at_once(files, tmp_path):
    halves = [dict(list(files.items())[part]) for part in (slice(0, 9), slice(4, 12))]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda half: build_store(half, [8], tmp_path / "s"), halves))
    made = build_store(files, [8], tmp_path / "s").stores[8]
    for name in files:
        assert np.array_equal(made.pixels([name])[0], to_square(decode(files[name]), 8))


def test_a_folder_that_cannot_be_written_gets_a_sentence(files, tmp_path):
    (tmp_path / "s").touch()
    with pytest.raises(UserError, match="cannot be written"):
        build_store(files, [8], tmp_path / "s")


def test_the_store_is_readable_without_this_package(files, tmp_path):
    digests = build_store(files, [8], tmp_path / "s").digests
    pixels = np.fromfile(found(tmp_path / "s", "pixels"), np.uint8).reshape(-1, 8, 8)
    for line in found(tmp_path / "s", "index").read_text().splitlines():
        key, row, digest, _ = line.split()
        (name,) = [name for name, own in digests.items() if own == key]
        assert np.array_equal(pixels[int(row, 16)], to_square(decode(files[name]), 8))
        assert hashlib.sha256(pixels[int(row, 16)].tobytes()).hexdigest() == digest


def test_the_store_names_no_file(files, tmp_path, settled):
    build_store(files, [8], tmp_path / "s")
    for path in (tmp_path / "s").rglob("*"):
        assert path.is_dir() or b"files" not in path.read_bytes()


def test_an_old_file_counts_as_settled(files, tmp_path):
    known = file_digests.FileDigests(tmp_path / "known")
    assert known.mark(files["image00"]) is None
    later = time.time() + 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        assert known.mark(files["image00"]) is not None
    assert known.mark(tmp_path / "none") is None


def test_a_box_beside_the_image_is_told_and_does_not_condemn_the_file(files, tmp_path):
    beside = {"image03": Box(5000, 0, 6000, 10, "pixel")}
    made = build_store(files, [8], tmp_path / "s", boxes=beside)
    assert made.failures == {"image03": "the lung box has no pixel of the image in it"}
    assert build_store(files, [8], tmp_path / "s").failures == {}


def test_room_that_another_process_gives_back_is_not_mapped(tmp_path, monkeypatch):
    """Another process keeps rows free while it decodes, and gives back what it did not need."""
    one, two = (np.full((8, 8), shade, np.uint8) for shade in (1, 2))
    names = ["a", "b", "c", "d"]
    writer = PixelFile(tmp_path, 8)
    with writer.writing(names) as rows:
        rows.write("a", "a" * 64, one)
        rows.write("b", "b" * 64, two)
        rows._flush()
        mapped = np.memmap

        def after_the_end(path, **given):
            if Path(path).stat().st_size == len(names) * 64:
                os.truncate(path, 2 * 64)
            return mapped(path, **given)

        monkeypatch.setattr(np, "memmap", after_the_end)
        reader = PixelFile(tmp_path, 8)
    assert reader.is_sound("a" * 64) and reader.is_sound("b" * 64)
    np.testing.assert_array_equal(reader.mapped(), [one, two])
