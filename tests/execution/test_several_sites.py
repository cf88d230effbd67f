"""Patients with images from several sites, from a table to the splits and to what is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from prognobench.audit.tasks import audit
from prognobench.execution.prepare import prepare
from prognobench.spec import parse_spec

PATIENTS, MOVED = 40, 6


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Forty patients of two sites, six of whom were moved from A to B and imaged there again."""
    folder = tmp_path_factory.mktemp("sites")
    random = np.random.default_rng(0)
    rows = []
    for place in range(PATIENTS):
        for site in ("A", "B") if place < MOVED else ("AB"[place % 2],):
            name = f"{place:02}{site}.png"
            Image.fromarray(random.integers(40, 200, (64, 64)).astype(np.uint8)).save(folder / name)
            icu = int(place // 2 % 2)
            rows.append({"patient_id": f"p{place:02}", "path": name, "site": site, "icu": icu})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def prepared(table, policy):
    spec = {
        "name": "x",
        "cohort": {"source": "csv", "table": str(table), "policy": policy},
        "endpoints": ["icu"],
        "backbones": ["demo_vit"],
        "strategies": ["linear"],
        "regimes": [
            {"name": "leave_one_site_out", "validation_fraction": 0.3},
            {"name": "few_shot", "one_site": True, "shots": [2], "episodes": 4, "folds": 2},
            {"name": "full_data", "folds": 2, "validation_fraction": 0.5},
        ],
        "controls": ["prevalence"],
    }
    made = prepare(parse_spec(spec, "spec"))
    return made.tasks[0], next(iter(made.splits.values()))


def test_no_image_of_the_site_that_is_tested_was_trained_on(table):
    task, splits = prepared(table, "all")
    images = task.table
    assert len(images) == PATIENTS + MOVED
    for split in splits:
        part = images["patient_id"].map(split.parts)
        trained = set(images.loc[part == "train", "site"])
        if split.regime == "leave_one_site_out":
            assert set(images.loc[part == "test", "site"]) == {split.held_out}
            assert split.held_out not in set(images.loc[part.isin(["train", "val"]), "site"])
            assert len(split.parts) == PATIENTS - MOVED
        elif split.regime == "few_shot_one_site":
            assert len(trained) == 1
        else:
            assert len(split.parts) == PATIENTS


def test_how_many_are_left_out_is_told_where_warnings_are(table):
    task, _ = prepared(table, "all")
    (told,) = [text for text in audit(task)["warnings"] if "several sites" in text]
    assert told.startswith(f"{MOVED} patients have images from several sites")
    assert "leave_one_site_out leaves them out, few_shot_one_site does not train" in told
    first, splits = prepared(table, "first")
    assert not any("several sites" in text for text in first.warnings)
    tested = [split.patients("test") for split in splits if split.held_out]
    assert sum(map(len, tested)) == PATIENTS
