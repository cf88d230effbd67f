"""Splits: patients never cross, classes are stratified, draws are nested and repeatable."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prognobench.errors import UserError
from prognobench.regimes import FewShotSpec
from prognobench.splits.cross_validation import full_data_splits, make_folds
from prognobench.splits.few_shot import few_shot_splits
from prognobench.splits.split import Split, check_split, read_split, write_split


def cohort(patients: int, events: int) -> dict[str, int]:
    return {f"p{number:04d}": int(number < events) for number in range(patients)}


sizes = st.tuples(st.integers(30, 120), st.integers(10, 15))


@settings(max_examples=30)
@given(sizes, st.integers(2, 5), st.integers(0, 10**6))
def test_full_data_folds_partition_patients_and_stratify(size, folds, seed):
    targets = cohort(*size)
    splits = full_data_splits(targets, folds, 1, 0.2, seed)
    tested = [patient for split in splits for patient in split.patients("test")]
    assert sorted(tested) == sorted(targets)
    events = []
    for split in splits:
        check_split(split, targets)
        assert sorted(split.parts) == sorted(targets)
        events.append(sum(targets[patient] for patient in split.patients("test")))
        rest = [targets[p] for part in ("train", "val") for p in split.patients(part)]
        assert split.prevalence == pytest.approx(sum(rest) / len(rest))
    assert max(events) - min(events) <= 1


@settings(max_examples=30)
@given(sizes, st.integers(0, 10**6))
def test_few_shot_draws_are_nested_balanced_and_leave_the_test_fold_alone(size, seed):
    targets = cohort(*size)
    splits = few_shot_splits(targets, (1, 2, 4), 6, 5, seed)
    division = make_folds(targets, 5, seed)
    by_name = {split.name: split for split in splits}
    for split in splits:
        train = split.patients("train")
        assert sum(targets[patient] for patient in train) == split.shots
        assert len(train) == 2 * split.shots
        assert split.patients("test") == sorted(division[split.episode % 5].test)
        assert not split.patients("val")
    for episode in range(6):
        one, two, four = (
            set(by_name[f"few_shot-shots{k}-episode{episode}"].patients("train")) for k in (1, 2, 4)
        )
        assert one < two < four
    # Episodes of the same fold are different draws, not the same one again.
    again = {tuple(by_name[f"few_shot-shots4-episode{e}"].patients("train")) for e in (0, 5)}
    assert len(again) == 2


def test_the_usual_shots_and_episodes():
    assert FewShotSpec().shots == (1, 2, 4, 8, 16, 32)
    assert FewShotSpec().episodes == 20


def test_too_many_shots_are_infeasible_never_filled_up():
    splits = few_shot_splits(cohort(60, 10), (4, 9), 3, 5, 0)
    infeasible = [split for split in splits if split.infeasible]
    assert {split.shots for split in infeasible} == {9}
    assert all(not split.parts for split in infeasible)
    assert "the smaller class has 8" in infeasible[0].infeasible


def test_splits_do_not_depend_on_the_order_of_patients():
    targets = cohort(50, 12)
    turned = dict(reversed(targets.items()))
    first = [split.identity() for split in full_data_splits(targets, 5, 2, 0.2, 0)]
    assert first == [split.identity() for split in full_data_splits(turned, 5, 2, 0.2, 0)]
    assert len(set(first)) == 10
    assert first != [split.identity() for split in full_data_splits(targets, 5, 2, 0.2, 1)]


def test_too_few_events_for_the_folds_is_a_sentence():
    with pytest.raises(UserError, match="the smaller class has 3: use fewer folds"):
        make_folds(cohort(40, 3), 5, 0)


def test_written_splits_read_back_the_same(tmp_path):
    split = full_data_splits(cohort(30, 10), 3, 1, 0.2, 0)[0]
    path = write_split(split, tmp_path, "demo/icu")
    assert path.name == "demo-icu-full_data-repeat0-fold0.csv"
    assert read_split(path) == split.parts


def test_a_patient_in_two_parts_is_found_when_a_split_is_read(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("patient_id,part\na,train\nb,test\na,test\n")
    with pytest.raises(UserError, match="patient a stands in it twice"):
        read_split(path)
    path.write_text("patient_id,part\na,tset\n")
    with pytest.raises(UserError, match="unknown part 'tset'"):
        read_split(path)


def test_a_part_without_one_class_is_refused():
    parts = {"a": "train", "b": "train", "c": "test", "d": "test"}
    split = Split("s", "full_data", parts, fold=0, prevalence=0.5)
    check_split(split, {"a": 0, "b": 1, "c": 0, "d": 1})
    with pytest.raises(UserError, match="test part of the split s has 0 events among 2"):
        check_split(split, {"a": 0, "b": 1, "c": 0, "d": 0})


def test_a_split_is_written_into_its_folder_whatever_the_cohort_is_called(tmp_path):
    (split, *_) = full_data_splits(cohort(40, 12), 2, 1, 0.2, 0)
    for name in ("../../evil", "/etc/evil", "a\0b", "x" * 1000):
        path = write_split(split, tmp_path / "splits", f"{name}/icu")
        assert path.resolve().parent == (tmp_path / "splits").resolve()
        assert read_split(path) == split.parts
