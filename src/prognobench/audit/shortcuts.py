"""How well what is not in the lungs predicts the outcome: view, site, file, day, by themselves.

A model that reads the projection off the image reaches at least what the projection alone reaches.
An endpoint that can be told from the view is no proof of prognosis from the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from prognobench.evaluation.bootstrap import patient_multiplicities, percentile_interval
from prognobench.evaluation.ranking_metrics import concordance, pairs
from prognobench.evaluation.sample import Sample
from prognobench.randomness import derived_seed

FOLDS = 5
RESAMPLES = 1000
CONFIDENCE = 0.95
MISSING = "(missing)"

MOST_CATEGORIES = 20
"""Categories that a column keeps; rarer ones are one."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """How well something alone tells who has the event.

    Attributes:
        column: What it is, in a word or two.
        patients: Number of patients.
        events: Number of patients with the event.
        auroc: AUROC of a logistic regression on it alone, learned on the other folds and judged
            within a fold; None where it cannot be had.
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


def shortcut(
    patients: pd.DataFrame, name: str, endpoint: str, columns: Sequence[str] = ()
) -> Shortcut:
    """Measure how well something alone tells who has the event.

    Categories are a column each; numbers enter by their rank, linearly and squared, so that both
    ends or one may carry the risk. A missing value is a category, or has a column of its own.

    Args:
        patients: One row a patient with ``target`` (0 or 1) and the columns.
        name: What it is called.
        endpoint: The endpoint, for the warning.
        columns: The columns of it; the one called ``name`` when there are none.
    """
    known = patients[list(columns or (name,))]
    target = patients["target"].to_numpy(dtype=np.int64)
    size, events = len(target), int(target.sum())
    if len(known.drop_duplicates()) < 2:
        return Shortcut(name, size, events, reason="all patients have the same value")
    folds = min(FOLDS, events, size - events)
    if folds < 2:
        return Shortcut(name, size, events, reason="a class has fewer than two patients")
    auroc, low, high = _within_folds(_encoded(known), target, folds, (name, endpoint))
    warning = ""
    if low > 0.5:
        numeric = all(pd.api.types.is_numeric_dtype(known[column]) for column in known)
        among = f"patients of like {name}" if numeric else f"patients of one {name}"
        warning = (
            f"{name} alone tells who has the outcome '{endpoint}' with an AUROC of {auroc:.2f} "
            f"({low:.2f} to {high:.2f}, chance is 0.50): a model may read the {name} instead of "
            f"the disease; compare each model with that figure, and look at its results among "
            f"{among}"
        )
    return Shortcut(name, size, events, auroc, low, high, warning=warning)


def _encoded(known: pd.DataFrame) -> _Floats:
    """Return the columns as numbers in [-1, 1], float64 [N, D]; no outcome plays a part."""
    parts: list[_Floats] = []
    for name in known.columns:
        column = known[name]
        if pd.api.types.is_numeric_dtype(column):
            ranks: _Floats = np.array(column.rank(pct=True) * 2 - 1, dtype=np.float64)
            missing = np.isnan(ranks)
            ranks[missing] = 0.0
            parts += [ranks, np.square(ranks) * 2 - 1, missing * 2.0 - 1]
            continue
        words = column.astype(object).where(column.notna(), MISSING).map(str)
        kept = words.value_counts().index[:MOST_CATEGORIES]
        parts += [np.where(words == word, 1.0, -1.0) for word in kept]
    return np.stack(parts, axis=1)


def _within_folds(
    values: _Floats, target: npt.NDArray[np.int64], folds: int, stream: tuple[str, str]
) -> tuple[float, float, float]:
    """Return the AUROC of out-of-fold predictions and its 95 % interval.

    Patients are compared within their fold only. Across folds, the predictions for equal values
    differ by chance and against the truth (an event taken out lowers the rate that it is judged
    by), which would put what has no bearing well below 0.5.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    # scikit-learn takes no seed of more than 32 bits.
    seed = derived_seed("shortcut", "folds", stream[0]) % 2**32
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    weights = patient_multiplicities(len(target), RESAMPLES, "shortcut", "/".join(stream))
    statistics = np.zeros((len(weights), 2))
    for train, test in splitter.split(values, target):
        model = LogisticRegression().fit(values[train], target[train])
        predicted = model.predict_proba(values[test])[:, 1]
        statistics += pairs(Sample(target[test], predicted, predicted, {}, weights[:, test]))
    aurocs = concordance(statistics)
    rarer = int(min(target.sum(), len(target) - target.sum()))
    low, high = percentile_interval(aurocs[1:], CONFIDENCE, rarer)
    return float(aurocs[0]), low, high
