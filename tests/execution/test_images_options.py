"""What a benchmark asks of its images: in the pixels, in the identities, in the counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prognobench.errors import UserError
from prognobench.execution.prepare import prepare
from prognobench.images.decode import decode
from prognobench.images.geometry import Box, crop_square, to_square
from prognobench.spec import parse_spec

PATIENTS = 12


@pytest.fixture
def cohort(tmp_path):
    """Twelve radiographs of 60 x 80 pixels, with the lungs given in several ways."""
    random = np.random.default_rng(0)
    rows = []
    for place in range(PATIENTS):
        pixels = random.integers(40, 200, (80, 60)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
        rows.append({"patient_id": f"p{place:02}", "path": f"{place}.png", "icu": place % 2})
    mask = np.zeros((40, 30), np.uint8)
    mask[10:30, 6:24] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask * 0).save(tmp_path / "empty.png")
    table = pd.DataFrame(rows)
    table["lung_box"] = ["12,20,36,40"] * 4 + [""] * 8
    table["lung_mask"] = [""] * 4 + ["mask.png"] * 4 + ["empty.png", "absent.png", "", ""]
    table.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path


def prepared(cohort, table="table.csv", **images):
    spec = {
        "name": "x",
        "cohort": {"source": "csv", "table": str(cohort / table)},
        "endpoints": ["icu"],
        "backbones": ["demo_vit"],
        "strategies": ["linear"],
        "regimes": [{"name": "full_data", "folds": 2, "validation_fraction": 0.5}],
        "controls": ["prevalence"],
        **({"images": images} if images else {}),
    }
    return prepare(parse_spec(spec, "spec"))


def pixels(made):
    ((_, images),) = made.images().items()
    return dict(zip(images.patient_ids, images.pixels, strict=True))


def ids(made):
    return {run.id for run in (*made.runs, *made.controls)}


def test_percentiles_are_in_the_pixels_and_in_the_identities(cohort):
    plain, asked = prepared(cohort), prepared(cohort, percentiles=[5, 95])
    size = pixels(plain)["p00"].shape[0]
    for place in range(PATIENTS):
        path, patient = cohort / f"{place}.png", f"p{place:02}"
        assert np.array_equal(pixels(plain)[patient], to_square(decode(path), size))
        assert np.array_equal(pixels(asked)[patient], to_square(decode(path, (5, 95)), size))
    other = prepared(cohort, percentiles=[5, 96])
    assert not ids(plain) & ids(asked)
    assert not ids(asked) & ids(other)
    keys = {next(iter(made.images().values())).key for made in (plain, asked, other)}
    assert len(keys) == 3


def test_what_is_not_asked_changes_no_identity(cohort):
    assert ids(prepared(cohort)) == ids(prepared(cohort, lung_margin=0.3, without_lungs="drop"))


def test_boxes_and_masks_cut_and_the_rest_is_whole_and_counted(cohort):
    made = prepared(cohort, lung_crop=True, lung_margin=0.25)
    found = pixels(made)
    size = found["p00"].shape[0]
    for place in range(PATIENTS):
        image = decode(cohort / f"{place}.png")
        if place < 8:  # lungs from 12 to 48 and from 20 to 60, and a quarter around them
            image = crop_square(image, Box(3, 10, 57, 70, "pixel"))
            assert image.shape == (60, 60)
        assert np.array_equal(found[f"p{place:02}"], to_square(image, size))
    (own,) = made.cohorts
    assert own.lungs == 8
    (warning,) = [text for text in own.tasks[0].warnings if "lungs" in text]
    assert warning.startswith("4 of 12 images of the cohort 'table' are shown whole")
    assert "1: the mask shows no lung" in warning
    assert "2: neither a lung box nor a mask is given" in warning
    assert "1: the mask cannot be read: the file does not exist" in warning


def test_the_margin_and_the_mask_are_in_the_identities(cohort):
    first = prepared(cohort, lung_crop=True)
    assert not ids(first) & ids(prepared(cohort))
    assert not ids(first) & ids(prepared(cohort, lung_crop=True, lung_margin=0.06))
    mask = np.zeros((40, 30), np.uint8)
    mask[10:30, 6:25] = 1
    Image.fromarray(mask).save(cohort / "mask.png")
    assert not ids(first) & ids(prepared(cohort, lung_crop=True))


def test_images_without_lungs_can_be_left_out(cohort):
    made = prepared(cohort, lung_crop=True, without_lungs="drop")
    (own,) = made.cohorts
    assert sorted(pixels(made)) == [f"p{place:02}" for place in range(8)]
    drops = [drop for drop in own.tasks[0].cohort.drops if drop.rule == "no_lungs"]
    assert sorted(drop.images for drop in drops) == [1, 1, 2]
    assert sum(step.images for step in own.tasks[0].flow() if step.step == "no_lungs") == 4
    assert not any("lungs" in text for text in own.tasks[0].warnings)


@pytest.mark.parametrize(("policy", "words"), [("whole", "lung_crop"), ("drop", "without_lungs")])
def test_lungs_of_which_nothing_is_known_are_no_crop(cohort, policy, words):
    table = pd.read_csv(cohort / "table.csv").drop(columns=["lung_box", "lung_mask"])
    table.to_csv(cohort / "plain.csv", index=False)
    with pytest.raises(UserError, match=rf"images\.{words}"):
        prepared(cohort, "plain.csv", lung_crop=True, without_lungs=policy)


def test_a_box_beside_its_image_is_a_counted_drop(cohort):
    table = pd.read_csv(cohort / "table.csv")
    table.loc[0, "lung_box"] = "900,900,10,10"
    table.to_csv(cohort / "table.csv", index=False)
    made = prepared(cohort, lung_crop=True)
    (drop,) = [own for own in made.cohorts[0].cohort.drops if own.rule == "unreadable_image"]
    assert (drop.images, drop.image_ids) == (1, ("0.png",))
    assert "lung box" in drop.reason
