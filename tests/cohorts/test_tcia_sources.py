import json
import shutil

import dicom_fixtures as fixtures
import openpyxl
import pandas as pd
import pydicom
import pytest

from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import read_manifest, write_manifest
from prognobench.cohorts.source import get_source
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError
from prognobench.images.decode import decode

WRITERS = {
    "covid19_ar": fixtures.write_covid19_ar,
    "ny_sbu": fixtures.write_ny_sbu,
    "ricord": fixtures.write_ricord,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("collections")
    for source, write in WRITERS.items():
        (root / source).mkdir()
        write(root / source)
    return root


@pytest.fixture(scope="module")
def cohorts(folders):
    return {name: load_cohort({"source": name, "root": folders / name}) for name in WRITERS}


@pytest.fixture
def copied(folders, tmp_path):
    def copy(source):
        return shutil.copytree(folders / source, tmp_path / source)

    return copy


def taken(cohort):
    return {drop.rule: (drop.images, drop.patients) for drop in cohort.drops if drop.images}


@pytest.mark.parametrize("source", WRITERS)
def test_the_flow_adds_up_and_every_image_can_be_decoded(cohorts, source):
    cohort = cohorts[source]
    patients = cohort.table["patient_id"].nunique()
    assert cohort.source_images - sum(drop.images for drop in cohort.drops) == len(cohort.table)
    assert cohort.source_patients - sum(drop.patients for drop in cohort.drops) == patients
    for path in cohort.table["path"]:
        assert decode(cohort.root / path).shape == (fixtures.SIDE, fixtures.SIDE)


@pytest.mark.parametrize("source", WRITERS)
def test_nothing_written_names_a_patient(cohorts, source, tmp_path):
    write_manifest(cohorts[source], tmp_path / "manifest.csv")
    for path in tmp_path.iterdir():
        said = path.read_text(encoding="utf-8").casefold()
        assert "secret" not in said
        assert fixtures.BIRTH_DATE not in said
    pd.testing.assert_frame_equal(
        read_manifest(tmp_path / "manifest.csv").table, cohorts[source].table
    )


@pytest.mark.parametrize("source", WRITERS)
def test_the_source_says_where_it_is_obtained(source):
    about = get_source(source).provenance
    assert about.source == source
    assert about.url.startswith("https://doi.org/10.7937/")
    assert about.licence.startswith("CC BY")
    assert "registration" in about.access


@pytest.mark.parametrize("source", WRITERS)
def test_all_that_is_missing_is_named_in_one_sentence(copied, source, tmp_path):
    root = copied(source)
    with pytest.raises(UserError, match=r"does not exist"):
        load_cohort({"source": source, "root": tmp_path / "nowhere"})
    for path in root.rglob("*.dcm"):
        path.unlink()
    with pytest.raises(UserError, match=r"lacks any DICOM file"):
        load_cohort({"source": source, "root": root})
    for path in [*root.glob("*.csv"), *root.glob("*.json"), *root.glob("*.xlsx")]:
        path.unlink()
    with pytest.raises(UserError, match=r"lacks the table .* and any DICOM file"):
        load_cohort({"source": source, "root": root})


def test_two_tables_of_one_kind_are_named(copied):
    root = copied("covid19_ar")
    shutil.copy(root / fixtures.AR_TABLE, root / "COVID_19_AR_ClinicalCorrelates_copy.xlsx")
    with pytest.raises(UserError, match=r"has 2 tables like .*July202020\.xlsx and .*copy\.xlsx"):
        load_cohort({"source": "covid19_ar", "root": root})


# COVID-19-AR


def test_ar_images_left_out_are_counted(cohorts):
    # 12 first and 6 later studies, and patient 1's PA, are left.
    assert len(cohorts["covid19_ar"].table) == 19
    assert taken(cohorts["covid19_ar"]) == {
        "unreadable_header": (1, 0),
        "not_radiograph": (1, 0),
        "not_chest": (1, 0),
        "unclear_view": (1, 0),
        "not_in_table": (1, 1),
        "not_frontal": (2, 0),
    }
    (alone,) = (drop for drop in cohorts["covid19_ar"].drops if drop.rule == "no_image")
    assert (alone.images, alone.patients) == (0, 1)
    (broken,) = (d for d in cohorts["covid19_ar"].drops if d.rule == "unreadable_header")
    assert "/*/1-1.dcm-" in broken.image_ids[0]


def test_ar_outcomes_and_days(cohorts):
    table = cohorts["covid19_ar"].table
    mended = "COVID-19-AR-00644205"
    ids = [fixtures.ar_patient(n) if n != 5 else mended for n in range(12)]
    by_patient = table.groupby("patient_id")[["icu", "mortality"]].max()
    assert [n for n in range(12) if by_patient["icu"][ids[n]]] == list(fixtures.AR_ICU)
    assert [n for n in range(12) if by_patient["mortality"][ids[n]]] == list(fixtures.AR_DIED)
    assert sorted(table[table["patient_id"] == ids[3]]["acquired"]) == [0.0, 4.0]
    assert set(table["age"]) == {30.0 + 4 * n for n in range(12)}
    assert not {"ZIP", "# ICU admits", "hemodialysis post diagnosis"} & set(table.columns)
    (note,) = (d.reason for d in cohorts["covid19_ar"].drops if d.rule == "ids_mended")
    assert ": 1, such as" in note
    assert mended in note


def test_ar_tasks_say_that_the_outcomes_have_no_day(cohorts):
    task = select_task(cohorts["covid19_ar"], "icu")
    assert (len(task.patients), task.patients["target"].sum()) == (12, 5)
    assert (task.table["acquired"] == 0).all()
    assert "could not be left out" in task.warnings[0]


def test_ar_missing_columns_and_odd_cells_are_named(copied):
    root = copied("covid19_ar")
    book = openpyxl.load_workbook(root / fixtures.AR_TABLE)
    sheet = book.active
    places = {cell.value: cell for cell in sheet[2]}
    sheet.cell(5, places["MORTALITY"].column).value = "perhaps"
    book.save(root / fixtures.AR_TABLE)
    with pytest.raises(UserError, match=r"'MORTALITY' .*'perhaps'"):
        load_cohort({"source": "covid19_ar", "root": root})
    places["MORTALITY"].value, places["ICU Admit"].value = "deaths", "unit"
    book.save(root / fixtures.AR_TABLE)
    with pytest.raises(UserError, match=r"lacks the columns 'ICU Admit' and 'MORTALITY'"):
        load_cohort({"source": "covid19_ar", "root": root})
    places["MORTALITY"].value, places["ICU Admit"].value = "MORTALITY", "ICU Admit"
    places["PATIENT_ID"].value = "patient"
    book.save(root / fixtures.AR_TABLE)
    with pytest.raises(UserError, match=r"lacks the column 'PATIENT_ID': "):
        load_cohort({"source": "covid19_ar", "root": root})


# COVID-19-NY-SBU


def test_sbu_images_left_out_are_counted(cohorts):
    # 12 first studies, patient 6's second, and patient 3's whose only image is a processed one.
    cohort = cohorts["ny_sbu"]
    assert cohort.name == "covid19_ny_sbu"
    assert (len(cohort.table), cohort.source_images) == (14, 35)
    assert taken(cohort) == {
        "processed_copy": (17, 0),
        "not_chest": (2, 0),
        "before_visit": (1, 0),
        "not_frontal": (1, 0),
    }
    copies = {path for path in cohort.table["path"] if "/2.000000" in path}
    assert len(copies) == 1


def test_sbu_outcomes_and_days_since_the_visit(cohorts):
    table = cohorts["ny_sbu"].table
    number = {fixtures.sbu_patient(n): n for n in range(12)}
    for endpoint, events in (("mortality", fixtures.SBU_DIED), ("icu", fixtures.SBU_ICU)):
        found = {number[patient] for patient in table.loc[table[endpoint] == 1, "patient_id"]}
        assert found == set(events)
    firsts = table.groupby("patient_id")["acquired"].min()
    assert [firsts[fixtures.sbu_patient(n)] for n in range(12)] == [n % 3 for n in range(12)]
    assert sorted(table[table["patient_id"] == fixtures.sbu_patient(6)]["acquired"]) == [0, 9]
    after = {"length_of_stay", "was_ventilated", "invasive_vent_days", fixtures.SODIUM}
    assert not after & set(table.columns)
    assert set(table["sex"].dropna()) == {"M", "F"}
    assert table["sex"].isna().any()


def test_sbu_takes_the_first_study_of_the_visit(cohorts):
    task = select_task(cohorts["ny_sbu"], "mortality")
    assert (len(task.table), task.patients["target"].sum()) == (12, 4)
    assert (task.table["acquired"] <= 2).all()


def test_sbu_images_of_the_first_day_of_the_axis_are_taken_at_their_word(copied):
    root = copied("ny_sbu")
    first = {patient.name: sorted(patient.rglob("*.dcm")) for patient in root.glob("*/*/A*")}
    for patient in (fixtures.sbu_patient(0), fixtures.sbu_patient(5), fixtures.sbu_patient(8)):
        for path in first[patient]:
            dataset = pydicom.dcmread(path)
            if patient != fixtures.sbu_patient(0) or dataset.StudyDate >= "19001231":
                dataset.StudyDate = "19001231"
                dataset.save_as(path)
    cohort = load_cohort({"source": "ny_sbu", "root": root})
    # The visit of 0 began on that day; those of 5 and 8 began later, and had an image each.
    (note,) = (drop for drop in cohort.drops if drop.rule == "first_day_of_axis")
    assert "dates: 3, of which 1 are" in note.reason
    assert (note.images, note.patients) == (0, 0)
    days = cohort.table.set_index("patient_id")["acquired"]
    assert days[fixtures.sbu_patient(0)] == 0
    assert taken(cohort)["before_visit"] == (3, 2)
    assert not {fixtures.sbu_patient(5), fixtures.sbu_patient(8)} & set(days.index)


def test_sbu_missing_columns_are_named(copied):
    root = copied("ny_sbu")
    path = root / fixtures.SBU_TABLE
    text = path.read_text()
    path.write_text(text.replace("to_patient_id", "patient").replace("is_icu", "icu"))
    with pytest.raises(UserError, match=r"lacks the columns 'to_patient_id' and 'is_icu'"):
        load_cohort({"source": "ny_sbu", "root": root})
    path.write_text(text.replace("last.status", "status").replace("visit_start_datetime", "start"))
    with pytest.raises(UserError, match=r"'visit_start_datetime' and 'last\.status'"):
        load_cohort({"source": "ny_sbu", "root": root})
    path.write_text(text.replace("deceased", "gone"))
    with pytest.raises(UserError, match=r"'last\.status' .*'gone'"):
        load_cohort({"source": "ny_sbu", "root": root})


def test_sbu_patients_with_rows_that_differ_are_left_out(copied):
    root = copied("ny_sbu")
    path = root / fixtures.SBU_TABLE
    lines = path.read_text().splitlines(keepends=True)
    same, other = lines[1], lines[2].replace("deceased", "discharged")
    path.write_text("".join([*lines, same, other]))
    cohort = load_cohort({"source": "ny_sbu", "root": root})
    assert taken(cohort)["several_rows"] == (2, 1)
    assert fixtures.sbu_patient(0) in set(cohort.table["patient_id"])
    assert fixtures.sbu_patient(1) not in set(cohort.table["patient_id"])


def test_sbu_a_table_of_other_patients_is_refused(copied):
    root = copied("ny_sbu")
    path = root / fixtures.SBU_TABLE
    path.write_text(path.read_text().replace("A000", "B999"))
    with pytest.raises(UserError, match=r"no patient of the images, such as 'A000801'"):
        load_cohort({"source": "ny_sbu", "root": root})


def test_sbu_a_visit_that_is_no_date_is_named(copied):
    root = copied("ny_sbu")
    path = root / fixtures.SBU_TABLE
    path.write_text(path.read_text().replace("1900-12-31T00:00:00Z", "New Year"))
    with pytest.raises(UserError, match=r"'visit_start_datetime' .*'New Year'"):
        load_cohort({"source": "ny_sbu", "root": root})


# MIDRC-RICORD-1c


def test_ricord_severity_by_most_readers(cohorts):
    cohort = cohorts["ricord"]
    assert cohort.name == "midrc_ricord_1c"
    assert taken(cohort) == {"not_frontal": (1, 0)}
    table = cohort.table.assign(patient=cohort.table["patient_id"].str[16:])
    number = {fixtures.ricord_patient(n): n for n in range(13)}
    labels = {number[row.patient]: row.severity for row in table.itertuples()}
    assert {n for n, label in labels.items() if pd.isna(label)} == {6, 12}
    assert {n for n, label in labels.items() if not pd.isna(label) and label} == {0, 1, 4, 5, 8}
    notes = {drop.rule: drop.reason for drop in cohort.drops}
    assert notes["study_without_image"].endswith("here: 1")
    assert notes["readers_undecided"].endswith("open: 1")
    assert set(table["site"]) == {"419639", "440808", "SITE2"}


def test_ricord_the_outcome_begins_with_the_first_severe_study(cohorts):
    table = cohorts["ricord"].table
    turned = table[table["patient_id"].str.endswith(fixtures.ricord_patient(1))]
    assert sorted(turned["acquired"]) == [0.0, 10.0]
    assert set(turned["severity_day"]) == {10.0}
    twice = table[table["patient_id"].str.endswith(fixtures.ricord_patient(4))]
    assert sorted(twice["acquired"]) == [0.0, 10.0]
    assert set(twice["severity_day"]) == {0.0}
    task = select_task(cohorts["ricord"], "severity")
    assert task.warnings == ()
    assert (len(task.table), task.patients["target"].sum()) == (11, 5)
    assert (task.table["acquired"] == 0).all()


def test_ricord_both_forms_of_the_annotations_say_the_same(cohorts, tmp_path):
    fixtures.write_ricord(tmp_path, as_table=True)
    assert not list(tmp_path.glob("*.json"))
    tabulated = load_cohort({"source": "ricord", "root": tmp_path})
    columns = ["image_id", "patient_id", "severity", "severity_day", "site", "acquired"]
    pd.testing.assert_frame_equal(tabulated.table[columns], cohorts["ricord"].table[columns])


def test_ricord_other_grades_may_be_the_event(folders):
    cohort = load_cohort(
        {
            "source": "ricord",
            "root": folders / "ricord",
            "positive_grades": ["severe", "moderate"],
        }
    )
    assert "moderate or severe" in cohort.endpoints["severity"]
    events = cohort.table[cohort.table["severity"] == 1]["patient_id"].str[16:]
    # Patients 1 and 9: mild, moderate, severe. Patient 6: moderate and severe.
    expected = {0, 1, 4, 5, 6, 8, 9}
    assert set(events) == {fixtures.ricord_patient(n) for n in expected}
    with pytest.raises(UserError, match=r"'positive_grades\.0'"):
        load_cohort({"source": "ricord", "root": folders, "positive_grades": ["grave"]})


@pytest.mark.parametrize(
    "content", ["not json", "[]", "{}", json.dumps({"labelGroups": 1, "datasets": []}), "[" * 9999]
)
def test_ricord_another_export_is_refused(copied, content):
    root = copied("ricord")
    (root / f"{fixtures.RICORD_STEM}.json").write_text(content)
    with pytest.raises(UserError, match=r"is no export of MD\.ai"):
        load_cohort({"source": "ricord", "root": root})


def test_ricord_missing_columns_are_named(tmp_path):
    fixtures.write_ricord(tmp_path, as_table=True)
    path = tmp_path / f"{fixtures.RICORD_STEM}_v3.csv"
    text = path.read_text()
    path.write_text(text.replace("GRADE_label,", "GRADE,").replace("Anon MRN", "MRN"))
    with pytest.raises(UserError, match=r"lacks the columns 'Anon MRN' and 'GRADE_label'"):
        load_cohort({"source": "ricord", "root": tmp_path})


def test_ricord_posteroanterior_images_stay_and_laterals_of_a_position_leave(copied):
    root = copied("ricord")
    moved = {3: "PA", 4: "LL"}
    for number, position in moved.items():
        (path, *_) = sorted(root.glob(f"*/*/*{fixtures.ricord_patient(number)}/*/*/*.dcm"))
        dataset = pydicom.dcmread(path)
        dataset.ViewPosition = position
        dataset.save_as(path)
    cohort = load_cohort({"source": "ricord", "root": root})
    assert taken(cohort)["not_frontal"] == (2, 0)
    views = cohort.table["view"].value_counts().to_dict()
    assert views["PA"] == 1
