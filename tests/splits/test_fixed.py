"""A split that a column decides."""

from __future__ import annotations

import pytest

from build_cohort import cohort_of
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError
from prognobench.regimes import FixedSplitSpec
from prognobench.splits.fixed import fixed_splits
from prognobench.splits.split import check_split

TARGETS = {f"p{number:02}": number % 2 for number in range(40)}
PARTS = {"train": ["a"], "val": [], "test": ["b"]}


def column(train=20, test=30):
    return {p: "a" if n < train else "b" if n < test else "c" for n, p in enumerate(TARGETS)}


def fixed(values, **asked):
    (split,) = fixed_splits(TARGETS, "part", values, {**PARTS, **asked}, 0.2, 0)
    return split


def test_patients_are_where_the_column_says_and_others_are_left_out():
    split = fixed(column())
    check_split(split, TARGETS)
    assert split.patients("test") == [f"p{number}" for number in range(20, 30)]
    assert len(split.patients("val")) == 4
    inside = [*split.patients("train"), *split.patients("val")]
    assert sorted(inside) == [f"p{number:02}" for number in range(20)]
    assert split.prevalence == 0.5


def test_a_value_of_the_column_can_stand_for_validation():
    split = fixed(column(), val=["c"])
    assert split.patients("val") == [f"p{number}" for number in range(30, 40)]
    assert len(split.patients("train")) == 20


def test_a_value_that_is_not_there_and_a_part_of_one_class_are_sentences():
    with pytest.raises(UserError, match=r"has no value 'd' \(test\), its values are 'a', 'b'"):
        fixed(column(), test=["d"])
    odd = {patient: "b" if target and patient > "p20" else "a" for patient, target in
           TARGETS.items()}  # fmt: skip
    with pytest.raises(UserError, match="both classes are needed: name other values"):
        check_split(fixed(odd), TARGETS)


def test_a_value_for_two_parts_is_a_sentence():
    with pytest.raises(UserError, match=r"value 'a' .* is named for train and for val"):
        fixed(column(), val=["a"])


def test_numbers_are_the_text_that_the_column_has():
    rows = [
        {"icu": n % 2, "year": 2019 + n % 2, "batch": 1.0 if n % 3 else None} for n in range(40)
    ]
    task = select_task(cohort_of(rows), "icu")
    columns = task.patient_columns()
    assert set(columns["year"].values()) == {"2019", "2020"}
    assert set(columns["batch"].values()) == {"1", ""}
    asked = {"column": "year", "train": [2019], "test": ["2020"]}
    regime = FixedSplitSpec.model_validate(asked)
    assert (regime.train, regime.test) == (("2019",), ("2020",))
    assert FixedSplitSpec.model_validate({**asked, "val": [1.0, "x"]}).val == ("1", "x")
