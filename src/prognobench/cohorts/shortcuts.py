"""How well what is not in the lungs predicts the outcome: view, site and sex by themselves.

A model that reads the projection off the image reaches at least what the projection alone
reaches. An endpoint that can be told from the view is no proof of prognosis from the image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prognobench.randomness import derived_seed, generator

FOLDS = 5
RESAMPLES = 1000
MISSING = "(missing)"

_Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """How well one column alone tells who has the event.

    Attributes:
        column: The column.
        patients: Number of patients.
        events: Number of patients with the event.
        auroc: AUROC of each category's event rate, learned on the other folds and judged within
            a fold; None where it cannot be had.
        ci_low: Lower end of its 95 % interval (bootstrap over patients).
        ci_high: Upper end.
        reason: Why there is no AUROC.
        warning: A sentence where the lower end is above 0.5, else empty.
    """

    column: str
    patients: int
    events: int
    auroc: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str = ""
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def shortcut(patients: pd.DataFrame, column: str, endpoint: str) -> Shortcut:
    """Measure how well one column alone tells who has the event.

    Args:
        patients: One row a patient with ``target`` (0 or 1) and the column.
        column: A column of categories; a missing one is a category of its own.
        endpoint: The endpoint, for the warning.
    """
    categories = patients[column].astype(object).where(patients[column].notna(), MISSING).map(str)
    target = patients["target"].to_numpy(dtype=np.int64)
    size, events = len(target), int(target.sum())
    if categories.nunique() < 2:
        return Shortcut(column, size, events, reason="all patients have the same value")
    folds = min(FOLDS, events, size - events)
    if folds < 2:
        return Shortcut(column, size, events, reason="a class has fewer than two patients")
    codes, words = pd.factorize(categories)
    auroc, low, high = _within_folds(codes, len(words), target, folds, column)
    warning = ""
    if low > 0.5:
        warning = (
            f"{column} alone tells who has the outcome '{endpoint}' with an AUROC of {auroc:.2f} "
            f"({low:.2f} to {high:.2f}): a model may read the {column} instead of the disease; "
            f"compare each model with that figure, and look at the results within each {column}"
        )
    return Shortcut(column, size, events, auroc, low, high, warning=warning)


def _within_folds(
    codes: npt.NDArray[np.int64],
    categories: int,
    target: npt.NDArray[np.int64],
    folds: int,
    column: str,
) -> tuple[float, float, float]:
    """Return the AUROC of out-of-fold event rates and its 95 % interval.

    Patients are compared within their fold only. Across folds, the rates of one category differ
    by chance and against the truth (an event taken out lowers the rate that it is judged by),
    which would put a category without any bearing well below 0.5.
    """
    from sklearn.model_selection import StratifiedKFold

    # scikit-learn takes no seed of more than 32 bits.
    seed = derived_seed("shortcut", "folds", column) % 2**32
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    events = np.zeros((folds, categories))
    others = np.zeros((folds, categories))
    for fold, (_, test) in enumerate(splitter.split(codes, target)):
        np.add.at(events[fold], codes[test[target[test] == 1]], 1)
        np.add.at(others[fold], codes[test[target[test] == 0]], 1)
    learned_events, learned_others = events.sum(0) - events, others.sum(0) - others
    seen = learned_events + learned_others
    overall = learned_events.sum(1, keepdims=True) / seen.sum(1, keepdims=True)
    rates = np.where(seen > 0, learned_events / np.maximum(seen, 1), overall)
    higher = rates[:, :, None] > rates[:, None, :]
    equal = rates[:, :, None] == rates[:, None, :]
    wins = higher + 0.5 * equal
    random = generator("shortcut", "bootstrap", column)
    # Drawing patients of a class anew is drawing the counts of its folds and categories.
    drawn_events = _resampled(events, random)
    drawn_others = _resampled(others, random)
    low, high = np.nanquantile(_concordance(drawn_events, drawn_others, wins), [0.025, 0.975])
    auroc = _concordance(events[None], others[None], wins)[0]
    return float(auroc), float(low), float(high)


def _resampled(counts: _Counts, random: np.random.Generator) -> _Counts:
    total = int(counts.sum())
    drawn = random.multinomial(total, counts.ravel() / total, size=RESAMPLES)
    return drawn.reshape(RESAMPLES, *counts.shape).astype(np.float64)


def _concordance(events: _Counts, others: _Counts, wins: _Counts) -> _Counts:
    won = np.einsum("rfk,fkl,rfl->r", events, wins, others, optimize=True)
    pairs = (events.sum(2) * others.sum(2)).sum(1)
    share: _Counts = np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)
    return share
