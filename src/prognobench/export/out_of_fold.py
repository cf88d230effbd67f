"""What a candidate predicted for patients that it was not trained on, and a calibration by it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from prognobench.evaluation.choice import choose_runs
from prognobench.evaluation.patients import Predictions, patient_predictions
from prognobench.evaluation.recalibration import (
    METHODS,
    Method,
    Recalibration,
    RecalibrationFit,
    choose_recalibration,
)

LEAST_EVENTS = 10
"""Patients with and without the event that a recalibration is fitted to, at least: with fewer, its
parameters would be noise."""


def recalibrate(
    runs: pd.DataFrame,
    predictions: Predictions,
    run: str | None = None,
    methods: tuple[Method, ...] = METHODS,
) -> RecalibrationFit:
    """Choose a recalibration by a candidate's out-of-fold predictions, one a patient and seed.

    Each patient's probability is that of the benchmark: the mean over the images, the prior that
    training added taken back.

    Args:
        runs: The candidate's runs.
        predictions: Gives the stored predictions of a run.
        run: A run whose own model is exported: its test patients take no part, so that its
            calibrated probabilities of them stay out of sample.
        methods: The methods to choose from.
    """
    chosen = choose_runs(runs.reset_index(drop=True))
    parts = []
    held_out: set[str] = set()
    for row in chosen[chosen["state"] == "done"].to_dict("records"):
        tested = patient_predictions(predictions(row["run"]), row["prior_logit_shift"])
        own = pd.DataFrame(
            {
                "patient": tested.patient_id,
                "target": tested.target,
                "probability": tested.corrected,
                "fold": row["fold"],
            }
        )
        parts.append(own)
    if run is not None:
        held_out = set(patient_predictions(predictions(run)).patient_id)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"patient": []})
    table = table[~table["patient"].isin(held_out)]
    classes = table.drop_duplicates("patient")["target"] if len(table) else pd.Series(dtype=int)
    events, others = int((classes == 1).sum()), int((classes == 0).sum())
    if min(events, others) < LEAST_EVENTS:
        reason = (
            f"{events} patients with the event and {others} without were predicted out of fold"
            f"{' and outside its test part' if run else ''}: fewer than {LEAST_EVENTS} of one kind"
        )
        return RecalibrationFit(Recalibration(), events + others, events, {}, {}, reason)
    # A patient tested by several seeds or repeats stays in one group, that of the first.
    group = table.groupby("patient")["fold"].transform("first")
    fitted = choose_recalibration(
        table["probability"].to_numpy(dtype=np.float64),
        table["target"].to_numpy(dtype=np.int64),
        group.tolist(),
        methods,
    )
    return RecalibrationFit(
        fitted.chosen, events + others, events, fitted.log_loss, fitted.brier, fitted.reason
    )
