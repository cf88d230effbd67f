import shutil

import pandas as pd
import pytest

from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError


@pytest.fixture(scope="module")
def mhh(data_folder):
    return load_cohort({"source": "mhh", "root": data_folder / "mhh"})


@pytest.fixture
def altered(data_folder, tmp_path):
    """A copy of the repository's folder whose table a test may change."""
    table = pd.read_csv(data_folder / "mhh" / "data.csv", dtype=str)
    (tmp_path / "png").symlink_to(data_folder / "mhh" / "png", target_is_directory=True)

    def read(change):
        change(table).to_csv(tmp_path / "data.csv", index=False)
        return load_cohort({"source": "mhh", "root": tmp_path})

    return read


def test_the_published_counts(mhh):
    assert (len(mhh.table), mhh.table["patient_id"].nunique()) == (243, 71)
    assert mhh.table["view"].value_counts().to_dict() == {"AP": 194, "PA": 49}
    assert [drop.images for drop in mhh.drops] == [0, 0, 0]
    by_patient = mhh.table.groupby("patient_id")[["icu", "mortality"]].max()
    assert by_patient.value_counts().to_dict() == {(0, 0): 40, (1, 0): 26, (1, 1): 3, (0, 1): 2}
    assert mhh.provenance.version == "2.0"
    assert not {"age", "size", "weight", "icu_release_offset"} & set(mhh.table.columns)


def test_days_are_since_admission(mhh):
    # Of this image the table says: admitted 2 days before, to intensive care 2 days before.
    row = mhh.table.set_index("image_id").loc["c9280a30"]
    assert (row["acquired"], row["icu_day"]) == (2.0, 0.0)
    assert pd.isna(row["mortality_day"])


@pytest.mark.parametrize(
    ("endpoint", "policy", "images", "patients", "events"),
    [
        ("icu", "first", 67, 67, 25),
        ("icu", "all_before_outcome", 92, 67, 25),
        ("icu", "all", 243, 71, 29),
        ("mortality", "first", 71, 71, 5),
        ("mortality", "all_before_outcome", 243, 71, 5),
    ],
)
def test_the_measured_tasks(mhh, endpoint, policy, images, patients, events):
    task = select_task(mhh, endpoint, policy)
    assert (len(task.table), len(task.patients)) == (images, patients)
    assert task.patients["target"].sum() == events
    assert task.warnings == ()


def test_the_images_before_intensive_care(mhh):
    task = select_task(mhh, "icu", "all_before_outcome")
    events = task.table[task.table["target"] == 1]
    assert (len(events), events["patient_id"].nunique()) == (35, 25)
    drops = {drop.rule: (drop.images, drop.patients) for drop in task.cohort.drops}
    assert drops["after_outcome"] == (151, 4)


def test_columns_are_found_in_any_case_and_filled_ones_are_kept(altered):
    cohort = altered(lambda table: table.assign(age="60").rename(columns=str.upper))
    assert len(cohort.table) == 243
    assert (cohort.table["age"] == 60).all()
    assert cohort.provenance.version.startswith("data.csv with SHA-256")


def test_patients_with_contradictory_days_are_left_out(altered):
    def move_one(table):
        table.loc[table["image_id"] == "c9280a30", "icu_admission_offset"] = "5"
        return table

    cohort = altered(move_one)
    assert cohort.drops[0].rule == "contradictory_days"
    assert (cohort.drops[0].images, cohort.drops[0].patients) == (3, 1)


def test_missing_columns_are_named(altered):
    with pytest.raises(UserError, match="'icu_admission_offset' and 'projection'"):
        altered(lambda table: table.drop(columns=["projection", "icu_admission_offset"]))


def test_a_cell_that_is_no_number_is_named(altered):
    with pytest.raises(UserError, match=r"'admission_offset' .*'yesterday'"):
        altered(lambda table: table.assign(admission_offset="yesterday"))


def test_missing_parts_of_the_folder_are_named(tmp_path, data_folder):
    with pytest.raises(UserError, match=r"lacks data.csv and png"):
        load_cohort({"source": "mhh", "root": tmp_path})
    shutil.copy(data_folder / "mhh" / "data.csv", tmp_path / "data.csv")
    with pytest.raises(UserError, match=r"lacks png"):
        load_cohort({"source": "mhh", "root": tmp_path})
    (tmp_path / "png").mkdir()
    with pytest.raises(UserError, match="none of the 243 images"):
        load_cohort({"source": "mhh", "root": tmp_path})
