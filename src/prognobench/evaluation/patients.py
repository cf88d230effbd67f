"""From image predictions to patient predictions: the patient is the unit of every metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

Array: TypeAlias = NDArray[np.float64]

Predictions: TypeAlias = Callable[[str], pd.DataFrame]
"""Gives the stored predictions of a run by its id: one row an image, columns ``patient_id,
image_id, part, target, logit, probability``."""

Unit = Literal["patient", "image"]
"""What counts once."""

REQUIRED_COLUMNS = ("patient_id", "image_id", "part", "target")


class UnusablePredictionsError(Exception):
    """A run's stored predictions cannot be evaluated; the message is one sentence."""


@dataclass(frozen=True)
class PatientPredictions:
    """What one run predicted, one entry a patient, sorted by ``patient_id``.

    Attributes:
        patient_id: The patients, each once.
        target: 1 where the patient had the event, else 0.
        probability: Predicted probability of the event as the model gave it, in [0, 1].
        corrected: The same after the shift that class weighting or balanced sampling added to
            the logits was taken back, in [0, 1].
        images: How many images each patient has in this part.
    """

    patient_id: NDArray[np.object_]
    target: NDArray[np.int64]
    probability: Array
    corrected: Array
    images: NDArray[np.int64]

    @property
    def positives(self) -> int:
        """How many of the patients had the event."""
        return int(self.target.sum())


def patient_predictions(
    predictions: pd.DataFrame,
    prior_logit_shift: float = 0.0,
    part: str = "test",
    unit: Unit = "patient",
) -> PatientPredictions:
    """Reduce image predictions to one prediction a patient: the mean probability of the images.

    The mean is the rule with no parameter to choose; it is declared here and used for every
    candidate. The corrected probability is the mean over images of ``sigmoid(logit - shift)``:
    training with class weights or balanced batches moves the logit by a known constant, and
    probability scores are only fair once that is taken back (van den Goorbergh et al. 2022,
    JAMIA 29:1525; Elkan 2001, IJCAI).

    Args:
        predictions: Stored predictions of one run, one row an image.
        prior_logit_shift: What the training's weighting added to every logit.
        part: Which part to take: ``train``, ``val`` or ``test``.
        unit: ``patient``, or ``image`` to take every image for a patient of its own.

    Returns:
        The patients of that part.

    Raises:
        UnusablePredictionsError: When columns, rows or patient ids are missing, a target is not
            0 or 1, a patient has two targets, or a prediction is not a finite number.
    """
    rows, patient = rows_of(predictions, part, ("logit", "probability"), unit)
    target, logit, probability = (
        predictions[name].to_numpy(dtype=np.float64)[rows]
        for name in ("target", "logit", "probability")
    )
    if not ((target == 0.0) | (target == 1.0)).all():
        raise UnusablePredictionsError("the predictions hold a target that is neither 0 nor 1")
    if not (np.isfinite(logit).all() and np.isfinite(probability).all()):
        raise UnusablePredictionsError("the predictions hold a value that is not a finite number")
    if probability.min() < 0.0 or probability.max() > 1.0:
        raise UnusablePredictionsError("the predictions hold a probability outside 0 to 1")
    codes, patients, images, outcome = by_patient(patient, target)
    corrected = mean_by_patient(expit(logit - prior_logit_shift), codes, images)
    return PatientPredictions(
        patient_id=patients,
        target=outcome.astype(np.int64),
        probability=np.minimum(mean_by_patient(probability, codes, images), 1.0),
        corrected=np.minimum(corrected, 1.0),
        images=images,
    )


def rows_of(
    predictions: pd.DataFrame, part: str, columns: tuple[str, ...], unit: Unit
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return the places of a part's rows, and the patient of each.

    Args:
        predictions: Stored predictions of one run.
        part: The part.
        columns: What must be there besides :data:`REQUIRED_COLUMNS`.
        unit: ``patient``, or ``image`` to take every image for a patient of its own.

    Raises:
        UnusablePredictionsError: When columns, rows or patient ids are missing.
    """
    wanted = (*REQUIRED_COLUMNS, *columns)
    missing = [name for name in wanted if name not in predictions.columns]
    if missing:
        raise UnusablePredictionsError(f"the predictions lack the column {', '.join(missing)}")
    rows = np.flatnonzero(predictions["part"].to_numpy(dtype=object) == part)
    if not len(rows):
        raise UnusablePredictionsError(f"the predictions hold no image of the {part} part")
    patient = predictions["patient_id"].to_numpy(dtype=object)[rows]
    if pd.isna(patient).any():
        raise UnusablePredictionsError("the predictions hold an image without a patient")
    if unit == "image":
        patient = predictions["image_id"].to_numpy(dtype=object)[rows]
    return rows, patient


def by_patient(
    patient: NDArray[np.object_], target: Array
) -> tuple[NDArray[np.int64], NDArray[np.object_], NDArray[np.int64], Array]:
    """Return whose image each row is, the patients, how many images each has, and the targets.

    Args:
        patient: The patient of each row.
        target: The target of each row.

    Raises:
        UnusablePredictionsError: When a patient has two targets.
    """
    patients, codes = np.unique(patient.astype(str).astype(object), return_inverse=True)
    images = np.bincount(codes)
    own = np.zeros(len(images))
    own[codes] = target
    if not (own[codes] == target).all():
        raise UnusablePredictionsError(
            "a patient has images with different targets: an outcome belongs to the patient, "
            "so all images of a patient must carry the same one"
        )
    return codes.astype(np.int64), patients, images.astype(np.int64), own


def values_by_patient(
    predictions: pd.DataFrame, part: str, column: str, unit: Unit
) -> tuple[NDArray[np.object_], Array, Array, NDArray[np.int64]]:
    """Return the patients of a part, their targets, mean predictions and numbers of images.

    Args:
        predictions: Stored predictions of one run.
        part: The part.
        column: The column of the predicted values.
        unit: As of :func:`rows_of`.

    Raises:
        UnusablePredictionsError: When columns, rows or patient ids are missing, a patient has two
            targets, or a number is not finite.
    """
    rows, patient = rows_of(predictions, part, (column,), unit)
    target, values = (
        predictions[name].to_numpy(dtype=np.float64)[rows] for name in ("target", column)
    )
    if not (np.isfinite(target).all() and np.isfinite(values).all()):
        raise UnusablePredictionsError("the predictions hold a value that is not a finite number")
    codes, patients, images, own = by_patient(patient, target)
    return patients, own, mean_by_patient(values, codes, images), images


def mean_by_patient(values: Array, codes: NDArray[np.int64], images: NDArray[np.int64]) -> Array:
    """Return the mean of ``values`` for each patient code."""
    # Taken from the patient's smallest value upwards, so that equal images give exactly that
    # value: 0.1 three times averages to 0.10000000000000002, and such noise would break ties
    # by the number of images, which may go with the outcome.
    smallest = np.full(len(images), np.inf)
    np.minimum.at(smallest, codes, values)
    excess = np.bincount(codes, weights=values - smallest[codes])
    mean: Array = smallest + excess / images
    return mean
