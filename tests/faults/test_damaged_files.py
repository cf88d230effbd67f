"""Bits that flip and files that lose their ends: found by checksum, made anew, never trusted."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_benchmark import PATIENTS, RUNS

from prognobench.files import CACHE_VARIABLE, file_digest
from prognobench.images import store
from prognobench.randomness import generator
from prognobench.training import features
from watched import finished_runs


def flip(path, random):
    """Turn over one bit anywhere in a file."""
    data = bytearray(path.read_bytes())
    data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
    path.write_bytes(data)


def truncate(path, random):
    """Take away the end of a file, at least one byte."""
    path.write_bytes(path.read_bytes()[: int(random.integers(path.stat().st_size))])


DAMAGES = pytest.mark.parametrize("damage", [flip, truncate])


@pytest.fixture
def made_anew(monkeypatch):
    """What is decoded and computed in spite of the cache: images and features of images."""
    made = {"images": [], "features": []}
    decode, extract = store.decode_files, features.extract_features

    def decoding(files, wanted):
        for outcome in decode(files, wanted):
            if outcome.images is not None:
                made["images"].append(outcome.name)
            yield outcome

    def extracting(backbone, images):
        made["features"].append(len(images))
        return extract(backbone, images)

    monkeypatch.setattr(store, "decode_files", decoding)
    monkeypatch.setattr(features, "extract_features", extracting)
    return made


def of_kind(cache, *patterns):
    found = [path for pattern in patterns for path in cache.rglob(pattern)]
    found = [path for path in found if "lock" not in path.suffix and path.stat().st_size]
    assert found, patterns
    return found


@DAMAGES
def test_a_damaged_cache_is_made_anew(tiny, tmp_path, cache, made_anew, damage):
    """Features, similar pairs, pixels, their index and what is known of files, all at once."""
    random = generator("damaged cache", damage.__name__)
    before = {path: file_digest(path) for path in of_kind(cache, "features/*.npy")}
    kinds = ("features/*", "near_duplicates/*", "*.pixels", "*.index", "file_digests", "pace/*")
    for path in of_kind(cache, *kinds):
        damage(path, random)
    tiny.run(tmp_path / "out")
    assert made_anew["images"]
    assert made_anew["features"] == [PATIENTS] * len(before)
    # What was computed is what had been there, to the bit.
    assert {path: file_digest(path) for path in before} == before
    tiny.check(tmp_path / "out")


@DAMAGES
def test_damaged_predictions_are_made_anew_and_no_others(tiny, tmp_path, cache, made_anew, damage):
    """A sound cache, meanwhile, is trusted."""
    output, random = tmp_path / "out", generator("damaged predictions", damage.__name__)
    shutil.copytree(tiny.undisturbed, output)
    known = finished_runs(output, tmp_path / "copy")
    damaged = sorted(known)[::4]
    for run in damaged:
        damage(output / "predictions" / f"{run}.parquet", random)
    with pytest.raises(AssertionError, match="are not there"):
        finished_runs(output, tmp_path / "copy")
    tiny.run(output)
    found = finished_runs(output, tmp_path / "copy")
    assert len(found) == RUNS
    assert made_anew == {"images": [], "features": []}
    assert {run for run in known if found[run] != known[run]} == set(damaged)
    assert all(found[run].attempts == 2 for run in damaged)
    tiny.check(output)


@DAMAGES
def test_no_damage_of_cached_features_goes_unseen(tmp_path, monkeypatch, damage):
    """As above at many places of the file and of its seal."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    random, rows = generator("damaged features", damage.__name__), 6
    right = random.normal(size=(rows, 4)).astype(np.float32)
    path = Path(tmp_path, "features.npy")
    seal, content = path.with_suffix(".json"), io.BytesIO()
    np.save(content, right)
    for _ in range(25):
        for own in (path, seal):
            path.write_bytes(content.getvalue())
            features.write_sealed(seal, {"sha256": file_digest(path)})
            assert np.array_equal(features._read(path, seal, rows), right)
            damage(own, random)
            assert features._read(path, seal, rows) is None, (own, own.read_bytes())
