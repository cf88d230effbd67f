"""The patients of one task, and the draws that all of its candidates share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError
from prognobench.evaluation import bootstrap
from prognobench.evaluation.choice import DONE
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.kinds import Patients, kind_of
from prognobench.evaluation.patients import Array, UnusablePredictionsError

MOST_TAKEN = 64
"""Sets of test patients, usually folds, whose draws are kept at hand."""


@dataclass(frozen=True)
class Task:
    """The patients of one dataset and endpoint, and the draws that all candidates share.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        patients: Per run that can be evaluated, its test patients.
        thresholds: Per such run, its thresholds by operating point.
        trained: Per such run, how many patients trained or validated it.
        index: All patients that are drawn from, sorted.
        weights: Multiplicities of shape [1 + B, patients], the first row all ones.
        kind: The kind of the outcome.
    """

    dataset: str
    endpoint: str
    patients: Mapping[str, Patients]
    thresholds: Mapping[str, Mapping[str, float | None]]
    trained: Mapping[str, int]
    index: pd.Index[Any]
    weights: Array
    kind: Kind = "binary"
    _taken: dict[tuple[str, ...], Array] = field(default_factory=dict, repr=False)

    def weights_of(self, run: str) -> Array:
        """Return the multiplicities of the test patients of one run."""
        patients = tuple(self.patients[run].patient_id)
        if patients not in self._taken:
            if len(self._taken) >= MOST_TAKEN:
                self._taken.clear()
            places = self.index.get_indexer(pd.Index(patients))
            self._taken[patients] = np.take(self.weights, places, axis=1)
        return self._taken[patients]


def read_task(
    runs: pd.DataFrame, read: Runs, replicates: int, tested: Collection[str] = ()
) -> tuple[Task, pd.DataFrame]:
    """Read the test patients of a task's runs, and draw the patients once for all of them.

    Args:
        runs: Runs of one dataset and endpoint, from
            :func:`~prognobench.evaluation.choice.choose_runs`.
        read: The finished runs.
        replicates: Number of bootstrap replicates.
        tested: All patients that are drawn from, since other runs test them; those of these runs
            when empty.

    Returns:
        The task, and the runs; those whose stored predictions cannot be evaluated are failed in
        it, with the reason.

    Raises:
        UserError: When a patient has different targets in different runs, or is not drawn from:
            candidates would then meet different draws.
    """
    runs = runs.astype({"reason": object})  # a column of missing reasons has no words yet
    dataset, endpoint = str(runs["dataset"].iloc[0]), str(runs["endpoint"].iloc[0])
    patients: dict[str, Patients] = {}
    thresholds: dict[str, Mapping[str, float | None]] = {}
    trained: dict[str, int] = {}
    outcome: dict[str, float] = {}
    done = runs[runs["state"] == DONE]
    read.read(done)
    for place, run in done.to_dict("index").items():
        try:
            own = read.finished(run)
        except UnusablePredictionsError as error:
            runs.loc[place, ["state", "reason"]] = ["failed", str(error)]
            continue
        patients[run["run"]] = own.by_patient.patients
        thresholds[run["run"]] = own.by_patient.thresholds
        trained[run["run"]] = own.trained
        agree(outcome, outcomes_of(own.by_patient.patients), dataset, endpoint)
    if tested and not outcome.keys() <= set(tested):
        raise UserError(
            f"the runs of {dataset}, {endpoint} tested patients whom no split of theirs names: "
            "put back the folder `splits`, or do `prognobench run` again"
        )
    index = pd.Index(sorted({*outcome, *tested}), dtype=object)
    weights = bootstrap.patient_multiplicities(len(index), replicates, dataset, endpoint)
    kind = kind_of(runs.iloc[0])
    return Task(dataset, endpoint, patients, thresholds, trained, index, weights, kind), runs


def outcomes_of(patients: Patients) -> dict[str, float]:
    """Return the target of each patient."""
    return dict(zip(patients.patient_id, patients.target.tolist(), strict=True))


def agree(known: dict[str, float], found: Mapping[str, float], dataset: str, endpoint: str) -> None:
    """Add the targets of patients to those that are known.

    Raises:
        UserError: When a patient has another one there.
    """
    if any(known.setdefault(patient, target) != target for patient, target in found.items()):
        raise UserError(
            f"the runs of {dataset}, {endpoint} disagree on a patient's outcome: their "
            "predictions come from different cohorts, and must not share an output folder"
        )
