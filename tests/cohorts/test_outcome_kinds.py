"""Scores as endpoints: how they are declared, read, kept, cut into bands and made a task of."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.combine import combine
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import read_manifest, write_manifest
from prognobench.cohorts.outcome_kinds import SMALLEST_BAND, strata
from prognobench.cohorts.sources.synthetic import cohort_rows, severity_score
from prognobench.cohorts.task import select_task
from prognobench.demo.patients import draw_patient
from prognobench.errors import UserError
from prognobench.plan import PlannedTask, make_splits
from prognobench.regimes import (
    FewShotSpec,
    FullDataSpec,
    ImbalanceSpec,
    LeaveOneSiteOutSpec,
    TrainSizeSpec,
)
from prognobench.splits.split import check_split


@settings(max_examples=200)
@given(st.lists(st.integers(0, 18), min_size=2, max_size=120).filter(lambda own: len(set(own)) > 1))
def test_bands_are_in_the_order_of_scores_and_not_too_small(scores):
    targets = {f"p{n}": score for n, score in enumerate(scores)}
    bands = strata("ordinal", targets)
    counts = Counter(bands.values())
    assert sorted(counts) == list(range(len(counts)))
    assert 2 <= len(counts) <= 4
    ordered = [bands[name] for name in sorted(targets, key=targets.get)]
    assert ordered == sorted(ordered)
    assert len(counts) == 2 or min(counts.values()) >= SMALLEST_BAND
    for name, other in zip(targets, list(targets)[1:], strict=False):
        assert targets[name] != targets[other] or bands[name] == bands[other]


@pytest.fixture
def table(tmp_path):
    rows = []
    for number in range(30):
        for image in range(1 + number % 2):
            name = f"{number}-{image}.png"
            Image.new("L", (8, 8), number).save(tmp_path / name)
            rows.append((f"p{number}", name, image, (number + image) % 19, 40 + number, number))
    columns = ["patient_id", "path", "acquired", "edema", "age", "edema_left"]
    made = pd.DataFrame(rows, columns=columns)
    made.loc[5, "edema"] = float("nan")
    made.to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


def read(table, **options):
    return load_cohort({"source": "csv", "table": str(table), "scores": {"edema": 18}, **options})


def test_a_table_declares_scores_which_are_no_predictors(table, tmp_path):
    cohort = read(table)
    assert dict(cohort.endpoints) == {}
    assert cohort.others["edema"].highest == 18
    assert clinical_columns(cohort) == ["age"]
    write_manifest(cohort, tmp_path / "manifest.csv")
    again = read_manifest(tmp_path / "manifest.csv")
    assert again.others == cohort.others
    pd.testing.assert_frame_equal(again.table, cohort.table)
    both = combine("both", [cohort, replace(cohort, name="second")])
    assert both.others == cohort.others
    assert clinical_columns(both) == ["age", "dataset"]


def test_a_task_of_scores_has_that_of_the_image(table):
    cohort = read(table)
    task = select_task(cohort, "edema")
    first = cohort.table[cohort.table["edema"].notna()].sort_values(["acquired", "image_id"])
    expected = first.drop_duplicates("patient_id").set_index("patient_id")["edema"]
    own = task.table.set_index("patient_id")["target"]
    assert own.to_dict() == expected.astype(int).to_dict()
    assert task.flow()[-1].events is None
    every = select_task(cohort, "edema", "all")
    drops = {drop.rule: drop.patients for drop in every.cohort.drops}
    assert drops["contradictory_labels"] >= 14  # those with two images
    digests = dict.fromkeys(cohort.table["image_id"], "same")
    higher = replace(task.outcome, highest=20)
    assert task.identity(digests) != replace(task, outcome=higher).identity(digests)


@pytest.mark.parametrize("wrong", ["19", "2.5", "-1", "much"])
def test_what_is_no_level_is_named(table, wrong):
    text = table.read_text().splitlines()
    cells = text[3].split(",")
    cells[3] = wrong
    table.write_text("\n".join([*text[:3], ",".join(cells), *text[4:]]) + "\n")
    with pytest.raises(UserError, match=r"edema.*" + wrong):
        read(table)


def test_too_few_different_scores_are_refused(table):
    cohort = read(table)
    flat = cohort.table.assign(edema=cohort.table["edema"].where(cohort.table["edema"].isna(), 3))
    with pytest.raises(UserError, match="1 different scores"):
        select_task(replace(cohort, table=flat), "edema")


def test_the_synthetic_score_is_that_of_the_image():
    patients = [draw_patient(0, number) for number in range(60)]
    rows = cohort_rows(patients)
    scores = [severity_score(visit.findings) for own in patients for visit in own.visits]
    extents = [visit.findings.extent for own in patients for visit in own.visits]
    assert rows["severity_score"].tolist() == scores
    assert set(scores) <= set(range(19))
    assert pd.Series(scores).corr(pd.Series(extents)) > 0.97


def planned(count=90):
    scores = {f"p{n}": (7 * n) % 19 for n in range(count)}
    sites = {name: f"s{n % 3}" for n, name in enumerate(scores)}
    bands = strata("ordinal", scores)
    return PlannedTask("d", "score", "x", bands, {"site": sites}, kind="ordinal"), scores


@pytest.mark.parametrize(
    "regime",
    [
        FullDataSpec(folds=5, by_site=True),
        LeaveOneSiteOutSpec(),
        TrainSizeSpec(folds=3, fractions=(0.6, 1.0)),
    ],
)
def test_splits_have_all_bands_in_every_part(regime):
    task, scores = planned()
    splits = make_splits([regime], task)
    for split in splits:
        assert split.infeasible is None
        check_split(split, dict(task.targets))
        for part in ("train", "val", "test"):
            assert {task.targets[name] for name in split.patients(part)} == {0, 1, 2, 3}
        if split.level is None:
            means = [
                pd.Series({name: scores[name] for name in split.patients(part)}).mean()
                for part in ("train", "test")
            ]
            assert abs(means[0] - means[1]) < 2


def test_shares_of_events_are_not_varied_where_there_are_none():
    splits = make_splits([ImbalanceSpec()], planned()[0])
    assert len(splits) == len({split.name for split in splits}) == 4
    assert all("a score has no events" in split.infeasible for split in splits)
    assert not any(split.applies for split in splits)


def test_few_shots_of_scores_are_drawn_from_every_band():
    task, _ = planned()
    splits = make_splits([FewShotSpec(shots=(1, 3), episodes=4, folds=2)], task)
    by_name = {(split.episode, split.shots): split for split in splits}
    for (episode, shots), split in by_name.items():
        check_split(split, dict(task.targets))
        drawn_from = Counter(task.targets[name] for name in split.patients("train"))
        assert drawn_from == dict.fromkeys(range(4), shots)
        assert set(split.patients("train")) <= set(by_name[episode, 3].patients("train"))
    (many, *_) = make_splits([FewShotSpec(shots=(30,))], task)
    assert "30 patients of each class" in many.infeasible
    assert many.applies


def test_few_shots_of_times_are_as_many_with_the_event_as_without():
    times = {f"p{n}": float(n + 1) * (1 if n % 3 == 0 else -1) for n in range(60)}
    sites = dict.fromkeys(times, "s")
    own = strata("time_to_event", times)
    task = PlannedTask("d", "death", "x", own, {"site": sites}, kind="time_to_event")
    (split, *_) = make_splits([FewShotSpec(shots=(4,), episodes=1)], task)
    assert Counter(times[name] > 0 for name in split.patients("train")) == {True: 4, False: 4}
    assert split.prevalence == pytest.approx(1 / 3, abs=0.02)


def test_the_brixia_annotations_are_scores(data_folder):
    folders = {"root": str(data_folder / "brixia"), "cohen": str(data_folder / "cohen")}
    cohort = load_cohort({"source": "brixia", **folders})
    task = select_task(cohort, "severity_score")
    assert task.patients["target"].between(0, 18).all()
    assert len(task.patients) > 50
    listed = pd.read_csv(data_folder / "brixia" / "public-annotations.csv", encoding="utf-8-sig")
    listed = listed.set_index("filename")["S-Global"]
    rows = cohort.table.set_index("image_id").loc[task.table["image_id"]]
    stems = rows["path"].str.rsplit("/").str[-1]
    assert task.table["target"].tolist() == listed.loc[stems].tolist()


@pytest.fixture
def timed(tmp_path):
    rows = []
    for number in range(24):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
        died = number % 3 == 0
        rows.append((f"p{number}", f"{number}.png", number % 2, died, 2 + number, 40 + number))
    columns = ["patient_id", "path", "acquired", "death", "death_day", "age"]
    made = pd.DataFrame(rows, columns=columns)
    made.loc[3, "death_day"] = 0  # before the image, which is of day 1
    made.loc[6, "death_day"] = 0  # the image's own day
    made.loc[4, "death_day"] = float("nan")
    made.to_csv(tmp_path / "times.csv", index=False)
    return tmp_path / "times.csv"


def test_times_are_those_from_the_image_and_negative_without_an_event(timed, tmp_path):
    cohort = load_cohort({"source": "csv", "table": str(timed), "times": ["death"]})
    assert cohort.others["death"].kind == "time_to_event"
    assert clinical_columns(cohort) == ["age"]
    write_manifest(cohort, tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv").table, cohort.table)
    task = select_task(cohort, "death")
    drops = {drop.rule: drop.patients for drop in task.cohort.drops}
    assert (drops["unknown_timing"], drops["after_outcome"]) == (1, 1)
    times = task.table.set_index("patient_id")["target"].to_dict()
    assert {"p3", "p4"}.isdisjoint(times)
    assert times["p6"] == 0.5
    assert times["p9"] == 2 + 9 - 1
    assert times["p8"] == -(2 + 8)
    assert task.flow()[-1].events == sum(own > 0 for own in times.values()) == 7
    assert strata("time_to_event", times) == {name: int(own > 0) for name, own in times.items()}


def test_where_rows_disagree_the_event_is_early_and_the_last_sight_is_late(timed):
    table = pd.read_csv(timed)
    again = table.assign(path=table["path"].iloc[0], death_day=table["death_day"] + 5)
    again["image_id"], table["image_id"] = table["path"] + " again", table["path"]
    pd.concat([table, again]).to_csv(timed, index=False)
    cohort = load_cohort({"source": "csv", "table": str(timed), "times": ["death"]})
    task = select_task(cohort, "death")
    times = task.table.set_index("patient_id")["target"].to_dict()
    assert times["p9"] == 2 + 9 - 1
    assert times["p8"] == -(2 + 8 + 5)


def test_dates_say_times_as_well_and_are_needed(timed):
    table = pd.read_csv(timed).drop(columns=["acquired", "death_day"])
    start = pd.Timestamp("2020-03-01")
    table["acquired_date"] = start.date().isoformat()
    days = [start + pd.Timedelta(days=number) for number in range(len(table))]
    table["death_date"] = [day.date().isoformat() for day in days]
    table.to_csv(timed, index=False)
    cohort = load_cohort({"source": "csv", "table": str(timed), "times": ["death"]})
    times = select_task(cohort, "death").table.set_index("patient_id")["target"].to_dict()
    assert (times["p9"], times["p8"], times["p0"]) == (9.0, -8.0, 0.5)
    table.drop(columns="death_date").to_csv(timed, index=False)
    with pytest.raises(UserError, match="does not say when 'death' was: give death_day"):
        load_cohort({"source": "csv", "table": str(timed), "times": ["death"]})


def test_synthetic_follow_ups_end_before_some_deaths():
    rows = cohort_rows([draw_patient(0, number) for number in range(400)])
    own = rows.drop_duplicates("patient_id")
    seen = own["survival"] == 1
    assert (own.loc[seen, "survival_day"] == own.loc[seen, "mortality_day"]).all()
    missed = ~seen & (own["mortality"] == 1)
    assert missed.sum() > 5
    assert (own.loc[missed, "survival_day"] < own.loc[missed, "mortality_day"]).all()
    assert own["survival_day"].between(5, 25).all()
    assert seen.mean() > 0.15


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({"death": 2}, {}, "the column 'death' of .* has '2' where the event is"),
        ({"death_day": "soon"}, {}, "the column 'death_day' of .* has 'soon' where a number"),
        ({"death_day": -3}, {}, "0 whose was not .24 images were taken after the day that is"),
        ({"death": 0}, {}, "0 patients whose event was seen and 22 whose was not .1 images"),
        ({"death": 1}, {}, "whose event was seen and 0 whose was not .1 images"),
        ({"death_day": float("inf")}, {}, "leaves 0 patients whose event was seen"),
        ({}, {"endpoints": ["death"]}, "'death' is named under 'endpoints' and 'times', and is"),
        ({}, {"scores": {"death": 9}}, "'death' is named under 'scores' and 'times', and is"),
        ({}, {"times": "death"}, "the option 'times' of .* should be a list"),
        ({}, {"times": ["deaht"]}, "lacks the column 'deaht': did you mean 'death'"),
    ],
)
def test_wrong_times_are_told_in_a_sentence(timed, changes, options, sentence):
    pd.read_csv(timed).assign(**changes).to_csv(timed, index=False)
    with pytest.raises(UserError, match=sentence) as caught:
        cohort = load_cohort({"source": "csv", "table": str(timed), "times": ["death"], **options})
        select_task(cohort, "death")
    assert "\n" not in str(caught.value)
