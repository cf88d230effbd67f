"""Times to an event, some of them censored: what a run predicted, and how good that is.

No library weights patients many ways at once, as the bootstrap does; scikit-survival is the oracle
of the tests. Weights by the inverse probability of censoring come from the patients outside the
test part, and so do the times that are looked at, of which those are left out that the test part
is not followed up to: they are the same for every candidate on a split. The few patients of a
few-shot draw cannot say how follow-ups end: there both are taken from the test patients themselves,
as Uno et al. 2011 do, and so are the same for every number of shots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prognobench.evaluation.metric import Metric, mean_of, ratio
from prognobench.evaluation.patients import Array, Unit, values_by_patient
from prognobench.evaluation.sample import loss_sums

SPAN = (0.1, 0.9)
"""Quantiles of the times of events between which the Brier score is integrated: beyond them it
would rest on hardly anybody."""

TIED = 1e-8
"""Log hazards that are nearer to each other are equal."""


@dataclass(frozen=True)
class PatientTimes:
    """What one run predicted, one entry a patient, sorted by ``patient_id``.

    Attributes:
        patient_id: The patients, each once.
        target: Time of the event, or the negative of the time of the last follow-up without it.
        log_hazard: The predicted log hazard, the mean over the images; higher is earlier.
        images: How many images each patient has in this part.
        weight: Inverse probability of not being censored before the event, 0 for those without
            an event and for events after the last time that it is known for.
        error: The integrated Brier score of each patient, NaN for all where there are fewer than
            two times to integrate over.
    """

    patient_id: NDArray[np.object_]
    target: Array
    log_hazard: Array
    images: NDArray[np.int64]
    weight: Array
    error: Array

    @property
    def positives(self) -> int:
        """How many patients were seen to have the event."""
        return int((self.target > 0).sum())


def patient_times(
    predictions: pd.DataFrame, unit: Unit = "patient", prior_logit_shift: float = 0.0
) -> PatientTimes:
    """Reduce predicted log hazards of test images to what the metrics need of each patient.

    Args:
        predictions: Stored predictions of one run, one row an image.
        unit: ``patient``, or ``image`` to take every image for a patient of its own.
        prior_logit_shift: By how much more often, as a logarithm, patients with the event were
            drawn to train than patients without.

    Raises:
        UnusablePredictionsError: When columns, rows or patient ids are missing, a patient has two
            targets, or a number is not finite.
    """
    patients, target, log_hazard, images = _read(predictions, "test", unit)
    _, trained, own_hazard, _ = _read(predictions, "train")
    if (predictions["part"] == "val").any():
        known = np.concatenate([trained, _read(predictions, "val")[1]])
    else:
        known = _read(predictions, "test")[1]
    weight = _event_weights(target, known)
    times = _times(known, target)
    error = np.full(len(target), np.nan)
    if len(times) > 1:
        survival = breslow_survival(trained, own_hazard, log_hazard, times, prior_logit_shift)
        losses = brier_losses(target, survival, times, known)
        error = np.trapezoid(losses, times, axis=1) / (times[-1] - times[0])
    return PatientTimes(patients, target, log_hazard, images, weight, error)


def event_risk(predictions: pd.DataFrame, horizon: float, prior_logit_shift: float = 0.0) -> Array:
    """Return the predicted probability of the event until a horizon, of each test patient.

    Args:
        predictions: Stored predictions of one run.
        horizon: The time.
        prior_logit_shift: As of :func:`patient_times`.
    """
    _, _, log_hazard, _ = _read(predictions, "test")
    _, trained, own_hazard, _ = _read(predictions, "train")
    at = np.array([horizon])
    survival = breslow_survival(trained, own_hazard, log_hazard, at, prior_logit_shift)
    risk: Array = 1.0 - survival[:, 0]
    return risk


def _read(
    predictions: pd.DataFrame, part: str, unit: Unit = "patient"
) -> tuple[NDArray[np.object_], Array, Array, NDArray[np.int64]]:
    return values_by_patient(predictions, part, "log_hazard", unit)


def uncensored(known: Array, times: Array) -> Array:
    """Return the probability of still being followed up at some times (Kaplan and Meier 1958).

    At equal times events come before the ends of follow-ups.

    Args:
        known: Times of patients, negative where the follow-up ended without the event.
        times: Where the probability is wanted.
    """
    own, event = np.abs(known), known > 0
    distinct = np.unique(own)
    at_risk = (own[:, None] >= distinct).sum(axis=0)
    events = ((own[:, None] == distinct) & event[:, None]).sum(axis=0)
    ended = ((own[:, None] == distinct) & ~event[:, None]).sum(axis=0)
    left = np.cumprod(1.0 - ended / np.maximum(at_risk - events, 1))
    found: Array = np.concatenate([[1.0], left])[np.searchsorted(distinct, times, side="right")]
    return found


def _event_weights(target: Array, known: Array) -> Array:
    """Return the inverse probability of being followed up to one's event, 0 without an event.

    It is 0 as well for events after the last known time, of an event or the end of a follow-up, and
    for those at times up to which nobody was followed: they have no weight that is known.
    """
    followed = uncensored(known, np.abs(target))
    counted = (target > 0) & (target <= np.abs(known).max()) & (followed > 0)
    return np.where(counted, 1.0 / np.where(counted, followed, 1.0), 0.0)


def _times(known: Array, target: Array) -> Array:
    """Return the times over which the Brier score is integrated.

    They come before the last follow-up of the test part: from then on nobody is known to be
    without the event, and the loss of all who are would be missing.
    """
    events = known[known > 0]
    if not len(events):
        return events
    low, high = np.quantile(events, SPAN)
    inner = np.unique(events[(events >= low) & (events <= high)])
    times: Array = inner[(uncensored(known, inner) > 0) & (inner < np.abs(target).max())]
    return times


def breslow_survival(
    trained: Array,
    trained_hazard: Array,
    log_hazard: Array,
    times: Array,
    prior_logit_shift: float = 0.0,
) -> Array:
    """Return the predicted probability of no event until some times, of shape [n, times].

    Breslow's cumulative baseline hazard of the training patients (1972, J R Stat Soc B 34:216), to
    the power of each patient's hazard. Patients with the event count less where they were drawn
    more often, by the inverse of it (Binder 1992, Biometrika 79:139).

    Args:
        trained: Times of the training patients, as ``target``.
        trained_hazard: Their log hazards by the same model.
        log_hazard: The log hazards of n patients.
        times: The times.
        prior_logit_shift: As of :func:`patient_times`.
    """
    centre = trained_hazard.mean()  # cancels; large numbers have no exponential
    baseline = baseline_hazard(trained, trained_hazard - centre, times, prior_logit_shift)
    survival: Array = np.exp(-baseline * _exponential(log_hazard - centre)[:, None])
    return survival


def baseline_hazard(
    trained: Array, trained_hazard: Array, times: Array, prior_logit_shift: float = 0.0
) -> Array:
    """Return the cumulative hazard of one whose log hazard is 0, until some times.

    Args:
        trained: As of :func:`breslow_survival`.
        trained_hazard: Likewise.
        times: Likewise.
        prior_logit_shift: Likewise.
    """
    hazards, own = _exponential(trained_hazard), np.abs(trained)
    events = np.sort(trained[trained > 0])
    counts = np.where(trained > 0, np.exp(-prior_logit_shift), 1.0)
    at_risk = (own >= events[:, None]) @ (counts * hazards)
    cumulative = np.concatenate([[0.0], np.cumsum(np.exp(-prior_logit_shift) / at_risk)])
    found: Array = cumulative[np.searchsorted(events, times, side="right")]
    return found


def _exponential(log_hazard: Array) -> Array:
    found: Array = np.exp(np.clip(log_hazard, -500, 500))
    return found


def brier_losses(target: Array, survival: Array, times: Array, known: Array) -> Array:
    """Return the weighted squared errors of survival at some times (Graf et al. 1999).

    Args:
        target: Times of n patients, as ``target``.
        survival: The predicted probability of no event, of shape [n, times].
        times: The times.
        known: Times of the patients that the probability of censoring is taken from.

    Returns:
        Shape [n, times]; their mean over the patients is the Brier score at each time.
    """
    own, event = np.abs(target)[:, None], (target > 0)[:, None]
    before = ratio(np.ones_like(target), uncensored(known, np.abs(target)))[:, None]
    until = ratio(np.ones_like(times), uncensored(known, times))
    happened = (own <= times) & event
    losses: Array = np.where(happened, survival**2 * np.where(happened, before, 0.0), 0.0)
    return losses + np.where(own > times, (1.0 - survival) ** 2 * until, 0.0)


@dataclass(frozen=True)
class TimeSample:
    """Patients with predicted log hazards, and B ways of weighting them.

    Attributes:
        patients: The patients.
        weights: Weights of shape [B, n], at least 0.
    """

    patients: PatientTimes
    weights: Array

    @classmethod
    def of(cls, patients: PatientTimes, weights: Array | None = None) -> TimeSample:
        """Return the sample of a run's patients; without ``weights`` each counts once."""
        return cls(patients, np.ones((1, len(patients.target))) if weights is None else weights)


class TimeMetric(Metric):
    """A metric of predicted log hazards."""

    def undefined_reason(self, sample: Any) -> str | None:
        """Return why the metric has no value on the patients of a sample, or None if it has."""
        if np.isfinite(self.value(self.statistics(sample))[0]):
            return None
        if self.name == "c_index":
            return "no test patient had the event before another was last seen"
        return "there are fewer than two times of events to integrate over before follow-ups end"

    def constant_prediction(self, sample: Any) -> bool:
        """Return whether the same log hazard is predicted for every patient."""
        return bool(np.ptp(sample.patients.log_hazard) <= TIED)


def _weighted_pairs(sample: Any) -> Array:
    """Return, of shape [B, 2]: the weight of pairs in the right order, and of all pairs.

    A pair is a patient with an event and one who was seen for longer without it; its weight is the
    square of the first's inverse probability of censoring (Uno et al. 2011). Ties count half.
    """
    own = sample.patients
    time, event = np.abs(own.target), own.target > 0
    later = time > time[:, None]
    later |= (time == time[:, None]) & ~event  # column: seen to that time, and without the event
    pairs = later * (own.weight**2)[:, None]
    difference = own.log_hazard[:, None] - own.log_hazard
    right = np.where(np.abs(difference) <= TIED, 0.5, difference > 0)

    def summed(matrix: Array) -> Array:
        total: Array = ((sample.weights @ matrix) * sample.weights).sum(axis=1)
        return total

    return np.stack([summed(pairs * right), summed(pairs)], axis=1)


def _errors(sample: Any) -> Array:
    """Return the weighted sum of the errors, and the weight; a part without times adds nothing."""
    error = sample.patients.error
    known = np.isfinite(error)
    return loss_sums(np.where(known, error, 0.0), sample.weights * known)


TIMES = (
    TimeMetric(
        "c_index",
        "C-index (IPCW)",
        "How often, of two patients, the one with the earlier event has the higher predicted "
        "hazard, ties counting half, weighted for those whose follow-up ended before.",
        "Uno et al. 2011, Statistics in Medicine 30:1105",
        _weighted_pairs,
        mean_of,
        "mean",
        reads="score",
        chance=lambda patients, events: 0.5,  # noqa: ARG005
        kind="time_to_event",
    ),
    TimeMetric(
        "integrated_brier",
        "Integrated Brier",
        "Mean squared error of the predicted probability of no event, integrated over the times "
        "between the first and last tenth of the events (outside the test part; in few-shot "
        "those of the test part) and before the last follow-up of the test part, weighted for "
        "those whose follow-up ended before.",
        "Graf et al. 1999, Statistics in Medicine 18:2529",
        _errors,
        mean_of,
        "sum",
        higher_is_better=False,
        reads="score",
        highest=float("inf"),
        kind="time_to_event",
    ),
)
