"""Copies are found through crops and windows; other images of a patient are not copies."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from radiograph_copies import COPIES, audited, mirrored, radiographs

from prognobench.audit import near_duplicates as module
from prognobench.audit.candidates import candidate_pairs
from prognobench.audit.copies import copy_groups, same_patients
from prognobench.audit.images import AuditedImages
from prognobench.audit.near_duplicates import NearDuplicate, near_duplicates
from prognobench.audit.registration import compare
from prognobench.audit.views import content, perceptual_hash, ranked


@pytest.fixture(scope="module")
def cohorts():
    """Eight patients with two days each; copies of half of them and mirror images elsewhere."""
    rows, truth = [], set()
    kinds = list(COPIES)
    for number, (patient, images) in enumerate(radiographs(8)):
        rows += [("home", patient, f"{patient}-{day}", image) for day, image in enumerate(images)]
        kind = kinds[number % len(kinds)]
        if number < len(kinds):
            name = f"{patient}-{kind}"
            rows.append(("abroad", f"x{number}", name, COPIES[kind](images[0])))
            truth.add((f"{patient}-0", name))
        else:
            rows.append(("abroad", f"x{number}", f"{patient}-mirrored", mirrored(images[0])))
    return audited(rows), truth


def test_copies_are_found_and_nothing_else(cohorts):
    images, truth = cohorts
    found = near_duplicates(images)
    named = {
        tuple(sorted((images.image_ids[pair.first], images.image_ids[pair.second])))
        for pair in found
    }
    assert named == {tuple(sorted(pair)) for pair in truth}
    cropped = next(pair for pair in found if images.image_ids[pair.second].endswith("-cropped"))
    assert cropped.scale == pytest.approx(4 / 3, abs=0.03)
    assert cropped.overlap > 0.95
    # From the cache, and the same.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_search", None)
        assert near_duplicates(images) == found


def test_a_threshold_of_its_own_would_not_do(cohorts):
    """Before registration, copies and other images cannot be told apart: it is what tells."""
    images, truth = cohorts
    rows = {name: row for row, name in enumerate(images.image_ids)}
    pairs = [(rows[one], rows[other]) for one, other in truth]

    def plain(first, second):
        both = images.pixels[[first, second]].reshape(2, -1).astype(float)
        return np.corrcoef(both)[0, 1]

    others = [(row, row + 1) for row in range(len(rows) - 1) if (row, row + 1) not in pairs]
    assert min(plain(*pair) for pair in pairs) < max(plain(*pair) for pair in others)
    assert min(match.correlation for match in compare(images.pixels, pairs)) > 0.7
    assert max(match.correlation for match in compare(images.pixels, others)) < 0.65


def test_equal_and_black_images_break_nothing():
    pixels = np.zeros((3, 96, 96), np.uint8)
    _, own = radiographs(1)[0]
    images = audited([("a", "p", "1", own[0]), ("a", "q", "2", own[0])], side=96)
    assert compare(images.pixels, [(0, 1)])[0].correlation > 0.99
    assert all(match.correlation < 0.5 for match in compare(pixels, [(0, 1), (1, 2)]))
    assert content(pixels[0]).shape == (96, 96)


def test_ranks_and_hashes_do_not_see_a_window():
    image = radiographs(1)[0][1][0]
    window = COPIES["windowed"](image)
    inner = (window > 0) & (window < 255)
    assert np.abs(ranked(image)[inner].astype(int) - ranked(window)[inner]).mean() < 4
    assert (perceptual_hash(image) != perceptual_hash(window)).sum() <= 6
    others = [own[0] for _, own in radiographs(6)[1:]]
    assert min((perceptual_hash(image) != perceptual_hash(other)).sum() for other in others) > 6


def test_neighbours_of_the_own_patient_do_not_hide_the_others():
    random = np.random.default_rng(0)
    centre = random.normal(size=32)
    own = centre + 0.01 * random.normal(size=(12, 32))
    copy = centre + 0.5 * random.normal(size=32)
    far = random.normal(size=(12, 32))
    features = np.concatenate([own, copy[None], far])[None].astype(np.float32)
    hashes = random.random((25, 64)) > 0.5
    patients = ["p"] * 12 + ["q"] + [f"r{number}" for number in range(12)]
    pairs = candidate_pairs(features, hashes, ["a"] * 25, patients)
    assert any(second == 12 for first, second in pairs if first < 12)
    hashes[24] = hashes[0]
    assert (0, 24) in candidate_pairs(features, hashes, ["a"] * 25, patients)


def test_groups_join_what_is_equal_and_what_was_laid_over():
    names = ("a", "a", "a", "b", "b")
    blank = np.zeros((5, 8, 8), np.uint8)
    images = AuditedImages(names, ("p", "p", "q", "p", "r"), tuple("01234"), blank, tuple("01234"))
    near = [NearDuplicate(0, 3, 0.9, 1.0, 1.2), NearDuplicate(0, 1, 0.95, 1.0, 1.0)]
    groups = copy_groups(
        images, near, files=["x", "x", "y", "z", "v"], pixels=["1", "1", "2", "3", "2"]
    )
    assert [[own["image_id"] for own in group["images"]] for group in groups] == [
        ["0", "1", "3"],
        ["2", "4"],
    ]
    assert [pair["compared"] for pair in groups[0]["pairs"]] == ["file", "registration"]
    assert all(group["across_cohorts"] and group["across_patients"] for group in groups)
    assert same_patients(groups) == [(["a/p", "b/p"], 1), (["a/q", "b/r"], 1)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_hannover_images_hidden_in_the_cohen_subset_are_found(data_folder):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "near_duplicates.py"
    found = runpy.run_path(str(path))["measure"](data_folder)["pairs"]
    assert found["recall"] >= 0.9
    assert found["precision"] >= 0.9
