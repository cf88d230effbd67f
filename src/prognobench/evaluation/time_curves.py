"""A closer look at predicted times: what was observed by predicted risk, and at one horizon.

Log hazards of different models share no scale, so that patients are put into thirds within each
test part; the thirds are then put together over folds, as the literature does with risk groups.
A patient predicted by several repeats, seeds or episodes counts as one patient in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from statsmodels.duration.survfunc import SurvfuncRight

from prognobench.evaluation.operating_curves import equal_bins
from prognobench.evaluation.patients import Array
from prognobench.evaluation.times import PatientTimes

THIRDS = ("low", "middle", "high")
"""The risk groups, by the predicted hazard."""

TICKS = 5
"""Times at which the patients at risk are counted."""


@dataclass(frozen=True)
class ExaminedTimes:
    """A finished run's test patients.

    Attributes:
        patients: Its patients.
        risk: The predicted probability of the event until the horizon, one a patient.
    """

    patients: PatientTimes
    risk: Array


def median_event(targets: Array) -> float | None:
    """Return the median time of the events among some patients; None without an event."""
    events = targets[targets > 0]
    return float(np.median(events)) if len(events) else None


def risk_groups(tested: Sequence[ExaminedTimes], confidence: float) -> pd.DataFrame:
    """Return Kaplan and Meier's curves of the thirds of predicted risk.

    Intervals are pointwise, of Greenwood's variance on the scale of the log of minus the log
    (Kalbfleisch and Prentice 2002). Where every patient of a run has the same hazard, all are in
    the middle.

    Returns:
        Columns ``kind``, ``group``, ``x`` (time), ``value``, ``ci_low, ci_high`` and ``n``. Of the
        kind ``curve``: the share without the event from that time on. Of the kind ``at_risk``: how
        many are still followed up, at :data:`TICKS` times.
    """
    target, repeats = _together(tested)
    place = np.concatenate([_third(own.patients.log_hazard) for own in tested])
    ticks = np.linspace(0.0, np.abs(target).max(), TICKS)
    if ticks[1] >= 1.0:
        ticks = np.floor(ticks)
    rows = []
    for number, name in enumerate(THIRDS):
        own = target[place == number]
        if not len(own):
            continue
        time, value, low, high = kaplan_meier(own, confidence, repeats)
        left = [(np.abs(own) >= at).sum() / repeats for at in time]
        rows += [("curve", name, *row) for row in zip(time, value, low, high, left, strict=True)]
        rows += [
            ("at_risk", name, at, np.nan, np.nan, np.nan, (np.abs(own) >= at).sum() / repeats)
            for at in ticks
        ]
    columns = ["kind", "group", "x", "value", "ci_low", "ci_high", "n"]
    table = pd.DataFrame(rows, columns=columns)
    table["n"] = table["n"].round().astype("int64")
    return table


def calibration_at(
    tested: Sequence[ExaminedTimes], horizon: float, confidence: float
) -> pd.DataFrame:
    """Return the share with the event until a horizon in bins of its predicted probability.

    The share is one less Kaplan and Meier's estimate in the bin, so that patients whose follow-up
    ended before count as long as they were seen. Bins hold equally many patients; one in which
    nobody was followed to the horizon is left out, unless everybody had the event before.

    Returns:
        Columns ``kind`` (``bin``), ``x`` (mean predicted probability), ``value``, ``ci_low,
        ci_high``, ``n`` (patients) and ``horizon``.
    """
    target, repeats = _together(tested)
    risk = np.concatenate([own.risk for own in tested])
    place = equal_bins(risk, len(target) / repeats)
    rows = []
    for number in np.unique(place):
        own = target[place == number]
        time, value, low, high = kaplan_meier(own, confidence, repeats)
        if time[-1] < horizon and value[-1] > 0.0:
            continue
        at = int(np.searchsorted(time, horizon, side="right")) - 1
        mean = float(risk[place == number].mean())
        share = (1.0 - value[at], 1.0 - high[at], 1.0 - low[at])
        rows.append(("bin", mean, *share, round(len(own) / repeats), horizon))
    columns = ["kind", "x", "value", "ci_low", "ci_high", "n", "horizon"]
    return pd.DataFrame(rows, columns=columns)


def kaplan_meier(
    target: Array, confidence: float, repeats: float = 1.0
) -> tuple[Array, Array, Array, Array]:
    """Return times, the share without the event from each on, and the ends of its interval.

    Args:
        target: Times, negative where no event was seen.
        confidence: Of the interval.
        repeats: How often each patient is in ``target``.

    Returns:
        The times begin with 0 and end with the last follow-up; ends are NaN where the share is
        0 or 1.
    """
    time = np.abs(target)
    fit = SurvfuncRight(time, (target > 0).astype(np.int64))
    moments = np.concatenate([[0.0], fit.surv_times, [time.max()]])
    share = np.concatenate([[1.0], fit.surv_prob])
    spread = np.concatenate([[0.0], fit.surv_prob_se]) * np.sqrt(repeats)
    share, spread = np.append(share, share[-1]), np.append(spread, spread[-1])
    inside = (share > 0.0) & (share < 1.0)
    known = np.where(inside, share, 0.5)
    width = norm.ppf(0.5 + confidence / 2) * spread / (known * np.abs(np.log(known)))
    low, high = (np.where(inside, known ** np.exp(sign * width), np.nan) for sign in (1.0, -1.0))
    return moments, share, low, high


def _third(log_hazard: Array) -> NDArray[np.int64]:
    place = (rankdata(log_hazard) - 0.5) / len(log_hazard)
    third: NDArray[np.int64] = np.minimum(len(THIRDS) * place, len(THIRDS) - 1).astype(np.int64)
    return third


def _together(tested: Sequence[ExaminedTimes]) -> tuple[Array, float]:
    """Return the targets of all runs, and how often each patient is among them."""
    target = np.concatenate([own.patients.target for own in tested])
    names = {name for own in tested for name in own.patients.patient_id}
    return target, len(target) / len(names)
