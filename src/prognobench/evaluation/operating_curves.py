"""Curves over all thresholds: ROC, precision and recall, calibration, and net benefit.

Each takes the same way as the metric it belongs to: ROC and precision are averaged over folds at
equal abscissa (vertical averaging, Fawcett 2006, Pattern Recognition Letters 27:861), because
scores of different models share no scale; counts at a stated risk are summed over folds, because
risks do. Repeats, seeds and episodes are then averaged, and bands come from the draws that the
leaderboard's intervals come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.nonparametric.smoothers_lowess import lowess
from statsmodels.stats.proportion import proportion_confint

from prognobench.evaluation import bootstrap
from prognobench.evaluation.candidates import Key
from prognobench.evaluation.patients import Array, PatientPredictions
from prognobench.evaluation.sample import Sample

GRID = np.linspace(0.0, 1.0, 101)
"""False positive rates, and recalls, at which curves are taken."""

RISKS = np.arange(1, 81) / 100
"""Threshold probabilities of the decision curve."""

MOST_BINS = 10
PATIENTS_A_BIN = 20
"""Calibration is shown in bins of equal size, as many as hold so many patients each."""

SMOOTHED_FROM = 50
"""Patients from which on a smoothed calibration curve says more than its own noise."""

SHARE_SMOOTHED = 0.75
"""Share of the patients that each point of the smoothed curve is fitted to."""

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Examined:
    """A finished run's test patients.

    Attributes:
        group: What it is put together with: a repeat's folds, or an episode's seeds.
        patients: Its patients.
        weights: Their multiplicities, of shape [1 + B, n]; the first row is all ones.
        drawn: How often its group is drawn, of shape [1 + B]; None where groups are not drawn.
    """

    group: Key
    patients: PatientPredictions
    weights: Array
    drawn: Array | None = None

    @property
    def sample(self) -> Sample:
        """The patients with their weights."""
        return Sample.of(self.patients, weights=self.weights)


def roc(tested: Sequence[Examined], confidence: float) -> pd.DataFrame:
    """Return the sensitivity at each false positive rate of :data:`GRID`.

    Returns:
        Columns ``x, value, ci_low, ci_high``; empty where no fold has both outcomes.
    """
    return _curve(GRID, _averaged(tested, _sensitivities), confidence, _rarer(tested))


def precision_recall(tested: Sequence[Examined], confidence: float) -> pd.DataFrame:
    """Return the precision at each recall of :data:`GRID` above 0.

    Precision is that of the highest threshold that reaches the recall, as in the average
    precision; nothing is interpolated (Davis and Goadrich 2006, ICML).

    Returns:
        Columns as of :func:`roc`.
    """
    return _curve(GRID[1:], _averaged(tested, _precisions), confidence, _rarer(tested))


def decision(tested: Sequence[Examined], confidence: float) -> pd.DataFrame:
    """Return the net benefit at each risk of :data:`RISKS` (Vickers and Elkin 2006).

    Returns:
        Columns as of :func:`roc`, and ``treat_all``: the net benefit of calling everybody.
    """
    odds = RISKS / (1.0 - RISKS)
    groups = _groups(tested)
    values, everybody = [], []
    for members in groups.values():
        true, false, events, patients = (
            np.sum(parts, axis=0) for parts in zip(*map(_counts, members), strict=True)
        )
        values.append((true - false * odds) / patients)
        everybody.append((events - (patients - events) * odds) / patients)
    table = _curve(RISKS, _over_groups(values, groups), confidence, _rarer(tested))
    table["treat_all"] = _over_groups(everybody, groups)[0]
    return table


def calibration(tested: Sequence[Examined], confidence: float) -> pd.DataFrame:
    """Return the share of events in bins of predicted probability, with Wilson's interval.

    The probabilities are those after the training's prior was taken back. Bins hold equally many
    patients. A patient predicted by several repeats, seeds or episodes counts as one patient in
    all: intervals are not narrower for it.

    Returns:
        Columns ``kind`` (``bin`` or ``smooth``), ``x`` (mean predicted probability), ``value``
        (share of events), ``ci_low, ci_high`` and ``n`` (patients; 0 for the smoothed curve, which
        is LOWESS over all patients and has no interval).
    """
    probability = np.concatenate([own.patients.corrected for own in tested])
    target = np.concatenate([own.patients.target for own in tested]).astype(np.float64)
    names = {name for own in tested for name in own.patients.patient_id}
    repeats = len(probability) / len(names)
    place = equal_bins(probability, len(names))
    rows = []
    for number in np.unique(place):
        own = place == number
        patients, share = float(own.sum()) / repeats, float(target[own].mean())
        low, high = proportion_confint(
            share * patients, patients, alpha=1.0 - confidence, method="wilson"
        )
        rows.append(("bin", float(probability[own].mean()), share, low, high, round(patients)))
    if len(names) >= SMOOTHED_FROM and 0 < target.sum() < len(target):
        lowest, highest = np.quantile(probability, [0.01, 0.99])
        span = np.linspace(lowest, highest, 41)
        if span[0] < span[-1]:
            smooth = lowess(target, probability, frac=SHARE_SMOOTHED, it=0, xvals=span)
            rows += [
                ("smooth", float(x), float(np.clip(y, 0, 1)), np.nan, np.nan, 0)
                for x, y in zip(span, smooth, strict=True)
                if np.isfinite(y)
            ]
    return pd.DataFrame(rows, columns=["kind", "x", "value", "ci_low", "ci_high", "n"])


def equal_bins(values: Array, patients: float) -> NDArray[np.int64]:
    """Return in which bin each value is: bins of equally many, one for some twenty patients.

    Args:
        values: The values.
        patients: How many patients they are of.
    """
    bins = int(np.clip(patients // PATIENTS_A_BIN, 1, MOST_BINS))
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def distribution(tested: Sequence[Examined]) -> pd.DataFrame:
    """Return how the predicted probabilities are spread among patients with and without the event.

    Returns:
        Columns ``low, high`` (ends of a bin), ``events`` and ``others``: the share of the patients
        of that outcome whose corrected probability lies in the bin.
    """
    probability = np.concatenate([own.patients.corrected for own in tested])
    event = np.concatenate([own.patients.target for own in tested]) == 1
    edges = np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1)
    counts = [np.histogram(probability[own], edges)[0] for own in (event, ~event)]
    shares = [count / max(count.sum(), 1) for count in counts]
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "events": shares[0], "others": shares[1]}
    )


def _sensitivities(sample: Sample) -> Array:
    """Return, of shape [B, grid], the sensitivity at each false positive rate, ties shared."""
    events, others = sample.ranking
    rows = []
    for true, false in zip(_shares(events), _shares(others), strict=True):
        if not (np.isfinite(true).all() and np.isfinite(false).all()):
            rows.append(np.full(len(GRID), np.nan))
            continue
        # The highest point at a false positive rate; beyond it the straight line of a tie.
        last = np.searchsorted(false, GRID, side="right") - 1
        following = np.minimum(last + 1, len(false) - 1)
        run = false[following] - false[last]
        along = np.where(run > 0, (GRID - false[last]) / np.where(run > 0, run, 1.0), 0.0)
        rows.append(true[last] + along * (true[following] - true[last]))
    return np.stack(rows)


def _precisions(sample: Sample) -> Array:
    """Return, of shape [B, grid - 1], the precision where each recall is first reached."""
    events, others = sample.ranking
    rows = []
    for true, false in zip(events, others, strict=True):
        if true[-1] <= 0 or false[-1] <= 0:
            rows.append(np.full(len(GRID) - 1, np.nan))
            continue
        # A little less than asked for: a recall of 3/10 must not miss the third event by rounding.
        first = np.searchsorted(true, GRID[1:] * true[-1] - 1e-9, side="left")
        rows.append(true[first] / (true[first] + false[first]))
    return np.stack(rows)


def _shares(counts: Array) -> Array:
    """Return counts as shares of their total, a zero before them; NaN without any."""
    total = counts[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(total > 0, counts / total, np.nan)
    start = np.where(total > 0, 0.0, np.nan)
    return np.concatenate([start, shares], axis=1)


def _counts(tested: Examined) -> tuple[Array, Array, Array, Array]:
    """Return true and false positives [1 + B, risks], events and patients [1 + B, 1]."""
    patients = tested.patients
    called = (patients.corrected >= RISKS[:, None]).T.astype(np.float64)
    event = patients.target == 1
    true = tested.weights[:, event] @ called[event]
    false = tested.weights[:, ~event] @ called[~event]
    events = tested.weights[:, event].sum(axis=1, keepdims=True)
    return true, false, events, tested.weights.sum(axis=1, keepdims=True)


def _groups(tested: Sequence[Examined]) -> dict[Key, list[Examined]]:
    groups: dict[Key, list[Examined]] = {}
    for own in tested:
        groups.setdefault(own.group, []).append(own)
    return groups


def _averaged(tested: Sequence[Examined], values: Callable[[Sample], Array]) -> Array:
    """Return the mean over the runs of a group, then over groups, of shape [1 + B, grid]."""
    groups = _groups(tested)
    means = [
        mean_of_defined([values(own.sample) for own in members]) for members in groups.values()
    ]
    return _over_groups(means, groups)


def _over_groups(means: Sequence[Array], groups: Mapping[Key, Sequence[Examined]]) -> Array:
    drawn = [members[0].drawn for members in groups.values()]
    weights = [np.ones(len(means[0])) if own is None else own for own in drawn]
    return mean_of_defined(means, weights)


def mean_of_defined(values: Sequence[Array], weights: Sequence[Array] | None = None) -> Array:
    """Return the mean over a list, leaving out NaN.

    Args:
        values: Each of shape [B, k].
        weights: For each its weights, of shape [B]; equal ones when None.

    Returns:
        Of shape [B, k], NaN where nothing is left.
    """
    stacked = np.stack(values)
    weight = np.isfinite(stacked).astype(np.float64)
    if weights is not None:
        weight *= np.stack(weights)[..., None]
    total = weight.sum(axis=0)
    summed = (np.nan_to_num(stacked) * weight).sum(axis=0)
    mean: Array = np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)
    return mean


def _rarer(tested: Sequence[Examined]) -> int:
    """Return how many of all tested patients are in the rarer class."""
    outcome: dict[str, int] = {}
    for own in tested:
        outcome.update(zip(own.patients.patient_id, own.patients.target.tolist(), strict=True))
    events = sum(outcome.values())
    return min(events, len(outcome) - events)


def _curve(x: Array, values: Array, confidence: float, rarer: int) -> pd.DataFrame:
    """Return a curve with its pointwise percentile band, from values of shape [1 + B, grid]."""
    table = pd.DataFrame({"x": x, "value": values[0]})
    ends = [bootstrap.percentile_interval(column, confidence, rarer) for column in values[1:].T]
    table["ci_low"], table["ci_high"] = zip(*ends, strict=True)
    return table[table["value"].notna()].reset_index(drop=True)
