import json
import os
from pathlib import Path

import numpy as np
import pytest
from make_images import dicom, encoded, gradient

from prognobench.errors import UserError
from prognobench.files import file_digest
from prognobench.images import store as module
from prognobench.images.decode import decode
from prognobench.images.geometry import to_square
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


@pytest.fixture
def decoded(monkeypatch):
    """How many images were decoded."""
    calls = []
    original = module.decode_bytes
    monkeypatch.setattr(module, "decode_bytes", lambda data: calls.append(1) or original(data))
    return calls


def npy(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def test_every_image_at_every_size(files, tmp_path, decoded):
    seen = []
    made = build_store(files, [16, 8, 16], tmp_path / "s", lambda *done: seen.append(done))
    assert list(made.stores) == [8, 16]
    assert len(decoded) == 12
    assert seen == [(n, 12) for n in range(1, 13)]
    for size, store in made.stores.items():
        assert store.image_ids == tuple(files)
        assert store.size == size
        assert isinstance(store.images, np.memmap)
        rows = store.index_of(["image07", "image02"])
        for row, name in zip(rows, ["image07", "image02"], strict=True):
            assert np.array_equal(store.images[row], to_square(decode(files[name]), size))
    assert made.digests == {name: file_digest(path) for name, path in files.items()}
    assert made.failures == {}
    with pytest.raises(KeyError):
        store.index_of(["none"])


def test_the_second_time_nothing_is_decoded(files, tmp_path, decoded):
    first = build_store(files, [8], tmp_path / "s")
    again = build_store(dict(reversed(files.items())), [8], tmp_path / "s")
    assert len(decoded) == 12
    assert np.array_equal(first.stores[8].images, again.stores[8].images)


def test_a_store_does_not_depend_on_its_company(files, tmp_path):
    build_store(files, [8], tmp_path / "alone")
    build_store(files, [8, 16], tmp_path / "beside")
    (alone,) = npy(tmp_path / "alone")
    assert (tmp_path / "beside" / alone.name).read_bytes() == alone.read_bytes()


def test_another_size_decodes_anew_and_leaves_the_first(files, tmp_path, decoded):
    build_store(files, [8], tmp_path / "s")
    before = {path: path.stat().st_mtime_ns for path in npy(tmp_path / "s")}
    build_store(files, [8, 16], tmp_path / "s")
    assert len(decoded) == 24
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_changed_file_is_another_store(files, tmp_path):
    build_store(files, [8], tmp_path / "s")
    files["image00"].write_bytes(encoded(255 - gradient()))
    made = build_store(files, [8], tmp_path / "s")
    assert np.array_equal(made.stores[8].images[0], to_square(255 - gradient(), 8))
    assert len(npy(tmp_path / "s")) == 2


def truncate(path):
    os.truncate(path, path.stat().st_size - 10)


def alter(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_sidecar(path):
    path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    "damage",
    [truncate, alter, damage_sidecar, lambda path: path.with_suffix(".json").unlink(), Path.unlink],
)
def test_a_damaged_store_is_made_anew(files, tmp_path, decoded, damage):
    whole = np.array(build_store(files, [8], tmp_path / "s").stores[8].images)
    damage(npy(tmp_path / "s")[0])
    made = build_store(files, [8], tmp_path / "s")
    assert len(decoded) == 24
    assert np.array_equal(made.stores[8].images, whole)


def test_failures_are_named_and_stop_nothing(files, tmp_path):
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
        assert store.images.shape == (8, 8, 8)
        assert not set(made.failures) & set(store.image_ids)
        for row, name in enumerate(store.image_ids):
            assert np.array_equal(store.images[row], to_square(decode(files[name]), 8))
        assert "image05" not in made.digests


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


def test_nothing_is_left_when_decoding_is_interrupted(files, tmp_path):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(files, [8], tmp_path / "s", stop)
    assert list((tmp_path / "s").iterdir()) == []


def test_a_folder_that_cannot_be_written_gets_a_sentence(files, tmp_path):
    (tmp_path / "s").touch()
    with pytest.raises(UserError, match="cannot be written"):
        build_store(files, [8], tmp_path / "s")


def test_the_sidecar_is_readable_without_this_package(files, tmp_path):
    build_store(files, [8], tmp_path / "s")
    (path,) = npy(tmp_path / "s")
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["image_ids"] == list(files)
    assert np.load(path).shape == (12, 8, 8)
