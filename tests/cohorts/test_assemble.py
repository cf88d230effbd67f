import numpy as np
import pandas as pd
import pytest

from build_cohort import cohort_of
from prognobench.cohorts.checks import is_frontal
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
