"""Metrics of times to an event, against scikit-survival where it is, and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.patients import UnusablePredictionsError
from prognobench.evaluation.tables import leaderboard, run_metrics
from prognobench.evaluation.times import (
    SPAN,
    TimeSample,
    breslow_survival,
    patient_times,
    uncensored,
)


def drawn(seed, test=40, train=60, effect=1.0, levels=30):
    """Return a run's stored predictions: ties in time, a third censored."""
    random = np.random.default_rng(seed)
    rows = []
    for part, count in (("train", train), ("val", 20), ("test", test)):
        log_hazard = np.round(random.normal(size=count), 1)
        time = 1 + np.floor(random.exponential(8 * np.exp(-effect * log_hazard)))
        time = np.minimum(time, levels)
        target = np.where(random.random(count) < 0.35, -time, time)
        rows.append(
            pd.DataFrame(
                {
                    "patient_id": [f"{part}{n:03d}" for n in range(count)],
                    "image_id": [f"{part}{n:03d}" for n in range(count)],
                    "part": part,
                    "target": target,
                    "log_hazard": log_hazard,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def followed_to(stored, end):
    """End the follow-up of the test part at a time, where it is not 0."""
    late = (stored["part"] == "test") & (stored["target"].abs() > end) & (end > 0)
    return stored.assign(target=stored["target"].where(~late, -float(end)))


def values(stored, shift=0.0):
    sample = TimeSample.of(patient_times(stored, prior_logit_shift=shift))
    return {name: METRICS[name](sample)[0] for name in ("c_index", "integrated_brier")}


def parts(stored):
    # Without a validation part, in few-shot, the test patients stand for those outside.
    few = not (stored["part"] == "val").any()
    outside = stored.loc[(stored["part"] == "test") == few, "target"].to_numpy()
    train = stored[stored["part"] == "train"]
    return outside, train, stored[stored["part"] == "test"]


def by_hand(stored, shift=0.0):
    """Return Uno's C-index and the integrated Brier score by loops over their definitions."""
    outside, train, test = parts(stored)

    def kept(time):
        probability = 1.0
        for own in np.unique(np.abs(outside)):
            if own > time:
                break
            at_risk = (np.abs(outside) >= own).sum() - (outside == own).sum()
            ended = (outside == -own).sum()
            probability *= 1 - ended / at_risk if ended else 1
        return probability

    target, log_hazard = test["target"].to_numpy(), test["log_hazard"].to_numpy()
    time, event, horizon = np.abs(target), target > 0, np.abs(outside).max()
    right = total = 0.0
    for one in range(len(target)):
        if not event[one] or time[one] > horizon or kept(time[one]) == 0:
            continue
        for other in range(len(target)):
            longer = time[other] > time[one] or (time[other] == time[one] and not event[other])
            if longer:
                weight = kept(time[one]) ** -2
                total += weight
                difference = log_hazard[one] - log_hazard[other]
                right += weight * (0.5 if abs(difference) <= 1e-8 else float(difference > 0))
    events = outside[outside > 0]
    low, high = np.quantile(events, SPAN)
    grid = np.unique(events[(events >= low) & (events <= high)])
    grid = np.array([own for own in grid if kept(own) > 0 and own < time.max()])
    counts = np.where(train["target"] > 0, np.exp(-shift), 1.0)
    curve = []
    for moment in grid:
        baseline = sum(
            np.exp(-shift)
            / (counts * np.exp(train["log_hazard"]))[train["target"].abs() >= own].sum()
            for own in train["target"]
            if 0 < own <= moment
        )
        survival = np.exp(-baseline * np.exp(log_hazard))
        losses = [
            s**2 / kept(t)
            if t <= moment and e
            else (1 - s) ** 2 / kept(moment)
            if t > moment
            else 0
            for s, t, e in zip(survival, time, event, strict=True)
        ]
        curve.append(np.mean(losses))
    area = sum(
        (b - a) * (x + y) / 2 for a, b, x, y in zip(grid, grid[1:], curve, curve[1:], strict=False)
    )
    return {"c_index": right / total, "integrated_brier": area / (grid[-1] - grid[0])}


@pytest.mark.parametrize("seed", range(3))
def test_both_metrics_are_their_definitions(seed):
    stored = drawn(seed)
    assert values(stored) == pytest.approx(by_hand(stored), abs=1e-9)


def few_shot(stored, shots):
    """Return a run's predictions with so many training patients with the event, and without."""
    train = stored[stored["part"] == "train"]
    kept = [train[(train["target"] > 0) == event].head(shots) for event in (True, False)]
    return pd.concat([*kept, stored[stored["part"] == "test"]], ignore_index=True)


def test_a_few_shot_draw_takes_censoring_from_the_test_part_and_its_own_share_of_events_back():
    whole = drawn(7, train=120)
    few = few_shot(whole, 8)
    for shift in (0.0, 0.9):
        assert values(few, shift) == pytest.approx(by_hand(few, shift), abs=1e-9)
    # The same baseline as when each patient without the event had been drawn e^shift times.
    train = few[few["part"] == "train"]
    copies = pd.concat([train, train[train["target"] < 0], train[train["target"] < 0]])
    columns = [copies[name].to_numpy() for name in ("target", "log_hazard")]
    own = [train[name].to_numpy() for name in ("target", "log_hazard")]
    times, centred = np.array([2.0, 5.0, 9.0]), np.array([0.3, -1.0])
    expected = breslow_survival(*columns, centred, times)
    found = breslow_survival(*own, centred, times, np.log(3.0))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([10, 30, 1000]), st.sampled_from([0, 5, 8]))
def test_both_metrics_are_those_of_scikit_survival(seed, levels, end):
    metrics = pytest.importorskip("sksurv.metrics")
    from sksurv.util import Surv

    stored = followed_to(drawn(seed, levels=levels), end)
    outside, train, test = parts(stored)
    target, log_hazard = test["target"].to_numpy(), test["log_hazard"].to_numpy()
    known = Surv.from_arrays(outside > 0, np.abs(outside))
    own = Surv.from_arrays(target > 0, np.abs(target))
    moments = np.unique(np.abs(outside))
    unknown = moments[uncensored(outside, moments) == 0]
    # Where some event has no weight, scikit-survival raises unless it is cut off.
    horizon = min([np.nextafter(moments[-1], np.inf), *unknown])
    cut = horizon if (target >= horizon).any() else None
    expected = metrics.concordance_index_ipcw(known, own, log_hazard, tau=cut)[0]
    found = values(stored)
    assert found["c_index"] == pytest.approx(expected, abs=1e-9)
    events = outside[outside > 0]
    low, high = np.quantile(events, SPAN)
    grid = np.unique(events[(events >= low) & (events <= high)])
    ends = np.abs(target).min(), np.abs(target).max()
    grid = grid[(uncensored(outside, grid) > 0) & (grid < ends[1])]
    survival = breslow_survival(
        train["target"].to_numpy(), train["log_hazard"].to_numpy(), log_hazard, grid
    )
    followed = uncensored(outside, np.abs(target)).min() > 0 and ends[1] <= moments[-1]
    if followed and len(grid) > 1 and grid[0] >= ends[0]:
        expected = metrics.integrated_brier_score(known, own, survival, grid)
        assert found["integrated_brier"] == pytest.approx(expected, abs=1e-9)


def test_an_event_after_the_last_event_but_within_the_follow_up_elsewhere_counts():
    stored = drawn(0)
    outside = stored["part"] != "test"
    # Elsewhere events end at 9 and follow-ups at 40; nobody's follow-up ends before 9.
    early = outside & stored["target"].between(1, 9)
    stored["target"] = stored["target"].where(~outside | early, -40.0)
    patients = patient_times(stored)
    later = (patients.target > 9) & (patients.target <= 40)
    assert later.sum() > 3
    np.testing.assert_array_equal(patients.weight[later], 1.0)
    assert values(stored)["c_index"] == pytest.approx(by_hand(stored)["c_index"], abs=1e-9)


def test_the_brier_score_is_integrated_as_far_as_the_test_part_is_followed_up():
    whole = drawn(1)
    whole["target"] = whole["target"].abs()  # nobody is censored, and no loss is weighted
    outside, train, test = parts(whole)
    own = train["target"].to_numpy(), train["log_hazard"].to_numpy()
    test = test.sort_values("patient_id")
    target, log_hazard = test["target"].to_numpy(), test["log_hazard"].to_numpy()
    for end in (6.0, 9.0):
        low, high = np.quantile(outside, SPAN)
        grid = np.unique(outside[(outside >= low) & (outside < end)])
        assert len(grid) >= 2 and grid[-1] < end <= high
        squared = ((target[:, None] > grid) - breslow_survival(*own, log_hazard, grid)) ** 2
        expected = np.trapezoid(squared.mean(axis=0), grid) / (grid[-1] - grid[0])
        found = values(followed_to(whole, end))["integrated_brier"]
        assert found == pytest.approx(expected, abs=1e-12)


def test_without_censoring_the_c_index_is_harrells():
    stored = drawn(4)
    stored["target"] = stored["target"].abs()
    test = stored[stored["part"] == "test"]
    time, hazard = test["target"].to_numpy(), test["log_hazard"].to_numpy()
    pairs = [(a, b) for a in range(40) for b in range(40) if time[a] < time[b]]
    right = [0.5 if hazard[a] == hazard[b] else float(hazard[a] > hazard[b]) for a, b in pairs]
    assert values(stored)["c_index"] == pytest.approx(np.mean(right), abs=1e-12)
    assert (uncensored(np.array([1.0, 2.0, 3.0]), np.array([0.5, 3.0])) == 1.0).all()


def test_weights_are_repetitions_and_only_the_order_counts():
    stored, random = drawn(5), np.random.default_rng(0)
    patients = patient_times(stored)
    weights = random.multinomial(40, np.full(40, 1 / 40), size=3).astype(float)
    test = stored[stored["part"] == "test"].sort_values("patient_id")
    for name in ("c_index", "integrated_brier"):
        got = METRICS[name](TimeSample.of(patients, weights))
        for row, value in zip(weights.astype(int), got, strict=True):
            again = test.loc[test.index.repeat(row)].copy()
            again["patient_id"] = [f"test{n}" for n in range(len(again))]
            whole = pd.concat([stored[stored["part"] != "test"], again])
            expected = METRICS[name](TimeSample.of(patient_times(whole)))[0]
            assert value == pytest.approx(expected, abs=1e-9)
    stretched = stored.assign(log_hazard=3 * stored["log_hazard"] + 700)
    assert values(stretched)["c_index"] == pytest.approx(values(stored)["c_index"], abs=1e-12)
    assert np.isfinite(values(stretched)["integrated_brier"])


def test_what_has_no_value_says_why():
    stored = drawn(6)
    constant = stored.assign(log_hazard=0.0)
    sample = TimeSample.of(patient_times(constant))
    assert METRICS["c_index"](sample)[0] == 0.5
    assert METRICS["c_index"].constant_prediction(sample)
    test = stored["part"] == "test"
    censored = stored.assign(target=stored["target"].where(~test, -stored["target"].abs()))
    sample = TimeSample.of(patient_times(censored))
    assert "no test patient" in METRICS["c_index"].undefined_reason(sample)
    nobody = stored.assign(target=stored["target"].where(test, -stored["target"].abs()))
    sample = TimeSample.of(patient_times(nobody))
    assert "fewer than two times" in METRICS["integrated_brier"].undefined_reason(sample)
    short = followed_to(stored, 0.5)
    sample = TimeSample.of(patient_times(short))
    assert np.isnan(METRICS["integrated_brier"](sample)[0])
    assert "before follow-ups end" in METRICS["integrated_brier"].undefined_reason(sample)
    with pytest.raises(UnusablePredictionsError, match="finite"):
        patient_times(stored.assign(log_hazard=np.inf))


def made_runs(effects):
    rows, kept = [], {}
    for number, (name, effect) in enumerate(effects.items()):
        for fold in range(2):
            run = f"{name}{fold}"
            table = drawn(fold, test=60)
            table["patient_id"] = table["patient_id"] + f"-{fold}"
            noise = np.random.default_rng([fold, number]).normal(size=len(table))
            table["log_hazard"] = effect * table["log_hazard"] + (1 - effect) * noise
            kept[run] = table
            rows.append(
                {
                    **{"run": run, "state": "done", "reason": None, "dataset": "d"},
                    **{"endpoint": "t", "kind": "time_to_event", "backbone": name, "strategy": "s"},
                    **{"regime": "full_data", "shots": pd.NA, "level": np.nan, "seed": 1},
                    **{"split": f"f{fold}", "fold": fold, "episode": pd.NA, "lr": np.nan},
                    **{"validation_score": 0.0, "prior_logit_shift": 0.0, "threshold": 0.5},
                    **{"trainable_parameters": 1, "train_seconds": 1.0},
                }
            )
    return pd.DataFrame(rows), kept


def test_the_leaderboard_ranks_times_with_intervals_and_comparisons():
    runs, kept = made_runs({"good": 1.0, "bad": 0.0, "control": 0.0})
    board = leaderboard(runs, kept.__getitem__, replicates=200).set_index("backbone")
    good, bad = board.loc["good"], board.loc["bad"]
    assert (good["metric"], good["rank"], bad["rank"]) == ("c_index", 1, 2)
    folds = [values(kept[f"good{fold}"])["c_index"] for fold in range(2)]
    assert good["estimate"] == pytest.approx(np.mean(folds))
    assert good["ci_low"] < good["estimate"] < good["ci_high"]
    assert good["chance"] == 0.5
    assert good["n_positive"] == sum(
        (kept[f"good{n}"].query("part == 'test'").target > 0).sum() for n in range(2)
    )
    assert pd.isna(good["prevalence"])
    assert good["integrated_brier"] < bad["integrated_brier"]
    assert bad["difference_high"] < 0
    assert bool(good["beats_controls"])
    table = run_metrics(runs, kept.__getitem__)
    assert set(table["metric"]) == {"c_index", "integrated_brier"}


def test_a_fold_that_is_hardly_followed_up_is_left_out_of_the_brier_score_of_all_candidates():
    runs, kept = made_runs({"good": 1.0, "bad": 0.0})
    for name in ("good", "bad"):
        kept[f"{name}1"] = followed_to(kept[f"{name}1"], 0.5)
    board = leaderboard(runs, kept.__getitem__, replicates=50).set_index("backbone")
    for name in ("good", "bad"):
        expected = values(kept[f"{name}0"])["integrated_brier"]
        assert board.loc[name, "integrated_brier"] == pytest.approx(expected, abs=1e-12)
        assert np.isfinite(board.loc[name, "integrated_brier_ci_high"])
    table = run_metrics(runs, kept.__getitem__).set_index(["run", "metric"])
    assert pd.isna(table.loc[("good1", "integrated_brier"), "value"])
    assert "fewer than two times" in table.loc[("good1", "integrated_brier"), "reason"]
