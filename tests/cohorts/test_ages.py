import math

import pandas as pd
import pytest

from build_cohort import cohort_of
from prognobench.audit.balance import balance, groups_of, missing_by_group, missing_values
from prognobench.cohorts.ages import ages, years_of
from prognobench.evaluation.subgroups import patient_groups


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        (67, 67.0), (67.5, 67.5), ("67,5", 67.5), (" 67 ", 67.0), ("045Y", 45.0), ("018M", 1.5),
        ("90+", 90.0), (">89", 89.0), ("67 years", 67.0), ("0", 0.0),
        (None, None), (math.nan, None), ("", None), ("60-69", None), ("<40", None),
        (">60", None), ("65+", None), ("old", None), ("1967", None),
    ],
)  # fmt: skip
def test_ages_as_they_are_written(cell, years):
    assert years_of(cell) == years


def test_a_column_is_of_ages_only_where_all_of_it_is():
    assert ages(pd.Series(["90+", None, "12"])).tolist()[::2] == [90.0, 12.0]
    assert ages(pd.Series(["90+", "x"])) is None


def test_ages_in_words_are_numbers_for_the_audit_subgroups_and_controls():
    rows = [{"age": age, "sex": sex, "site": site} for age, sex, site in [
        ("045Y", 1.0, "A"), ("90+", 2.0, ""), ("67,5", None, "B"), (None, 1.0, "A"),
    ]]  # fmt: skip
    cohort = cohort_of(rows)
    assert cohort.table["age"].tolist()[:3] == [45.0, 90.0, 67.5]
    groups = groups_of(cohort.table)
    assert groups["age"].tolist() == ["40-59", "80 and over", "60-79", "(missing)"]
    assert groups["sex"].tolist() == ["1", "2", "(missing)", "1"]
    assert groups["site"].tolist() == ["A", "(missing)", "B", "A"]
    assert missing_values(cohort)["site"] == missing_values(cohort)["age"] == 1
    lacking = missing_by_group(cohort)["site"]["(missing)"]
    assert lacking["missing"]["site"] == lacking["images"] == 1
    shown = patient_groups(cohort.table, cohort.table["image_id"].tolist())
    assert shown["age"].tolist() == ["40 to 59", "80 and over", "60 to 79", "not known"]
    assert shown["sex"].tolist() == ["1", "2", "not known", "1"]
    assert set(balance(cohort.table.assign(target=0))["sex"]) == {"1", "2", "(missing)"}


def test_a_mixed_column_of_ages_stays_as_it_is_and_is_read_cell_by_cell():
    cohort = cohort_of([{"age": "045Y"}, {"age": "adult"}])
    assert cohort.table["age"].tolist() == ["045Y", "adult"]
    assert groups_of(cohort.table)["age"].tolist() == ["40-59", "(missing)"]
