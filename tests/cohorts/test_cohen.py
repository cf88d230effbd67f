import shutil

import pandas as pd
import pytest

from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError


@pytest.fixture(scope="module")
def cohen(data_folder):
    return load_cohort({"source": "cohen", "root": data_folder / "cohen"})


@pytest.fixture
def altered(data_folder, tmp_path):
    """A copy of the dataset's folder whose table a test may change."""
    table = pd.read_csv(data_folder / "cohen" / "metadata.csv", dtype=str)
    (tmp_path / "images").symlink_to(data_folder / "cohen" / "images", target_is_directory=True)

    def read(change):
        change(table).to_csv(tmp_path / "metadata.csv", index=False)
        return load_cohort({"source": "cohen", "root": tmp_path})

    return read


def taken(cohort):
    return {drop.rule: drop.images for drop in cohort.drops if drop.images}


def test_the_measured_counts(cohen):
    assert (cohen.source_images, len(cohen.table)) == (339, 319)
    assert cohen.table["patient_id"].nunique() == 183
    assert taken(cohen) == {"not_radiograph": 4, "unknown_view": 6, "not_frontal": 10}
    by_patient = cohen.table.groupby("patient_id")[["mortality", "icu", "intubation"]].max()
    counts = {name: by_patient[name].value_counts().sort_index().tolist() for name in by_patient}
    assert counts == {"mortality": [53, 7], "icu": [39, 51], "intubation": [19, 21]}


def test_a_finding_may_be_asked_for(data_folder, cohen):
    covid = load_cohort({"source": "cohen", "root": data_folder / "cohen", "finding": "covid-19"})
    assert (len(covid.table), covid.table["patient_id"].nunique()) == (194, 113)
    assert set(covid.table["finding"]) == {"COVID-19", "COVID-19, ARDS"}
    assert covid.table["image_id"].isin(cohen.table["image_id"]).all()
    assert taken(covid)["other_finding"] == 135


@pytest.mark.parametrize(
    ("endpoint", "patients", "events"),
    [("mortality", 60, 7), ("icu", 47, 8), ("intubation", 29, 10)],
)
def test_the_tasks(cohen, endpoint, patients, events):
    task = select_task(cohen, endpoint)
    assert (len(task.patients), int(task.patients["target"].sum())) == (patients, events)


def test_no_image_from_the_stay_or_after_it_predicts_intensive_care(cohen, data_folder):
    """104 images are of the Hannover repository, which knows the days."""
    task = select_task(cohen, "icu", "all_before_outcome")
    pairs = pd.read_csv(data_folder / "cohen" / "overlap_with_mhh.csv", dtype=str)
    hannover = pd.read_csv(data_folder / "mhh" / "data.csv").set_index("image_id")
    until = pairs["mhh_image_id"].map(hannover["icu_admission_offset"])
    until.index = pairs["cohen_filename"]
    events = set(task.table.loc[task.table["target"] == 1, "image_id"]) & set(until.index)
    assert len(events) >= 5
    assert (until[sorted(events)] >= 0).all()
    # Without the rule, images from after the release would have been taken.
    left_out = cohen.table.query("icu == 1")["image_id"]
    assert (until.reindex(left_out) < 0).sum() > 40


def test_days_of_an_outcome_are_known_from_two_images_only(cohen):
    by_patient = cohen.table.groupby("patient_id")["icu_day"].max()
    assert by_patient["205"] == 6  # not yet there on days 1 and 6, there from day 11
    assert pd.isna(by_patient["219"])  # there on day 0, not any more on day 5
    assert pd.isna(by_patient["97"])  # of day 0 nothing is said


def test_what_tells_of_the_later_course_is_no_clinical_column(cohen):
    hidden = {"extubated", "needed_supplemental_O2", "in_icu", "intubation_present", "survival"}
    assert not hidden & set(cohen.table.columns)
    assert cohen.table["license"].notna().all()


def test_earlier_spellings_of_columns_and_later_ones_are_read(altered):
    cohort = altered(
        lambda table: table.rename(columns={"patientid": "Patientid", "url": " url"}).assign(
            RT_PCR_positive="Y",
            finding=table["finding"].replace("COVID-19", "Pneumonia/Viral/COVID-19"),
        )
    )
    assert len(cohort.table) == 319


def test_a_finding_of_a_hierarchy(data_folder, altered, tmp_path):
    altered(lambda table: table.replace({"finding": {"COVID-19": "Pneumonia/Viral/COVID-19"}}))
    cohort = load_cohort({"source": "cohen", "root": tmp_path, "finding": "COVID-19"})
    assert len(cohort.table) == 194


def test_missing_columns_are_named(altered):
    with pytest.raises(UserError, match="'survival' and 'in_icu'"):
        altered(lambda table: table.drop(columns=["survival", "in_icu"]))


def test_an_unknown_word_is_named(altered):
    with pytest.raises(UserError, match=r"'went_icu' .*'perhaps'"):
        altered(lambda table: table.assign(went_icu="perhaps"))


def test_a_folder_without_images(data_folder, tmp_path):
    shutil.copy(data_folder / "cohen" / "metadata.csv", tmp_path)
    with pytest.raises(UserError, match="lacks images: give as root"):
        load_cohort({"source": "cohen", "root": tmp_path})
