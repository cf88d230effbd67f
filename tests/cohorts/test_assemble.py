import numpy as np
import pandas as pd
import pytest

from build_cohort import cohort_of
from prognobench.cohorts.checks import drop_not_frontal, with_outcomes_of_patients
from prognobench.cohorts.radiograph_view import is_frontal
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError


def test_rows_are_sorted_and_columns_are_in_order():
    cohort = cohort_of([{"image_id": "b", "age": 5}, {"image_id": "a"}, {"image_id": "B"}])
    assert cohort.table["image_id"].tolist() == ["B", "a", "b"]
    standard = ["image_id", "patient_id", "path", "site", "view", "acquired", "icu", "icu_day"]
    assert cohort.table.columns.tolist() == [*standard, "age"]
    assert (cohort.source_images, cohort.source_patients) == (3, 3)


def test_text_is_stripped_and_views_are_upper_case():
    cohort = cohort_of([{"patient_id": " p ", "view": " ap\n", "site": " "}, {}])
    row = cohort.table.iloc[0]
    assert (row["patient_id"], row["view"], row["site"]) == ("p", "AP", "unknown")


@pytest.mark.parametrize("value", [2, -1, 0.5, "yes", np.inf])
def test_an_endpoint_is_zero_or_one(value):
    with pytest.raises(UserError, match="'icu' of the cohort 'small'"):
        cohort_of([{"icu": value}])


def test_an_image_is_there_once():
    with pytest.raises(UserError, match="same image_id: 'x'"):
        cohort_of([{"image_id": "x"}, {"image_id": "x "}])


@pytest.mark.parametrize("view", ["AP", "PA", "ap supine", "AP-portable", "Frontal", None, pd.NA])
def test_frontal(view):
    assert is_frontal(view)


@pytest.mark.parametrize("view", ["L", "LL", "LATERAL", "APX", "PARASAGITTAL", "RLO"])
def test_not_frontal(view):
    assert not is_frontal(view)


@pytest.mark.parametrize(
    "view",
    [
        *("PORTABLE AP", "CHEST PA", "Erect PA", "A.P.", "p.a.", "P. A. view", "postero-anterior"),
        *("A-P", "P/A", "p.-a.", "anterior-posterior", "Posterior Anterior", "frontale"),
    ],
)
def test_frontal_in_other_words(view):
    assert is_frontal(view)


@pytest.mark.parametrize(
    "view", ["AP LATERAL", "PA/LAT", "AP LLD", "p.a. und seitlich", "PA/L-L", "AP e latérale"]
)
def test_what_is_called_lateral_or_decubitus_too_is_not_frontal(view):
    assert not is_frontal(view)


def test_words_for_nothing_are_no_view_and_no_site():
    table = cohort_of([{"view": "NA", "site": "n/a"}, {"view": "Unknown", "site": "one"}]).table
    assert table["view"].isna().all()
    assert table["site"].tolist() == ["unknown", "one"]


@pytest.mark.parametrize("column", ["patient_id", "path"])
def test_words_for_nothing_are_no_id_and_no_path(column):
    with pytest.raises(UserError, match=f"2 rows without {column} .the first is row 2"):
        cohort_of([{}, {column: "NA"}, {column: "unknown"}])


def test_a_clinical_column_is_not_taken_for_the_label():
    rows = [{"icu": int(place < 3), "target": int(place >= 3)} for place in range(8)]
    task = select_task(cohort_of(rows), "icu")
    assert task.table["target"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert task.table["target (as in the table)"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_outcomes_belong_to_the_patient_whichever_image_is_left_out_later():
    cohort = cohort_of(
        [
            {"patient_id": "a", "view": "LATERAL", "icu": 1, "icu_day": 2},
            {"patient_id": "a", "view": "AP", "acquired": 5},
            {"patient_id": "b", "icu": 1},
            {"patient_id": "b", "icu": 0},
            {"patient_id": "b"},
        ]
    )
    table = drop_not_frontal(with_outcomes_of_patients(cohort)).table
    assert table["icu"].tolist()[:3] == [1, 1, 0]
    assert table["icu"].isna().tolist() == [False, False, False, True]
    assert table["icu_day"].iloc[0] == 2
