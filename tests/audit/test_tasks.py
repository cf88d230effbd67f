import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from build_cohort import cohort_of
from prognobench.audit.shortcuts import shortcut
from prognobench.audit.tasks import audit
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.task import select_task


@pytest.fixture(scope="module")
def mhh(data_folder):
    return load_cohort({"source": "mhh", "root": data_folder / "mhh"})


def test_the_view_of_the_real_cohort_is_a_shortcut(mhh):
    found = audit(mhh)
    about = found["endpoints"]["icu"]
    assert about["by"]["view"] == {
        "AP": {"patients": 38, "events": 27},
        "PA": {"patients": 33, "events": 2},
    }
    view, site, sex, day = about["shortcuts"]
    assert day["column"] == "acquisition day"
    assert view["column"] == "view"
    assert view["ci_low"] > 0.6
    assert 0.75 < view["auroc"] < 0.9
    assert view["warning"] in found["warnings"]
    assert (site["auroc"], site["reason"]) == (None, "all patients have the same value")
    assert sex["warning"] == ""
    assert about["images_after_outcome"] == 151
    json.dumps(found, allow_nan=False)


def test_a_task_is_audited_by_its_own_images(mhh):
    found = audit(select_task(mhh, "icu"))
    about = found["endpoints"]["icu"]
    assert (found["images"], about["patients"], about["events"]) == (67, 67, 25)
    assert (about["images_after_outcome"], about["images_after_outcome_left_out"]) == (0, 151)
    assert found["missing"]["crp_val"] == 16
    assert any(warning.startswith("view alone") for warning in found["warnings"])
    assert audit(select_task(mhh, "icu")) == found


def patients(values, target):
    return pd.DataFrame({"view": values, "target": target})


def test_a_column_without_bearing_is_near_one_half_and_seldom_warns():
    random = np.random.default_rng(0)
    target = (np.arange(80) < 25).astype(int)
    found = [
        shortcut(patients(random.choice(["AP", "PA"], 80), target), "view", "icu")
        for _ in range(60)
    ]
    assert abs(np.mean([each.auroc for each in found]) - 0.5) < 0.04
    assert sum(bool(each.warning) for each in found) < 9


def test_a_column_that_tells_all_is_one():
    target = np.array([0, 1] * 20)
    found = shortcut(patients(np.where(target, "AP", None), target), "view", "icu")
    assert (found.auroc, found.ci_low) == (1.0, 1.0)
    assert "AUROC of 1.00" in found.warning


def test_too_few_patients_have_a_reason():
    found = shortcut(patients(["AP", "PA", "PA"], [1, 0, 0]), "view", "icu")
    assert found.auroc is None
    assert found.reason == "a class has fewer than two patients"


def test_balance_by_age_and_what_is_missing():
    ages = [39.9, 40, 80, None]
    cohort = cohort_of([{"icu": n % 2, "Age": age} for n, age in enumerate(ages)])
    about = audit(cohort)["endpoints"]["icu"]["by"]["age"]
    assert about == {
        "(missing)": {"patients": 1, "events": 1},
        "0-39": {"patients": 1, "events": 0},
        "40-59": {"patients": 1, "events": 1},
        "80 and over": {"patients": 1, "events": 0},
    }


def test_duplicates_are_named_and_warned_of_across_patients():
    rows = [{"patient_id": patient, "icu": n % 2} for n, patient in enumerate("abccd")]
    digests = {f"image{n:02}": word for n, word in enumerate(["x", "x", "y", "y", "z"])}
    pixels = {f"image{n:02}": word for n, word in enumerate(["p", "p", "q", "r", "r"])}
    found = audit(cohort_of(rows), digests, pixels)
    assert found["duplicates"] == [
        {
            "compared": "file",
            "images": ["image00", "image01"],
            "patients": ["a", "b"],
            "across_patients": True,
        },
        {
            "compared": "file",
            "images": ["image02", "image03"],
            "patients": ["c"],
            "across_patients": False,
        },
        {
            "compared": "pixels",
            "images": ["image03", "image04"],
            "patients": ["c", "d"],
            "across_patients": True,
        },
    ]
    # Named in the data, not in the sentence: the report shows warnings and no patient.
    assert any(text.startswith("2 groups of equal images") for text in found["warnings"])


def test_contradictory_patients_are_counted():
    rows = [{"patient_id": "a", "icu": 1}, {"patient_id": "a", "icu": 0}]
    rows += [{"icu": n % 2} for n in range(6)]
    cohort = cohort_of(rows)
    assert audit(cohort)["endpoints"]["icu"]["contradictory_patients"] == 1
    task = select_task(cohort, "icu")
    assert audit(task)["endpoints"]["icu"]["contradictory_patients"] == 1


def test_cohorts_import_nothing_heavy():
    code = (
        "import sys, prognobench.audit.tasks, prognobench.cohorts.load;"
        "import prognobench.cohorts.sources.mhh, prognobench.cohorts.sources.csv;"
        "print([name for name in ('torch', 'timm', 'sklearn') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sizes_formats_text_and_days_are_measured_by_the_patients_first_images():
    random = np.random.default_rng(1)
    rows = [{"icu": n % 2, "acquired": n % 7} for n in range(60)]
    facts = pd.DataFrame(
        {
            "width": 512.0,
            "height": [512.0 if n % 2 else 640.0 for n in range(60)],
            "file_format": random.choice(["PNG", "JPEG"], 60),
            "characters": random.integers(0, 4, 60),
        },
        index=[f"image{n:02}" for n in range(60)],
    )
    found = audit(cohort_of(rows), facts=facts)
    told = {each["column"]: each for each in found["endpoints"]["icu"]["shortcuts"]}
    assert set(told) == {
        *("view", "site", "acquisition day"),
        *("image size", "file format", "burnt-in text"),
    }
    assert told["image size"]["auroc"] == 1.0
    assert "image size alone tells" in told["image size"]["warning"]
    assert told["file format"]["ci_low"] < 0.5
    # Both ends of a number may carry the risk.
    ends = pd.DataFrame({"target": [1, 0, 0, 1] * 20, "day": [0, 1, 2, 3] * 20})
    assert shortcut(ends, "day", "icu").auroc > 0.95


def test_missing_values_are_counted_by_group_and_late_images_are_told():
    rows = [
        {
            "icu": n % 2,
            "site": "ab"[n % 2],
            "icu_day": 1,
            "acquired": n % 3,
            "crp": None if n < 3 else n,
        }
        for n in range(12)
    ]
    cohort = cohort_of(rows)
    assert audit(cohort)["missing_by"]["site"]["a"] == {
        "images": 6,
        "missing": {"view": 6, "crp": 2},
    }
    told = audit(select_task(cohort, "icu", "all"))["warnings"]
    assert any("images were taken after the outcome 'icu' and are used" in each for each in told)
    told = audit(select_task(cohort, "icu", "first"))["warnings"]
    assert not any("taken after the outcome" in each for each in told)
