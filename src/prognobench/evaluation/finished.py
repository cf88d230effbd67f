"""Finished runs as evaluation needs them: their predictions are read once, and kept small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.kinds import Patients, kind_of, read_patients, sample_of
from prognobench.evaluation.metrics import metrics_of
from prognobench.evaluation.operating_points import choose_thresholds
from prognobench.evaluation.patients import (
    Array,
    Predictions,
    Unit,
    UnusablePredictionsError,
    patient_predictions,
)

Map: TypeAlias = Callable[..., Iterable[Any]]
"""Like the builtin ``map``; it may hand the work to other processes, and keeps the order."""


@dataclass(frozen=True)
class Measured:
    """Every metric of one run's test part, in their order.

    Attributes:
        value: The value of each, NaN where undefined.
        reasons: Why they are undefined.
        constant: Whether what they read is the same for everybody.
        size: How many patients (or images) there are, and how many of them had the event; -1 where
            the outcome is none.
    """

    value: Array
    reasons: Sequence[str | None]
    constant: Sequence[bool]
    size: tuple[int, int]


def distinct(
    lists: Iterable[Sequence[Any]],
) -> tuple[list[tuple[Any, ...]], list[int]]:
    """Return the different ones of some lists, in their order, and which of them each is.

    What is said of the metrics of many runs is one of few lists.
    """
    places: dict[tuple[Any, ...], int] = {}
    which = [places.setdefault(tuple(own), len(places)) for own in lists]
    return list(places), which


@dataclass(frozen=True)
class Tested:
    """What one run predicted for its test part, patients or images counting once.

    Attributes:
        patients: The patients, or images.
        thresholds: Thresholds by operating point, chosen on the validation part; none where the
            outcome is no event that can be called.
        kind: The kind of the outcome.
    """

    patients: Patients
    thresholds: Mapping[str, float | None]
    kind: Kind = "binary"

    @cached_property
    def measured(self) -> Measured:
        """Every metric of the kind of outcome."""
        sample = sample_of(self.patients, self.thresholds)
        metrics = metrics_of(self.kind).values()
        events = self.patients.positives
        return Measured(
            np.array([metric(sample)[0] for metric in metrics]),
            [metric.undefined_reason(sample) for metric in metrics],
            [metric.constant_prediction(sample) for metric in metrics],
            (len(self.patients.target), -1 if events is None else events),
        )


@dataclass(frozen=True)
class Finished:
    """One finished run.

    Attributes:
        by_patient: What it predicted for patients.
        by_image: What it predicted for images; the same where each patient has one.
        trained: How many patients trained or validated it.
    """

    by_patient: Tested
    by_image: Tested
    trained: int

    def by(self, unit: Unit) -> Tested:
        """Return what it predicted for patients, or for images."""
        return self.by_patient if unit == "patient" else self.by_image


class Runs:
    """The finished runs of a benchmark, each read once.

    Attributes:
        predictions: Gives the stored image predictions of a run that is done.
        map: What reads many runs, and evaluates many candidates.
    """

    def __init__(
        self,
        predictions: Predictions,
        mapped: Map = map,
        source: Callable[[str], Predictions] | None = None,
    ) -> None:
        """Take predictions that are read on demand, or by ``mapped`` when many are asked for.

        Args:
            predictions: Gives the stored predictions of a run.
            mapped: Like the builtin ``map``.
            source: Gives, for a run, what reads it in another process; needed where ``mapped``
                hands work to one.
        """
        self.predictions = predictions
        self.map = mapped
        self._source = source or (lambda _: predictions)
        self._read: dict[str, Finished | str] = {}

    @classmethod
    def of(cls, predictions: Predictions | Runs) -> Runs:
        """Return predictions as runs."""
        return predictions if isinstance(predictions, Runs) else cls(predictions)

    def only(self, runs: Iterable[str]) -> Runs:
        """Return what reads some runs, here or in another process."""
        names = list(runs)
        part = Runs(_Sources({run: self._source(run) for run in names}))
        part._read = {run: self._read[run] for run in names if run in self._read}
        return part

    def read(self, runs: pd.DataFrame) -> None:
        """Read runs that have not been read yet.

        Args:
            runs: Runs that are done, with ``run, prior_logit_shift, threshold`` and where not
                all are of events ``kind``.
        """
        wanted = [_named(run) for run in runs.to_dict("records") if run["run"] not in self._read]
        asked = [(self._source(own[0]), *own) for own in wanted]
        for (run, *_), found in zip(wanted, self.map(_read_or_reason, asked), strict=True):
            self._read[run] = found

    def finished(self, run: Mapping[Any, Any]) -> Finished:
        """Return a run that is done.

        Raises:
            UnusablePredictionsError: When its predictions cannot be evaluated.
        """
        if run["run"] not in self._read:
            self._read[run["run"]] = _read_or_reason((self.predictions, *_named(run)))
        found = self._read[run["run"]]
        if isinstance(found, str):
            raise UnusablePredictionsError(found)
        return found


@dataclass(frozen=True)
class _Sources:
    """What gives the predictions of some runs.

    Attributes:
        of: What gives those of a run, by the run.
    """

    of: Mapping[str, Predictions]

    def __call__(self, run: str) -> pd.DataFrame:
        return self.of[run](run)


def _named(run: Mapping[Any, Any]) -> tuple[str, float, float, Kind]:
    """Return what has to be known of a run to read it."""
    return run["run"], float(run["prior_logit_shift"]), float(run["threshold"]), kind_of(run)


def _read_or_reason(asked: tuple[Predictions, str, float, float, Kind]) -> Finished | str:
    """Return a finished run, its metrics made; or why it cannot be evaluated."""
    predictions, run, shift, threshold, kind = asked
    try:
        found = read_run(predictions(run), shift, threshold, kind)
    except UnusablePredictionsError as error:
        return str(error)
    for tested in (found.by_patient, found.by_image):
        _ = tested.measured  # made where the run is read, which may be another process
    return found


def read_run(
    stored: pd.DataFrame, shift: float, threshold: float, kind: Kind = "binary"
) -> Finished:
    """Reduce the stored predictions of a run to what is evaluated.

    Args:
        stored: The predictions, one row an image.
        shift: What the training's weighting added to every logit.
        threshold: The run's own threshold on the probability.
        kind: The kind of the outcome.

    Raises:
        UnusablePredictionsError: When they cannot be evaluated.
    """
    by_patient = _tested(stored, shift, threshold, kind, "patient")
    # With one image each, patients and images are the same, whatever they are called.
    alone = bool((by_patient.patients.images == 1).all()) and _alone(stored, "val")
    by_image = by_patient if alone else _tested(stored, shift, threshold, kind, "image")
    outside = stored["patient_id"].to_numpy(dtype=object)[
        stored["part"].to_numpy(dtype=object) != "test"
    ]
    return Finished(by_patient, by_image, max(len(set(outside.tolist())), 1))


def _alone(stored: pd.DataFrame, part: str) -> bool:
    """Say whether each patient of a part has one image."""
    patients = stored["patient_id"].to_numpy(dtype=object)[
        stored["part"].to_numpy(dtype=object) == part
    ]
    return len(set(patients.tolist())) == len(patients)


def _tested(stored: pd.DataFrame, shift: float, threshold: float, kind: Kind, unit: Unit) -> Tested:
    patients = read_patients(kind, stored, shift, unit)
    chosen = thresholds_of(stored, shift, threshold, unit) if kind == "binary" else {}
    return Tested(patients, chosen, kind)


def thresholds_of(
    stored: pd.DataFrame, shift: float, threshold: float, unit: Unit = "patient"
) -> dict[str, float | None]:
    """Return the thresholds of a run by operating point, chosen on its validation part.

    Args:
        stored: Its stored predictions.
        shift: What the training's weighting added to every logit.
        threshold: Its own threshold.
        unit: What is called positive: a patient or an image.
    """
    validation = None
    if (stored["part"].to_numpy(dtype=object) == "val").any():
        validation = patient_predictions(stored, shift, "val", unit)
    return choose_thresholds(threshold, validation)
