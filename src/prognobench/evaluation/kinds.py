"""What is done with stored predictions by the kind of the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.patients import (
    Array,
    PatientPredictions,
    Unit,
    patient_predictions,
)
from prognobench.evaluation.sample import Sample
from prognobench.evaluation.scores import PatientScores, ScoreSample, patient_scores
from prognobench.evaluation.times import PatientTimes, TimeSample, patient_times

Patients: TypeAlias = PatientPredictions | PatientScores | PatientTimes
"""What one run predicted, by patient."""


def kind_of(run: Mapping[Any, Any] | pd.Series[Any]) -> Kind:
    """Return the kind of outcome of a run by its columns; those that say nothing are of events."""
    kind: Kind = run.get("kind", "binary")
    return kind


def kinds_of(runs: pd.DataFrame) -> NDArray[np.object_]:
    """Return the kind of outcome of each run of a table."""
    if "kind" not in runs:
        return np.full(len(runs), "binary", dtype=object)
    return runs["kind"].to_numpy(dtype=object)


def read_patients(
    kind: Kind, stored: pd.DataFrame, prior_logit_shift: float, unit: Unit
) -> Patients:
    """Return a run's test patients.

    Args:
        kind: The kind of the outcome.
        stored: The run's stored predictions.
        prior_logit_shift: What the training's weighting added to every logit.
        unit: What counts once, a patient or an image.

    Raises:
        UnusablePredictionsError: When the predictions cannot be evaluated.
    """
    if kind == "ordinal":
        return patient_scores(stored, unit=unit)
    if kind == "time_to_event":
        return patient_times(stored, unit=unit, prior_logit_shift=prior_logit_shift)
    return patient_predictions(stored, prior_logit_shift, unit=unit)


def sample_of(
    patients: Patients, thresholds: Mapping[str, float | None], weights: Array | None = None
) -> Any:
    """Return what the metrics of a kind are computed from.

    Args:
        patients: The patients of a run.
        thresholds: Its thresholds on the probability, by operating point.
        weights: Weights of its patients, of shape [B, n]; None counts each once.
    """
    if isinstance(patients, PatientScores):
        return ScoreSample.of(patients, weights)
    if isinstance(patients, PatientTimes):
        return TimeSample.of(patients, weights)
    return Sample.of(patients, thresholds, weights)


def effective_size(tested: Mapping[str, float], kind: Kind) -> int:
    """Return on how many patients the spread of an estimate rests.

    Args:
        tested: Target of each patient.
        kind: The kind of the outcome.

    Returns:
        The number of patients in the rarer class; of a score, that of all patients; of times,
        that of those with an event.
    """
    return size_that_counts(len(tested), sum(target > 0 for target in tested.values()), kind)


def size_that_counts(patients: int, events: int, kind: Kind) -> int:
    """Return the same as :func:`effective_size` from numbers.

    Args:
        patients: Number of patients.
        events: Number of them with the event.
        kind: The kind of the outcome.
    """
    if kind == "ordinal":
        return patients
    return events if kind == "time_to_event" else min(events, patients - events)
