"""Metrics of ordinal scores, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from prognobench.evaluation.metrics import METRICS, get_metric, headline_of, metrics_of
from prognobench.evaluation.patients import UnusablePredictionsError
from prognobench.evaluation.scores import PatientScores, ScoreSample, patient_scores
from prognobench.evaluation.tables import leaderboard, run_metrics

LEVELS = 19


def sample(target, predicted, weights=None):
    own = np.asarray(target), np.asarray(predicted)
    names = np.array([f"p{n}" for n in range(len(own[0]))], dtype=object)
    patients = PatientScores(names, *own, np.ones(len(names), dtype=np.int64))
    return ScoreSample.of(patients, weights)


def kappa(target, predicted):
    # Without the labels scikit-learn would take places among the levels seen for the levels.
    return cohen_kappa_score(target, predicted, weights="quadratic", labels=range(LEVELS))


ratings = st.lists(
    st.tuples(st.integers(0, LEVELS - 1), st.integers(0, LEVELS - 1)), min_size=1, max_size=60
)


@settings(max_examples=100)
@given(ratings)
@pytest.mark.filterwarnings("ignore")
def test_both_metrics_equal_scikit_learn(pairs):
    target, predicted = map(list, zip(*pairs, strict=True))
    own = sample(target, predicted)
    expected = kappa(target, predicted)
    value = get_metric("quadratic_kappa")(own)[0]
    if np.isfinite(expected):
        assert value == pytest.approx(expected, abs=1e-9)
    else:
        assert np.isnan(value)
        assert "one score" in get_metric("quadratic_kappa").undefined_reason(own)
    expected = mean_absolute_error(target, predicted)
    assert get_metric("mae")(own)[0] == pytest.approx(expected, abs=1e-9)


def test_weights_are_repetitions():
    random = np.random.default_rng(1)
    target, predicted = random.integers(0, LEVELS, (2, 30))
    weights = random.multinomial(30, np.full(30, 1 / 30), size=4)
    values = {name: METRICS[name](sample(target, predicted, weights)) for name in ("mae",)}
    kappas = METRICS["quadratic_kappa"](sample(target, predicted, weights.astype(float)))
    for number, row in enumerate(weights):
        again = np.repeat(target, row), np.repeat(predicted, row)
        assert kappas[number] == pytest.approx(kappa(*again), abs=1e-9)
        assert values["mae"][number] == pytest.approx(mean_absolute_error(*again), abs=1e-9)


def test_a_constant_prediction_keeps_its_value_and_is_flagged():
    own = sample([0, 3, 9, 18], [7, 7, 7, 7])
    for level in range(19):  # exactly: rounding is no rank
        same = sample([0, 3, 9, 18, 5], [level] * 5)
        assert get_metric("quadratic_kappa")(same)[0] == 0.0
    assert get_metric("quadratic_kappa").constant_prediction(own)
    assert not get_metric("mae").constant_prediction(sample([0, 1], [0, 1]))


def stored(scores, target, part="test"):
    count = len(scores)
    return pd.DataFrame(
        {
            "patient_id": [f"p{n // 2}" for n in range(count)],
            "image_id": [f"i{n}" for n in range(count)],
            "part": part,
            "target": target,
            "score": scores,
        }
    )


def test_images_of_a_patient_are_averaged_before_they_are_rounded():
    own = patient_scores(stored([2.0, 3.0, 4.4, 4.4], [3, 3, 4, 4]))
    assert own.predicted.tolist() == [3, 4]
    assert own.images.tolist() == [2, 2]
    by_image = patient_scores(stored([2.0, 3.0, 4.4, 4.6], [3, 3, 4, 4]), unit="image")
    assert by_image.predicted.tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("scores", "target", "words"),
    [
        ([np.nan, 1.0], [1, 1], "not a finite number"),
        ([1.0, 1.0], [1, 2], "different targets"),
    ],
)
def test_what_cannot_be_evaluated_is_said(scores, target, words):
    with pytest.raises(UnusablePredictionsError, match=words):
        patient_scores(stored(scores, target))


def test_a_headline_ranks_tasks_of_its_kind_only():
    assert headline_of("ordinal", "mcc") == "quadratic_kappa"
    assert headline_of("ordinal", "mae") == "mae"
    assert headline_of("binary", "mae") == "mcc"
    assert set(metrics_of("ordinal")) == {"quadratic_kappa", "mae"}


def made_runs(noises):
    """Return runs of two folds for candidates whose scores err by so much, with predictions."""
    rows, kept = [], {}
    for name, noise in noises.items():
        for fold in range(2):
            random = np.random.default_rng(fold)
            target = random.integers(0, LEVELS, 40)
            errors = np.random.default_rng([fold, int(10 * noise)]).normal(0, noise, 40)
            run = f"{name}{fold}"
            table = stored(np.clip(target + errors, 0, LEVELS - 1), target)
            table["patient_id"] = [f"{fold}-{n}" for n in range(40)]
            train = table.assign(part="train", patient_id=[f"t{n}" for n in range(40)])
            kept[run] = pd.concat([table, train])
            rows.append(
                {
                    **{"run": run, "state": "done", "reason": None, "dataset": "d"},
                    **{"endpoint": "score", "kind": "ordinal", "backbone": name, "strategy": "s"},
                    **{"regime": "full_data", "shots": pd.NA, "level": np.nan, "seed": 1},
                    **{"split": f"f{fold}", "fold": fold, "episode": pd.NA, "lr": np.nan},
                    **{"validation_score": 0.0, "prior_logit_shift": 0.0, "threshold": 0.5},
                    **{"trainable_parameters": 1, "train_seconds": 1.0},
                }
            )
    return pd.DataFrame(rows), kept


def test_the_leaderboard_ranks_scores_with_intervals_and_comparisons():
    runs, kept = made_runs({"good": 1.0, "bad": 6.0, "control": 9.0})
    board = leaderboard(runs, kept.__getitem__, replicates=200).set_index("backbone")
    assert set(board["metric"]) == {"quadratic_kappa"}
    target = np.concatenate([patient_scores(kept[f"good{n}"]).target for n in range(2)])
    predicted = np.concatenate([patient_scores(kept[f"good{n}"]).predicted for n in range(2)])
    good = board.loc["good"]
    assert good["estimate"] == pytest.approx(kappa(target, predicted), abs=1e-9)
    assert good["mae"] == pytest.approx(mean_absolute_error(target, predicted), abs=1e-9)
    assert good["ci_low"] < good["estimate"] < good["ci_high"]
    assert good["chance"] == 0.0
    assert pd.isna(good["prevalence"])
    assert pd.isna(good["brier"])
    bad = board.loc["bad"]
    assert bad["difference_high"] < 0
    assert not bad["best_group"]
    assert bad["p_value"] < 0.05
    assert pd.isna(bad["p_delong"])
    assert bool(good["beats_controls"])


def test_results_hold_the_metrics_of_the_kind_alone():
    runs, kept = made_runs({"good": 1.0})
    table = run_metrics(runs, kept.__getitem__)
    assert table["metric"].tolist() == 2 * ["quadratic_kappa", "mae"]
    assert table["n_positive"].isna().all()
    assert (table["n_test"] == 40).all()
