"""Runs with predictions whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

RUN = {
    "state": "done",
    "reason": None,
    "dataset": "simulated",
    "endpoint": "icu",
    "backbone": "resnet18",
    "strategy": "linear",
    "regime": "full_data",
    "shots": pd.NA,
    "level": float("nan"),
    "split": "fold0",
    "fold": 0,
    "episode": pd.NA,
    "seed": 0,
    "lr": 1e-3,
    "validation_score": float("nan"),
    "prior_logit_shift": 0.0,
    "trainable_parameters": 513,
    "train_seconds": 2.0,
    "threshold": 0.5,
}


def runs_table(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame([{**RUN, **row} for row in rows])
    table["reason"] = table["reason"].astype(object)
    return table.astype({"shots": "Int64", "episode": "Int64"})


def predictions_table(patients, target, logit, part="test") -> pd.DataFrame:
    logit = np.asarray(logit, dtype=float)
    return pd.DataFrame(
        {
            "patient_id": [str(patient) for patient in patients],
            "image_id": [f"image{i}" for i in range(len(logit))],
            "part": part,
            "target": np.asarray(target, dtype=int),
            "logit": logit,
            "probability": 1 / (1 + np.exp(-logit)),
        }
    )


def cross_validated(
    random: np.random.Generator,
    effects: dict[str, float],
    patients: int = 100,
    prevalence: float = 0.3,
    folds: int = 5,
    images: int = 3,
    noise: float = 0.0,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Candidates on the same patients; an image's logit is effect * target + patient + noise."""
    target = (np.arange(patients) < round(prevalence * patients)).astype(int)
    fold = np.arange(patients) % folds
    rows, stored = [], {}
    for strategy, effect in effects.items():
        patient = effect * (target - 0.5) + random.normal(size=patients)
        for number in range(folds):
            members = np.repeat(np.flatnonzero(fold == number), images)
            run = f"{strategy}-{number}"
            logit = patient[members] + noise * random.normal(size=len(members))
            stored[run] = predictions_table(members, target[members], logit)
            rows.append({"run": run, "strategy": strategy, "fold": number, "split": f"f{number}"})
    return runs_table(rows), stored
