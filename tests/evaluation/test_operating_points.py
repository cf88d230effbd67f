"""Thresholds from the validation part: the best there, and blind to the test part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import predictions_table, runs_table
from sklearn.metrics import matthews_corrcoef, recall_score

from prognobench.evaluation.finished import thresholds_of
from prognobench.evaluation.operating_points import choose_thresholds
from prognobench.evaluation.patients import patient_predictions
from prognobench.evaluation.tables import run_metrics

outcomes = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=4, max_size=40)


@settings(max_examples=60)
@given(outcomes)
def test_no_threshold_does_better_on_the_validation_part(pairs):
    target = np.array([int(event) for event, _ in pairs])
    logit = np.array([score / 3 - 1.5 for _, score in pairs])
    stored = predictions_table(range(len(pairs)), target, logit, part="val")
    found = choose_thresholds(0.5, patient_predictions(stored, part="val"))
    if target.min() == target.max():
        assert found == {"fixed": 0.5, "validated": None, "sensitive": None}
        return
    probability = stored["probability"].to_numpy()
    every = [matthews_corrcoef(target, probability >= cut) for cut in probability]
    own = matthews_corrcoef(target, probability >= found["validated"])
    assert own == pytest.approx(max(every), abs=1e-9)
    assert recall_score(target, probability >= found["sensitive"]) >= 0.9
    higher = probability[probability > found["sensitive"]]
    if len(set(higher)) > 1:
        assert recall_score(target, probability > min(higher)) < 0.9


def test_scrambled_test_labels_move_test_metrics_and_no_threshold():
    random = np.random.default_rng(1)
    target = np.repeat([0, 1], 30)
    logit = target + random.normal(size=60)
    parts = np.tile(["val", "test"], 30)
    stored = predictions_table(range(60), target, logit).assign(part=parts)
    scrambled = stored.copy()
    test = scrambled["part"] == "test"
    scrambled.loc[test, "target"] = random.permutation(scrambled.loc[test, "target"])
    runs = runs_table([{"run": "a"}])
    honest, other = (
        run_metrics(runs, lambda run, t=table: t).set_index("metric")["value"]
        for table in (stored, scrambled)
    )
    assert honest["auroc"] != other["auroc"]
    chosen = thresholds_of(stored, 0.0, 0.5)
    assert chosen == thresholds_of(scrambled, 0.0, 0.5)
    moved = stored.copy()
    moved.loc[~test, "target"] = 1 - moved.loc[~test, "target"]
    assert chosen != thresholds_of(moved, 0.0, 0.5)


def test_images_count_once_each_where_asked():
    stored = predictions_table([0, 0, 0, 1, 2, 3], [1, 1, 1, 0, 0, 0], [-1, -1, 5, -2, 1, -1])
    runs = runs_table([{"run": "a"}])
    by_patient, by_image = (
        run_metrics(runs, lambda run: stored, unit).set_index("metric")
        for unit in ("patient", "image")
    )
    assert by_patient.loc["sensitivity", "n_test"] == 4
    assert by_image.loc["sensitivity", "n_test"] == 6
    assert by_image.loc["sensitivity", "n_positive"] == 3
    assert by_image.loc["sensitivity", "value"] == pytest.approx(1 / 3)
