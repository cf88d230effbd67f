import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cohort import cohort_of
from prognobench.cohorts.task import POLICIES, select_task
from prognobench.errors import UserError

ROWS = [
    {"patient_id": "a", "acquired": 0, "icu": 1, "icu_day": 2},
    {"patient_id": "a", "acquired": 2, "icu": 1, "icu_day": 2},
    {"patient_id": "a", "acquired": 3, "icu": 1, "icu_day": 2},
    {"patient_id": "b", "acquired": 1, "icu": 1, "icu_day": 1},
    {"patient_id": "c", "acquired": 5, "icu": 0},
    {"patient_id": "c", "acquired": 4, "icu": 0},
    {"patient_id": "d", "icu": 0},
]


def images(task):
    return task.table["image_id"].tolist()


def rules(task):
    return {drop.rule: (drop.images, drop.patients) for drop in task.cohort.drops}


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("first", ["image00", "image03", "image05", "image06"]),
        ("all_before_outcome", [f"image0{n}" for n in (0, 1, 3, 4, 5, 6)]),
        ("all", [f"image0{n}" for n in range(7)]),
    ],
)
def test_which_images_each_policy_keeps(policy, kept):
    task = select_task(cohort_of(ROWS), "icu", policy)
    assert images(task) == kept
    assert task.patients["patient_id"].tolist() == ["a", "b", "c", "d"]
    assert task.patients["target"].tolist() == [1, 1, 0, 0]
    assert task.name == "small/icu"
    assert "icu_day" not in task.table


def test_the_first_image_is_the_one_closest_to_admission():
    days = {"p": (-400, -1, 2), "q": (-30, 4), "r": (-3, 3), "s": (-5, 1)}
    rows = [
        {"patient_id": patient, "acquired": day, "icu": int(patient in "ps"), "icu_day": 0}
        for patient, own in days.items()
        for day in own
    ]
    task = select_task(cohort_of(rows), "icu")
    # Of p and s the image of day 0 or before it, since their outcome was on day 0.
    taken = dict(zip(task.table["patient_id"], task.table["acquired"], strict=True))
    assert taken == {"p": -1, "q": 4, "r": -3, "s": -5}


def test_ties_go_to_the_first_image_id():
    rows = [*ROWS, {"image_id": "image99", "patient_id": "b", "acquired": 1, "icu": 1}]
    assert "image03" in images(select_task(cohort_of(rows), "icu"))


def test_a_patient_all_of_whose_images_are_late_leaves():
    rows = [*ROWS, {"patient_id": "e", "acquired": 9, "icu": 1, "icu_day": 8}]
    assert rules(select_task(cohort_of(rows), "icu"))["after_outcome"] == (2, 1)


def test_labels_belong_to_the_patient():
    rows = [*ROWS, {"patient_id": "d", "acquired": -1}, {"patient_id": "e"}]
    task = select_task(cohort_of(rows), "icu")
    assert "image07" in images(task)
    assert rules(task)["missing_label"] == (1, 1)


def test_contradictory_labels_leave_with_all_their_images():
    rows = [*ROWS, {"patient_id": "e", "icu": 1}, {"patient_id": "e", "icu": 0}]
    task = select_task(cohort_of(rows), "icu", "all")
    assert rules(task)["contradictory_labels"] == (2, 1)
    assert "e" not in task.table["patient_id"].tolist()


def test_events_of_unknown_time_leave_but_others_stay():
    rows = [
        *ROWS,
        {"patient_id": "e", "acquired": 1, "icu": 1},
        {"patient_id": "f", "icu": 1, "icu_day": 3},
    ]
    assert rules(select_task(cohort_of(rows), "icu"))["unknown_timing"] == (2, 2)
    assert "unknown_timing" not in rules(select_task(cohort_of(rows), "icu", "all"))


def test_without_any_dates_nothing_is_dropped_and_the_reader_is_told():
    rows = [{"patient_id": row["patient_id"], "icu": row["icu"]} for row in ROWS]
    task = select_task(cohort_of(rows), "icu", "all_before_outcome")
    assert len(task.table) == len(rows)
    assert len(task.warnings) == 1
    assert "could not be left out" in task.warnings[0]
    assert "several images" in select_task(cohort_of(rows), "icu").warnings[1]


def test_conflicting_days_count_as_the_earliest():
    rows = [*ROWS, {"patient_id": "b", "acquired": 2, "icu": 1, "icu_day": 5}]
    assert "image07" not in images(select_task(cohort_of(rows), "icu", "all_before_outcome"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 1, 1], "3 patients with the event and 0 without"),
        ([0, 0, 1], "1 patients with the event and 2 without"),
        ([None, None], "0 patients with the event and 0 without"),
    ],
)
def test_a_class_that_is_too_small_gets_a_sentence(labels, words):
    with pytest.raises(UserError, match=words):
        select_task(cohort_of([{"icu": label} for label in labels]), "icu")


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match="no endpoint 'icuu': did you mean 'icu'"):
        select_task(cohort_of(ROWS), "icuu")
    with pytest.raises(UserError, match="did you mean 'first'"):
        select_task(cohort_of(ROWS), "icu", "frist")


DAYS = st.none() | st.integers(-2, 4)
ROW = st.fixed_dictionaries(
    {
        "patient_id": st.sampled_from("abcdef"),
        "acquired": DAYS,
        "icu": st.sampled_from([None, 0, 1]),
        "icu_day": DAYS,
    }
)


@settings(max_examples=60)
@given(st.lists(ROW, max_size=12), st.sampled_from(POLICIES))
def test_the_flow_adds_up_and_no_known_late_image_stays(rows, policy):
    # Two patients of each class beside them, so that there always is a task.
    rows = rows + [
        {"patient_id": f"sure{n}", "acquired": 0, "icu": n % 2, "icu_day": 1} for n in range(4)
    ]
    task = select_task(cohort_of(rows), "icu", policy)
    start, *drops, end = task.flow()
    assert start.images - sum(step.images for step in drops) == end.images == len(task.table)
    assert start.patients - sum(step.patients for step in drops) == end.patients
    assert end.events == task.patients["target"].sum()
    kept = task.cohort.table
    if policy != "all":
        events = kept["patient_id"].isin(task.patients.query("target == 1")["patient_id"])
        assert not (events & (kept["acquired"] > kept["icu_day"])).any()
    if policy == "first":
        assert kept["patient_id"].is_unique


def test_the_identity_follows_what_can_change_a_result_and_nothing_else():
    digests = {f"image{n:02}": str(n) for n in range(7)}

    def identity(rows, policy="all", digests=digests, **changes):
        return select_task(cohort_of(rows, **changes), "icu", policy).identity(digests)

    before = identity(ROWS)
    moved = [{**row, "path": f"moved/{n}.png", "age": 5} for n, row in enumerate(ROWS)]
    assert identity(moved) == before
    assert identity([{**row, "site": "small"} for row in ROWS], name="other") == before
    assert identity(ROWS, "first") != before
    assert identity(ROWS, digests={**digests, "image00": "x"}) != before
    assert identity([{**row, "site": "x"} for row in ROWS]) != before
    flipped = [{**row, "icu": 1 - row["icu"]} for row in ROWS]
    assert identity(flipped) != before
