"""Which patients are shown: some whom a model got right and some whom it got wrong, at random."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from prognobench.evaluation.patients import patient_predictions
from prognobench.randomness import generator

KINDS = ("true positive", "false negative", "false positive", "true negative")
"""What a patient can be, in the order in which they are shown."""

OF_A_KIND = 2
"""Patients of each kind."""


@dataclass(frozen=True)
class Example:
    """A patient of the test part.

    Attributes:
        kind: One of :data:`KINDS`.
        target: 1 where the patient had the event, else 0.
        probability: What was predicted for the patient.
        image_id: The patient's first image, which is shown.
        images: How many images the patient has.
    """

    kind: str
    target: int
    probability: float
    image_id: str
    images: int


def choose_examples(predictions: pd.DataFrame, threshold: float, run: str) -> list[Example]:
    """Draw patients of each kind from a run's test part, by a stream of the run's own.

    Args:
        predictions: The run's stored predictions, one row an image.
        threshold: From which probability on an event is predicted.
        run: Id of the run.

    Raises:
        prognobench.evaluation.patients.UnusablePredictionsError: When there is nothing to see.
    """
    patients = patient_predictions(predictions)
    tested = predictions[predictions["part"] == "test"]
    first = tested.sort_values("image_id").groupby("patient_id")["image_id"].first()
    first.index = first.index.astype(str)
    kinds: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for place, (target, probability) in enumerate(
        zip(patients.target, patients.probability, strict=True)
    ):
        predicted = probability >= threshold
        right = "true" if predicted == (target == 1) else "false"
        kinds[f"{right} {'positive' if predicted else 'negative'}"].append(place)
    random = generator("saliency", "examples", run)
    found = []
    for kind, places in kinds.items():
        drawn = random.permutation(places)[:OF_A_KIND].tolist()
        found += [
            Example(
                kind=kind,
                target=int(patients.target[place]),
                probability=float(patients.probability[place]),
                image_id=str(first[str(patients.patient_id[place])]),
                images=int(patients.images[place]),
            )
            for place in map(int, drawn)
        ]
    return found
