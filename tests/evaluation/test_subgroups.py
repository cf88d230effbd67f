import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import cross_validated
from sklearn import metrics as sk

from prognobench.evaluation.operating_curves import Examined
from prognobench.evaluation.pareto import pareto_front
from prognobench.evaluation.patients import patient_predictions
from prognobench.evaluation.subgroups import patient_groups, subgroup_values


@pytest.fixture(scope="module")
def folds():
    _, stored = cross_validated(np.random.default_rng(4), {"lora": 1.5}, patients=200, images=1)
    return list(stored.values())


def examined(tables):
    return [
        Examined((0, 0), own := patient_predictions(table), np.ones((3, len(own.target))))
        for table in tables
    ]


def test_values_are_those_of_the_groups_patients_alone(folds):
    names = pd.concat(folds)["patient_id"].unique()
    groups = pd.DataFrame({"sex": ["F" if int(name) % 3 else "M" for name in names]}, index=names)
    found = subgroup_values(examined(folds), [{"fixed": 0.5}] * 5, groups, 0.95)
    women = pd.concat(
        [table[table["patient_id"].map(groups["sex"]) == "F"].assign(fold=place)
         for place, table in enumerate(folds)]
    )  # fmt: skip
    rows = found[found["group"] == "F"].set_index("metric")
    called = women["probability"] >= 0.5
    assert rows.loc["mcc", "n_patients"] == len(women)
    assert rows.loc["mcc", "n_events"] == women["target"].sum()
    assert rows.loc["mcc", "value"] == pytest.approx(sk.matthews_corrcoef(women["target"], called))
    assert rows.loc["sensitivity", "value"] == pytest.approx(
        sk.recall_score(women["target"], called)
    )
    assert rows.loc["specificity", "value"] == pytest.approx(
        sk.recall_score(1 - women["target"], ~called)
    )
    assert rows.loc["observed_to_expected", "value"] == pytest.approx(
        women["target"].sum() / women["probability"].sum()
    )
    won = pairs = 0.0
    for _, fold in women.groupby("fold"):
        events = fold.loc[fold["target"] == 1, "probability"]
        others = fold.loc[fold["target"] == 0, "probability"]
        for event, other in itertools.product(events, others):
            won += (event > other) + 0.5 * (event == other)
            pairs += 1
    assert rows.loc["auroc", "value"] == pytest.approx(won / pairs)


def test_small_groups_have_neither_numbers_nor_their_small_count(folds):
    names = pd.concat(folds)["patient_id"].unique()
    target = pd.concat(folds).drop_duplicates("patient_id").set_index("patient_id")["target"]
    events = [name for name in names if target[name] == 1]
    others = [name for name in names if target[name] == 0]
    few, enough = {*events[:9], *others[:40]}, {*events[20:30], *others[60:70]}
    groups = pd.DataFrame(
        {"site": ["few" if n in few else "enough" if n in enough else "rest" for n in names]},
        index=names,
    )
    found = subgroup_values(examined(folds), [{"fixed": 0.5}] * 5, groups, 0.95)
    own = found[found["group"] == "few"]
    assert own["value"].isna().all() and own["n_events"].isna().all()
    assert set(own["reason"]) == {"fewer than 10 patients with the event"}
    assert set(own["n_patients"]) == {49}
    assert found.loc[found["group"] == "enough", "value"].notna().all()
    # And the other way round: almost everybody with the event.
    groups["site"] = ["few" if n in {*events, *others[:9]} else "rest" for n in names]
    found = subgroup_values(examined(folds), [{"fixed": 0.5}] * 5, groups, 0.95)
    assert set(found.loc[found["group"] == "few", "reason"]) == {
        "fewer than 10 patients without the event"
    }


def test_patients_are_grouped_by_their_first_tested_image():
    images = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d"],
            "patient_id": ["1", "1", "2", "3"],
            "acquired": [5.0, 1.0, 0.0, np.nan],
            "site": ["X", "Y", "unknown", None],
            "view": ["AP", "PA", "AP", "AP"],
            "sex": ["F", "F", "F", "F"],
            "age": [39.9, 39.9, 40, "old"],
        }
    )
    found = patient_groups(images, ["a", "b", "c", "d"])
    assert found.to_dict("index") == {
        "1": {"site": "Y", "age": "0 to 39", "view": "PA"},
        "2": {"site": "not known", "age": "40 to 59", "view": "AP"},
        "3": {"site": "not known", "age": "not known", "view": "AP"},
    }
    many = pd.DataFrame(
        {
            "image_id": [str(place) for place in range(60)],
            "patient_id": [str(place) for place in range(60)],
            "acquired": 0.0,
            "site": [f"site {min(place % 20, 19)}" for place in range(60)],
            "view": "AP",
        }
    )
    assert patient_groups(many, list(many["image_id"]))["site"].nunique() == 12


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_nobody_dominates(points):
    costs, values = zip(*points, strict=True)
    expected = [
        not any((c <= cost and v >= value) and (c < cost or v > value) for c, v in points)
        for cost, value in points
    ]
    assert pareto_front(costs, values).tolist() == expected
    mirrored = pareto_front(costs, [-value for value in values], higher_is_better=False)
    assert mirrored.tolist() == expected
