"""What controls see, and what they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from prognobench.execution.control_features import (
    BORDER_CELLS,
    control_features,
    missing_controls,
    permuted,
    solve_control,
)
from prognobench.execution.task_images import TaskImages
from prognobench.training.job import Job
from prognobench.training.recipe import Recipe

N = 60


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    about = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(N)],
            "patient_id": [f"p{i // 2}" for i in range(N)],
            "path": "x.png",
            "site": np.where(np.arange(N) < 30, "a", "b"),
            "view": pd.Series(["pa", "ap", None] * 20, dtype="string"),
            "acquired": np.nan,
            "target": (np.arange(N) // 2) % 2,
            "age": np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N) + 20.0),
            "sex": ["f", "m"] * 30,
            "note": [f"free text {i}" for i in range(N)],
            "smoker": pd.array([1, 0, pd.NA] * 20, dtype="Int64"),
        }
    )
    return TaskImages(
        image_ids=tuple(about["image_id"]),
        patient_ids=tuple(about["patient_id"]),
        targets=about["target"].to_numpy(),
        pixels=random.integers(0, 256, (N, 32, 32), dtype=np.uint8),
        key="k",
        about=about,
    )


@pytest.fixture
def job(images):
    rows = np.arange(N)
    return Job(
        run="r",
        images=torch.zeros(N, 1, 2, 2, dtype=torch.uint8),
        targets=images.targets,
        patients=rows // 2,
        rows={"train": rows[:36], "val": rows[36:48], "test": rows[48:]},
        prevalence=0.5,
    )


def test_columns_are_those_of_the_control_and_free_text_is_left_out(images, job):
    # view: ap, pa and unknown; site: a alone is in train, and b is unseen.
    assert control_features("view_and_site", images, job).shape == (N, 5)
    # age with its indicator; f and m.
    assert control_features("age_and_sex", images, job).shape == (N, 4)
    # smoker with its indicator besides; the note is a name, not a category.
    assert control_features("clinical", images, job).shape == (N, 6)
    assert control_features("prevalence", images, job).tolist() == [[0.0]] * N
    with pytest.raises(ValueError, match="nothing for the control"):
        control_features("no_such_control", images, job)


def test_medians_and_categories_are_of_the_training_part_alone(images, job):
    before = {name: control_features(name, images, job) for name in ("age_and_sex", "clinical")}
    images.about.loc[48:, ["age", "smoker"]] = [500.0, 7]
    for name, own in before.items():
        after = control_features(name, images, job)
        assert np.array_equal(own[:48], after[:48])
        assert not np.array_equal(own[48:], after[48:])


def test_the_border_does_not_see_the_middle_and_statistics_see_the_padding(images, job):
    before = control_features("border", images, job)
    assert before.shape == (N, 4 * BORDER_CELLS)
    images.pixels[:, 2:-2, 2:-2] = 255 - images.pixels[:, 2:-2, 2:-2]
    assert np.array_equal(before, control_features("border", images, job))
    images.pixels[0, 0, 0] ^= 255
    assert not np.array_equal(before[0], control_features("border", images, job)[0])
    images.pixels[1, :, :8] = 0
    images.pixels[1, :, -8:] = 0
    found = control_features("image_statistics", images, job)
    assert found[1, 2:4].tolist() == [1.0, 0.5]
    assert found[2, 0] == pytest.approx(images.pixels[2].mean())
    assert found[2, 1] == pytest.approx(images.pixels[2].std(), rel=1e-5)


def test_a_control_is_the_logistic_regression_of_scikit_learn(images, job):
    features = control_features("clinical", images, job)
    few = Job(**{**vars(job), "rows": {**job.rows, "val": job.rows["val"][:0]}})
    trained = solve_control(few, features, Recipe(imbalance="class_weights", loss="focal"))
    train = job.rows["train"]
    scaled = StandardScaler().fit(features[train]).transform(features.astype(float))
    oracle = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-8, max_iter=5000)
    oracle.fit(scaled[train], images.targets[train])
    assert np.allclose(trained.logits, oracle.decision_function(scaled), atol=1e-4)


def test_prevalence_gives_everybody_the_share_of_the_training_part(images, job):
    few = Job(**{**vars(job), "rows": {**job.rows, "train": job.rows["train"][:10]}})
    features = control_features("prevalence", images, job)
    trained = solve_control(few, features, Recipe(imbalance="none"))
    share = images.targets[:10].mean()
    assert np.allclose(1 / (1 + np.exp(-trained.logits)), share, atol=1e-4)


def test_outcomes_are_permuted_within_parts_and_by_patient(job):
    other = permuted(job)
    assert np.array_equal(other.targets[job.rows["test"]], job.targets[job.rows["test"]])
    for part in ("train", "val"):
        rows = job.rows[part]
        assert other.targets[rows].sum() == job.targets[rows].sum()
    by_patient = pd.Series(other.targets).groupby(job.patients).nunique()
    assert (by_patient == 1).all()
    assert not np.array_equal(other.targets, job.targets)
    assert np.array_equal(permuted(job).targets, other.targets)
    again = permuted(Job(**{**vars(job), "run": "another"}))
    assert not np.array_equal(again.targets, other.targets)


def test_what_a_cohort_lacks_is_said(images):
    plain = images.about[["image_id", "patient_id", "path", "site", "view", "acquired", "target"]]
    assert set(missing_controls(plain)) == {"age_and_sex", "clinical"}
    same = plain.assign(site="a", view="pa")
    reasons = missing_controls(same)
    assert "no view or site that differs" in reasons["view_and_site"]
    assert missing_controls(images.about) == {}
