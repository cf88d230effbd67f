"""Cohorts put together: equal ids stay different patients, and a column says who is from where."""

from __future__ import annotations

import pytest

from build_cohort import cohort_of
from prognobench.cohorts.combine import combine
from prognobench.cohorts.load import CohortSpec
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError
from prognobench.regimes import FixedSplitSpec, make_splits


def members(tmp_path):
    rows = [{"icu": number % 2} for number in range(12)]
    first = cohort_of(rows, tmp_path / "a", name="a")
    second = cohort_of(rows[:6], tmp_path / "b" / "images", name="b")
    return first, second


def test_equal_ids_stay_different_patients_and_paths_lead_to_their_files(tmp_path):
    whole = combine("both", members(tmp_path))
    assert len(whole.table) == 18
    assert whole.table["patient_id"].nunique() == 18
    assert whole.root == tmp_path.resolve()
    row = whole.table.set_index("image_id").loc["b/image00"]
    assert row["path"] == "b/images/image00.png"
    assert row["dataset"] == "b"
    assert row["site"] == "b/b"
    assert whole.source_patients == 18


def test_one_cohort_trains_and_the_other_is_tested(tmp_path):
    task = select_task(combine("both", members(tmp_path)), "icu", "all")
    targets = dict(zip(task.patients["patient_id"], task.patients["target"], strict=True))
    regime = FixedSplitSpec(column="dataset", train=("a",), test=("b",), validation_fraction=0.34)
    (split,) = make_splits(regime, targets, task.patient_columns())
    assert {patient[0] for patient in split.patients("test")} == {"b"}
    assert {patient[0] for part in ("train", "val") for patient in split.patients(part)} == {"a"}
    assert len(split.parts) == 18
    assert split.patients("val")
    with pytest.raises(UserError, match=r"no value 'c' \(train\), its values are 'a', 'b'"):
        make_splits(FixedSplitSpec(column="dataset", train=("c",)), targets, task.patient_columns())
    with pytest.raises(UserError, match="did you mean 'dataset'"):
        make_splits(FixedSplitSpec(column="datset"), targets, task.patient_columns())


def test_what_cannot_be_put_together_is_said(tmp_path):
    first, second = members(tmp_path)
    with pytest.raises(UserError, match="two combined cohorts are named 'a'"):
        combine("both", [first, second.renamed("a")])
    other = cohort_of([{"death": 1}], tmp_path, name="c", endpoints={"death": "died"})
    with pytest.raises(UserError, match="no endpoint in common"):
        combine("both", [first, other])


def test_a_member_without_dates_keeps_its_events_and_says_so(tmp_path):
    dated = [{"icu": n % 2, "icu_day": 3 if n % 2 else None, "acquired": 1 + n} for n in range(6)]
    undated = [{"icu": n % 2} for n in range(6)]
    both = combine(
        "both",
        [cohort_of(dated, tmp_path, name="dated"), cohort_of(undated, tmp_path, name="undated")],
    )
    task = select_task(both, "icu")
    events = task.table.loc[task.table["target"] == 1, "dataset"]
    # Two of the dated events have an image of after the outcome.
    assert events.value_counts().to_dict() == {"dated": 1, "undated": 3}
    (warning,) = task.warnings
    assert warning.startswith("the cohort 'undated' does not say when")


def test_a_policy_of_one_member_is_refused():
    member = {"source": "synthetic", "policy": "all"}
    with pytest.raises(ValueError, match="combined cohorts have one policy"):
        CohortSpec.model_validate({"name": "both", "combine": [{"source": "mhh"}, member]})


def test_a_site_that_is_not_known_stays_so(tmp_path):
    rows = [{"icu": n % 2, "site": site} for n, site in enumerate(["A", None, "B", "A"])]
    first, second = (cohort_of(rows, tmp_path, name=name) for name in ("a", "b"))
    sites = combine("both", [first, second]).table["site"]
    assert sites.tolist() == ["a/A", "unknown", "a/B", "a/A", "b/A", "unknown", "b/B", "b/A"]
