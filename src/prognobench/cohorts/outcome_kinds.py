"""The kinds of outcome besides the binary one, and what splits are stratified by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["binary", "ordinal", "time_to_event"]
"""``binary``: the event or none. ``ordinal``: a score of whole numbers from 0 upwards.
``time_to_event``: the days from an image to the event, or to the end of a follow-up without it."""

SMALLEST_BAND = 10
"""Patients that a band of scores holds at least, where the scores allow it."""

MOST_BANDS = 4


@dataclass(frozen=True)
class OtherOutcome:
    """An endpoint that is not binary.

    Attributes:
        kind: Its kind.
        words: What it is, in words.
        highest: The highest level of an ordinal score; its levels are 0, 1, ... to this one.
    """

    kind: Kind
    words: str
    highest: int = 0


BINARY = OtherOutcome("binary", "")


def strata(kind: Kind, targets: Mapping[str, float]) -> dict[str, int]:
    """Return what splits are stratified by, for each patient.

    It is the outcome itself where that is binary, and whether there was an event where times are
    known. Scores are cut into at most four bands at their
    quartiles; a band with fewer than ten patients joins the one below it.

    Args:
        kind: The kind of the outcome.
        targets: Target of every patient.
    """
    if kind == "binary":
        return {patient: int(target) for patient, target in targets.items()}
    if kind == "time_to_event":
        return {patient: int(target > 0) for patient, target in targets.items()}
    values = np.array(list(targets.values()), dtype=np.float64)
    edges = np.unique(np.quantile(values, np.arange(1, MOST_BANDS) / MOST_BANDS, method="higher"))
    edges = edges[edges > values.min()]
    if not len(edges):  # most patients have the lowest score
        edges = np.unique(values)[1:2]
    band = np.searchsorted(edges, values, side="right")
    for number in range(len(edges), 0, -1):
        if len(set(band)) > 2 and (band == number).sum() < SMALLEST_BAND:
            band[band == number] = number - 1
    _, band = np.unique(band, return_inverse=True)
    if len(set(band)) > 2 and (band == 0).sum() < SMALLEST_BAND:
        band = np.maximum(band - 1, 0)
    return dict(zip(targets, band.tolist(), strict=True))
