"""Learning curves, imbalance and sites: only training is thinned, and draws are nested."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prognobench.errors import UserError
from prognobench.regimes import (
    FewShotSpec,
    FixedSplitSpec,
    FullDataSpec,
    LeaveOneSiteOutSpec,
    make_splits,
    site_note,
)
from prognobench.splits.cross_validation import full_data_splits, make_folds
from prognobench.splits.few_shot import few_shot_splits
from prognobench.splits.sites import leave_one_site_out_splits, patients_of_several_sites
from prognobench.splits.split import check_split
from prognobench.splits.subsample import imbalance_splits, train_size_splits


def cohort(patients, events):
    return {f"p{number:04d}": int(number < events) for number in range(patients)}


def rate(split, targets, part):
    members = split.patients(part)
    return sum(targets[patient] for patient in members) / len(members)


@settings(max_examples=20)
@given(st.integers(80, 200), st.integers(20, 40), st.integers(0, 10**6))
def test_smaller_training_parts_are_nested_and_keep_the_balance(patients, events, seed):
    targets = cohort(patients, events)
    base = full_data_splits(targets, 4, 1, 0.25, seed)
    fractions = (0.5, 0.75, 1.0)
    made = train_size_splits(base, targets, fractions, seed)
    assert [split.level for split in made] == list(fractions) * 4
    for place, whole in enumerate(base):
        half, most, full = made[3 * place : 3 * place + 3]
        assert full.parts == whole.parts
        for part in ("train", "val"):
            assert set(half.patients(part)) < set(most.patients(part)) < set(whole.patients(part))
            assert len(half.patients(part)) == pytest.approx(len(whole.patients(part)) / 2, abs=1)
            expected = rate(whole, targets, part) * len(half.patients(part))
            assert sum(targets[p] for p in half.patients(part)) == pytest.approx(expected, abs=1)
        for split in (half, most, full):
            assert split.patients("test") == whole.patients("test")
            check_split(split, targets)
    assert len({split.name for split in made}) == len(made)


@settings(max_examples=20)
@given(st.integers(200, 300), st.integers(50, 90), st.integers(0, 10**6))
def test_event_rates_differ_at_a_fixed_number_of_patients_or_events(patients, events, seed):
    targets = cohort(patients, events)
    base = full_data_splits(targets, 3, 1, 0.3, seed)
    rates = (0.5, 0.25, 0.1)
    for fixed in ("patients", "events"):
        made = imbalance_splits(base, targets, rates, fixed, seed)
        for place, whole in enumerate(base):
            own = made[3 * place : 3 * place + 3]
            for part in ("train", "val"):
                sizes = [len(split.patients(part)) for split in own]
                events_kept = [sum(targets[p] for p in split.patients(part)) for split in own]
                assert len(set(sizes if fixed == "patients" else events_kept)) == 1
                for wanted, size, kept in zip(rates, sizes, events_kept, strict=True):
                    # One patient more or less is what rounding may cost.
                    assert abs(kept - wanted * size) <= 1
                kept_events = [{p for p in split.patients(part) if targets[p]} for split in own]
                assert kept_events[2] <= kept_events[1] <= kept_events[0]
            for split in own:
                assert split.patients("test") == whole.patients("test")
                assert set(split.parts) <= set(whole.parts)
                check_split(split, targets)


def test_a_level_that_leaves_too_few_patients_is_infeasible_with_its_reason():
    targets = cohort(60, 12)
    base = full_data_splits(targets, 3, 1, 0.3, 0)
    (smallest, *_), *_ = [train_size_splits(base, targets, (0.05,), 0)]
    assert not smallest.parts
    assert "at least 2 are needed" in smallest.infeasible
    rare = imbalance_splits(base, targets, (0.02,), "patients", 0)
    assert all(split.infeasible and "with the event" in split.infeasible for split in rare)


def test_a_share_is_trained_on_in_every_fold_or_in_none():
    targets = cohort(67, 16)
    base = full_data_splits(targets, 5, 1, 0.2, 0)
    events = [sum(targets[p] for p in split.patients("val")) for split in base]
    assert set(events) == {2, 3}  # so that seven tenths are two events in some folds alone
    made = train_size_splits(base, targets, (0.7, 1.0), 0)
    reasons = {split.level: set() for split in made}
    for split in made:
        reasons[split.level].add(split.infeasible)
    (reason,) = reasons[0.7]
    assert "the val part would have 1 patients with the event" in reason
    assert reasons[1.0] == {None}


@pytest.mark.parametrize("fixed", ["patients", "events"])
def test_a_rate_that_cannot_be_does_not_make_the_others_small(fixed):
    targets = cohort(67, 29)
    base = full_data_splits(targets, 5, 1, 0.2, 0)
    rates = (0.5, 0.25, 0.1, 0.05)
    made = imbalance_splits(base, targets, rates, fixed, 0)
    cannot = {split.level for split in made if split.infeasible}
    # A rate can be made on every fold or on none, so that folds never go missing from a cell.
    assert sum(split.infeasible is not None for split in made) == 5 * len(cannot)
    assert 0.05 in cannot and {0.5} <= set(rates) - cannot
    assert all("at least 2 are needed" in split.infeasible for split in made if split.infeasible)
    possible = tuple(rate for rate in rates if rate not in cannot)
    alone = imbalance_splits(base, targets, possible, fixed, 0)
    assert [split.parts for split in made if not split.infeasible] == [s.parts for s in alone]
    assert not any(split.infeasible for split in alone)


def test_each_site_is_tested_once_by_models_that_never_saw_it():
    targets = cohort(90, 30)
    sites = {patient: "ABC"[number % 3] for number, patient in enumerate(targets)}
    splits = leave_one_site_out_splits(targets, sites, 0.2, 0)
    assert [split.held_out for split in splits] == ["A", "B", "C"]
    for split in splits:
        check_split(split, targets)
        assert {sites[patient] for patient in split.patients("test")} == {split.held_out}
        seen = split.patients("train") + split.patients("val")
        assert split.held_out not in {sites[patient] for patient in seen}
        assert sorted(split.parts) == sorted(targets)
    again = leave_one_site_out_splits(dict(reversed(targets.items())), sites, 0.2, 0)
    assert [split.parts for split in again] == [split.parts for split in splits]


def test_a_site_of_one_class_is_tested_and_a_missing_site_is_refused():
    targets = cohort(90, 30)
    sites = {p: ("rare" if n >= 80 else "AB"[n % 2]) for n, p in enumerate(targets)}
    splits = leave_one_site_out_splits(targets, sites, 0.2, 0)
    assert [split.held_out for split in splits] == ["A", "B", "rare"]
    for split in splits:
        check_split(split, targets)
    with pytest.raises(UserError, match="have no site"):
        leave_one_site_out_splits(targets, {**sites, "p0001": ""}, 0.2, 0)
    with pytest.raises(UserError, match="at least 2"):
        leave_one_site_out_splits(targets, dict.fromkeys(targets, "A"), 0.2, 0)


def test_few_shots_of_one_site_are_nested_and_never_mix_sites():
    targets = {p: number % 2 for number, p in enumerate(cohort(120, 40))}
    sites = {p: ("A", "B", "tiny")[min(number // 50, 2)] for number, p in enumerate(targets)}
    splits = few_shot_splits(targets, (2, 8, 30), 6, 3, 0, sites)
    used = set()
    for split in splits:
        if split.shots == 30:
            assert "30 patients of one site of each class" in split.infeasible
            continue
        train = split.patients("train")
        assert len(train) == 2 * split.shots
        (site,) = {sites[patient] for patient in train}
        used.add(site)
        assert {sites[patient] for patient in split.patients("test")} >= {"A", "B"}
    assert used == {"A", "B"}
    by_name = {split.name: set(split.patients("train")) for split in splits}
    for episode in range(6):
        small, large = (by_name[f"few_shot_one_site-shots{k}-episode{episode}"] for k in (2, 8))
        assert small < large
    with pytest.raises(UserError, match="not every patient has a site"):
        few_shot_splits(targets, (2,), 2, 3, 0, {})


def imaged(seed, patients=160):
    """Return targets, and images of which every fifth patient has some from another site."""
    targets = {p: int(number // 3 % 3 == 0) for number, p in enumerate(cohort(patients, 0))}
    rows = []
    for number, patient in enumerate(targets):
        rows.append((patient, "ABC"[(number + seed) % 3]))
        if number % 5 == 0:
            rows.append((patient, ("A", "B", "C", "unknown")[(number // 5 + seed) % 4]))
    return targets, pd.DataFrame(rows, columns=["patient_id", "site"])


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_no_image_of_a_site_is_on_both_sides_where_sites_are_divided(seed):
    targets, images = imaged(seed)
    first = images.drop_duplicates("patient_id").set_index("patient_id")["site"].to_dict()
    several = patients_of_several_sites(images)
    asked = FixedSplitSpec(column="site", train=("A", "B"), test=("C",)), LeaveOneSiteOutSpec()
    for regime in asked:
        for split in make_splits(regime, targets, {"site": first}, several_sites=several):
            check_split(split, targets)
            part = images["patient_id"].map(split.parts)
            tested = set(images.loc[part == "test", "site"])
            seen = set(images.loc[part.isin(["train", "val"]), "site"])
            assert not tested & seen and "unknown" not in tested | seen
            # Nobody else is left out.
            assert set(split.parts) == set(targets) - several
    shots = FewShotSpec(one_site=True, shots=(1, 4), episodes=6, folds=3)
    division = make_folds(targets, 3, 0)
    for split in make_splits(shots, targets, {"site": first}, several_sites=several):
        train = images["patient_id"].isin(split.patients("train"))
        assert len(set(images.loc[train, "site"])) == 1
        assert split.patients("test") == sorted(division[split.fold].test)


def test_patients_of_several_sites_are_told_of_and_a_site_without_others_is_refused():
    targets, images = imaged(0)
    several = patients_of_several_sites(images)
    asked = [FullDataSpec(), LeaveOneSiteOutSpec(), FewShotSpec(one_site=True), FewShotSpec()]
    note = site_note(asked, several)
    assert note.startswith(f"{len(several)} patients have images from several sites")
    assert note.endswith(
        "leave_one_site_out leaves them out, few_shot_one_site does not train on them"
    )
    assert "1 patient has" in site_note([FixedSplitSpec(column="site")], {"p"})
    assert site_note(asked, ()) is None
    assert site_note([FullDataSpec(), FixedSplitSpec(), FewShotSpec()], several) is None
    first = images.drop_duplicates("patient_id").set_index("patient_id")["site"].to_dict()
    of_c = {patient for patient, site in first.items() if site == "C"}
    _, *events = [patient for patient in targets if targets[patient] and patient not in of_c]
    with pytest.raises(UserError, match="'C' has no patient without images from other sites"):
        leave_one_site_out_splits(targets, first, 0.2, 0, of_c)
    with pytest.raises(UserError, match="cannot hold both classes"):
        leave_one_site_out_splits(targets, first, 0.2, 0, events)
    with pytest.raises(UserError, match="every patient has images from several sites"):
        few_shot_splits(targets, (1,), 2, 3, 0, first, set(targets))
    fixed = FixedSplitSpec(column="site", train=("A", "B"), test=("C",))
    (split,) = make_splits(fixed, targets, {"site": first}, several_sites=of_c)
    with pytest.raises(UserError, match="0 patients, both classes are needed"):
        check_split(split, targets)


@settings(max_examples=25)
@given(st.integers(1, 7), st.integers(2, 6), st.integers(1, 40), st.integers(0, 10**6))
def test_on_each_fold_the_sites_take_turns(count, folds, episodes, seed):
    targets = {p: number // count % 2 for number, p in enumerate(cohort(count * 30, 0))}
    sites = {p: f"site{number % count}" for number, p in enumerate(targets)}
    trained: dict[int, list[str]] = {fold: [] for fold in range(folds)}
    for split in few_shot_splits(targets, (1,), episodes, folds, seed, sites):
        (site,) = {sites[patient] for patient in split.patients("train")}
        trained[split.fold].append(site)
    for turn in trained.values():
        # Nobody's turn comes again before everybody had one, however many episodes there are.
        for begin in range(0, len(turn), count):
            assert max(Counter(turn[begin : begin + count]).values()) == 1
    firsts = [turn[0] for turn in trained.values() if turn]
    assert len(set(firsts)) == min(len(firsts), count)


def test_folds_can_be_stratified_by_site_as_well():
    targets = cohort(150, 50)
    sites = {p: "ABCDE"[number % 5] for number, p in enumerate(targets)}
    sites["p0000"] = "only one patient"
    by_site = full_data_splits(targets, 5, 1, 0.2, 3, sites)

    def spread(splits):
        counts = [
            sum(sites[p] == "A" and targets[p] for p in split.patients("test")) for split in splits
        ]
        return max(counts) - min(counts)

    assert spread(by_site) <= 1
    # Without it, some division puts a site's events together.
    assert any(spread(full_data_splits(targets, 5, 1, 0.2, seed)) > 1 for seed in range(5))
    tested = [patient for split in by_site for patient in split.patients("test")]
    assert sorted(tested) == sorted(targets)
