import datetime

import dicom_fixtures as fixtures
import pandas as pd
import pytest

from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import write_manifest
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError

OPTIONS = {
    "columns": {"admission": "Admitted", "icu_date": "ICU from"},
    "positive": {"icu": "transferred"},
    "negative": {"icu": "ward"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    fixtures.write_hospital(folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder):
    return hospital(folder)


def hospital(folder, **options):
    given = {"root": folder / "images", "table": folder / "outcomes.xlsx", **OPTIONS, **options}
    return load_cohort({"source": "dicom", **given})


def small(tmp_path, rows, **options):
    """One image of patient 0012 on 2020-03-03, with a table of one's own."""
    day = datetime.date(2020, 3, 3)
    fixtures.write_dicom(tmp_path / "images" / "x.dcm", "0012", day=day, ViewPosition="AP")
    fixtures.write_csv(tmp_path / "outcomes.csv", rows)
    given = {"root": tmp_path / "images", "table": tmp_path / "outcomes.csv", **options}
    return load_cohort({"source": "dicom", **given})


def test_images_left_out_are_counted(cohort):
    assert (len(cohort.table), cohort.source_images) == (22, 31)
    assert {drop.rule: (drop.images, drop.patients) for drop in cohort.drops if drop.images} == {
        "unreadable_header": (1, 0),
        "not_radiograph": (2, 0),
        "no_patient_id": (1, 0),
        "duplicate_file": (1, 0),
        "not_in_table": (1, 1),
        "several_rows": (2, 1),
        "not_frontal": (1, 0),
    }
    assert cohort.source_patients - sum(drop.patients for drop in cohort.drops) == 11


def test_ids_get_their_zeros_back(cohort):
    assert set(cohort.table["patient_id"]) == {fixtures.hospital_patient(n) for n in range(1, 12)}
    (note,) = (drop.reason for drop in cohort.drops if drop.rule == "ids_mended")
    assert ": 12, such as" in note


def test_days_since_admission_and_the_image_before_the_outcome(cohort):
    table = cohort.table
    assert set(table["acquired"]) == {2.0, 5.0}
    assert set(table.loc[table["icu"] == 1, "icu_day"]) == {4.0}
    assert table.loc[table["icu"] == 0, "icu_day"].isna().all()
    task = select_task(cohort, "icu", "all_before_outcome")
    events = task.table[task.table["target"] == 1]
    assert set(events["acquired"]) == {2.0}
    assert len(events) == 4
    assert task.warnings == ()


def test_only_named_columns_are_kept(cohort, folder):
    assert not {"Smoker", "Surname", "Admitted"} & set(cohort.table.columns)
    assert set(cohort.table["site"]) == {"000", "001"}
    assert cohort.table["age"].min() == 51.0
    kept = hospital(folder, clinical=["Smoker"])
    assert set(kept.table["Smoker"]) == {"no"}


def test_nothing_written_names_a_patient(cohort, tmp_path):
    write_manifest(cohort, tmp_path / "manifest.csv")
    for path in tmp_path.iterdir():
        said = path.read_text(encoding="utf-8").casefold()
        assert "secret" not in said
        assert fixtures.BIRTH_DATE not in said


def test_paths_that_show_a_name_are_refused(tmp_path):
    day = datetime.date(2020, 3, 3)
    for number in range(2):
        path = tmp_path / "images" / "SECRET_PATIENT" / f"{number}.dcm"
        fixtures.write_dicom(path, str(number), day=day, ViewPosition="AP")
    fixtures.write_csv(tmp_path / "outcomes.csv", [["PatientID", "icu"], [0, 0], [1, 1]])
    given = {"root": tmp_path / "images", "table": tmp_path / "outcomes.csv"}
    with pytest.raises(UserError, match=r"paths of 2 files .*allow_identifying_paths") as caught:
        load_cohort({"source": "dicom", **given})
    assert "secret" not in str(caught.value).casefold()
    allowed = load_cohort({"source": "dicom", **given, "allow_identifying_paths": True})
    assert len(allowed.table) == 2


def test_without_an_admission_days_count_from_the_first_image(tmp_path):
    fixtures.write_dicom(
        tmp_path / "images" / "y.dcm", "0012", day=datetime.date(2020, 3, 8), ViewPosition="PA"
    )
    rows = [["to_patient_id", "mortality", "mortality_date"], ["12", "yes", "2020-03-10"]]
    cohort = small(tmp_path, rows)
    assert sorted(cohort.table["acquired"]) == [0.0, 5.0]
    assert set(cohort.table["mortality_day"]) == {7.0}


def test_without_a_patient_s_admission_days_count_from_that_patient_s_first_image(tmp_path):
    fixtures.write_dicom(
        tmp_path / "images" / "y.dcm", "0013", day=datetime.date(2020, 3, 8), ViewPosition="PA"
    )
    rows = [
        ["patient_id", "admission", "icu", "icu_date"],
        ["12", "2020-03-01", "1", "2020-03-05"],
        ["13", "", "1", "2020-03-10"],
    ]
    cohort = small(tmp_path, rows)
    table = cohort.table.sort_values("patient_id")
    assert table[["acquired", "icu_day"]].to_numpy().tolist() == [[2.0, 4.0], [0.0, 2.0]]
    assert "no_admission" in {drop.rule for drop in cohort.drops}
    numbered = [["patient_id", "admission", "icu", "icu_day"], ["12", "", "1", "4"]]
    assert small(tmp_path, numbered).table["acquired"].isna().all()


def test_a_day_of_the_outcome_counts_from_the_admission(tmp_path):
    rows = [["patient_id", "admission", "icu", "icu_day"], ["12", "2020-03-01", "1", "4"]]
    cohort = small(tmp_path, rows)
    assert cohort.table[["acquired", "icu_day"]].to_numpy().tolist() == [[2.0, 4.0]]
    with pytest.raises(UserError, match=r"map 'admission', or give dates as 'icu_date'"):
        small(tmp_path, [["patient_id", "icu", "icu_day"], ["12", "1", "4"]])


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([["id", "icu"], ["12", "1"]], {}, r"lacks the column 'patient_id'"),
        ([["patient_id", "fever"], ["12", "1"]], {}, r"has no endpoint"),
        ([["patient_id", "icu"], ["12", "1"]], {"columns": {"beds": "b"}}, r"maps no 'beds'"),
        (
            [["patient_id", "icu"], ["12", "1"]],
            {"columns": {"icu": "ICU?", "site": "House"}},
            r"lacks the columns 'ICU\?' and 'House'",
        ),
        ([["patient_id", "icu"], ["12", "1"]], {"clinical": ["bmi"]}, r"lacks the column 'bmi'"),
        ([["patient_id", "icu"], ["12", "soon"]], {}, r"'icu' .*'soon'"),
        ([["patient_id", "icu"], ["13", "1"]], {}, r"no patient of the images"),
        (
            [["patient_id", "icu", "icu_date"], ["12", "1", "03/10/2020"]],
            {},
            r"'icu_date' .*'03/10/2020' where a date such as 2020-03-14",
        ),
        ([["patient_id", "icu"], ["12", "1"]], {"positive": {"died": 1}}, r"no endpoint 'died'"),
    ],
)
def test_what_is_wrong_with_the_table_is_named(tmp_path, rows, options, sentence):
    with pytest.raises(UserError, match=sentence):
        small(tmp_path, rows, **options)


def test_a_folder_without_images_is_named(tmp_path):
    fixtures.write_csv(tmp_path / "outcomes.csv", [["patient_id", "icu"], ["12", "1"]])
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"no DICOM file in the folder"):
        hospital(tmp_path, table=tmp_path / "outcomes.csv", columns={}, positive={}, negative={})


def test_when_nothing_is_left_the_drops_are_named(tmp_path):
    fixtures.write_dicom(tmp_path / "images" / "x.dcm", "12", "CT")
    fixtures.write_csv(tmp_path / "outcomes.csv", [["patient_id", "icu"], ["12", "1"]])
    with pytest.raises(UserError, match=r"none of the 1 DICOM files .*\(1 not_radiograph\)"):
        hospital(tmp_path, table=tmp_path / "outcomes.csv", columns={}, positive={}, negative={})


def test_a_patient_whose_only_file_is_left_out_is_counted_once(tmp_path):
    fixtures.write_dicom(tmp_path / "images" / "ct.dcm", "0013", "CT")
    cohort = small(tmp_path, [["patient_id", "icu"], ["12", "1"], ["13", "0"], ["14", "0"]])
    lost = {drop.rule: drop.patients for drop in cohort.drops if drop.patients}
    assert lost == {"not_radiograph": 1, "no_image": 1}
    assert cohort.source_patients == 3


def test_of_one_day_the_earliest_image_is_the_first(tmp_path):
    day = datetime.date(2020, 3, 3)
    rows = [["patient_id", "icu"]]
    for number in range(4):
        for place, time in enumerate(("180000", "", "073000", "110000")):
            path = tmp_path / "images" / str(number) / f"{place}.dcm"
            tags = {"AcquisitionTime": time, "ViewPosition": "AP"}
            fixtures.write_dicom(path, f"P{number}", day=day, **tags)
        rows.append([f"P{number}", number % 2])
    fixtures.write_csv(tmp_path / "outcomes.csv", rows)
    given = {"root": tmp_path / "images", "table": tmp_path / "outcomes.csv"}
    task = select_task(load_cohort({"source": "dicom", **given}), "icu")
    assert list(task.table["path"]) == [f"{number}/2.dcm" for number in range(4)]


def test_an_image_after_the_outcome_hides_in_no_study_that_began_before_it(tmp_path):
    rows = [["patient_id", "icu", "icu_date"]]
    start = datetime.date(2020, 3, 1)
    for number in range(4):
        folder = tmp_path / "images" / str(number)
        before = {"AcquisitionDate": "20200302", "AcquisitionTime": "180000"}
        after = {"AcquisitionDate": "20200304", "AcquisitionTime": "060000"}
        for place, tags in enumerate((before, after)):
            about = {"StudyInstanceUID": f"1.2.{number + 1}", "ViewPosition": "AP", **tags}
            fixtures.write_dicom(folder / f"{place}.dcm", f"P{number}", day=start, **about)
        rows.append([f"P{number}", number % 2, "2020-03-03" if number % 2 else ""])
    fixtures.write_csv(tmp_path / "outcomes.csv", rows)
    given = {"root": tmp_path / "images", "table": tmp_path / "outcomes.csv"}
    task = select_task(load_cohort({"source": "dicom", **given}), "icu")
    assert list(task.table["path"]) == [f"{number}/0.dcm" for number in range(4)]


def test_a_lateral_is_no_original_of_a_processed_frontal(tmp_path):
    images = tmp_path / "images"
    day = datetime.date(2020, 3, 3)
    for number, view in enumerate(("LATERAL", "AP", "LATERAL")):
        about = {"day": day, "StudyInstanceUID": f"1.2.{number + 1}"}
        first = fixtures.write_dicom(
            images / str(number) / "first.dcm", f"P{number}", ViewPosition=view, **about
        )
        # Of the last the original is not here, only its name.
        named = first if number < 2 else "1.2.3.4"
        fixtures.write_dicom(
            images / str(number) / "copy.dcm",
            f"P{number}",
            ViewPosition="AP",
            references=named,
            **about,
        )
    cohort = small(tmp_path, [["patient_id", "icu"], *[[f"P{own}", own % 2] for own in range(3)]])
    assert set(cohort.table["path"]) == {"0/copy.dcm", "1/first.dcm", "2/copy.dcm"}
    lost = {drop.rule: drop.images for drop in cohort.drops if drop.images}
    assert lost == {"processed_copy": 1, "not_in_table": 1, "not_frontal": 2}


def test_real_files(data_folder, tmp_path):
    rows = [["PatientID", "icu"], ["9rg1", "1"], ["DERIVED-MHH-006f3a8a", "0"]]
    fixtures.write_csv(tmp_path / "outcomes.csv", rows)
    given = {"root": data_folder / "dicom", "table": tmp_path / "outcomes.csv"}
    cohort = load_cohort({"source": "dicom", **given})
    found = cohort.table.set_index("patient_id")
    assert found["view"].to_dict() == {"9RG1": "PA", "DERIVED-MHH-006f3a8a": "AP"}
    assert found["path"]["9RG1"] == "RG1_J2KI.dcm"
    # The third, gdcm-CR-MONO1-10-chest.dcm, has no Patient ID.
    (lost,) = (drop for drop in cohort.drops if drop.images)
    assert (lost.rule, lost.image_ids) == ("no_patient_id", ("gdcm-CR-MONO1-10-chest.dcm",))
    pd.testing.assert_series_equal(
        found["icu"],
        pd.Series({"9RG1": 1, "DERIVED-MHH-006f3a8a": 0}, dtype="Int64"),
        check_names=False,
        check_index_type=False,
    )
