"""Subgroups: whether a candidate serves every site, sex, age and view alike.

Values are of the same predictions as the leaderboard's, restricted to the patients of a group, on
the same draws. Pairs of patients are compared within a fold only, since scores of different
models share no scale, and pairs are summed over folds, since a fold may hold a handful of a group.
Groups with few events have no numbers: they would be read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prognobench.cohorts.ages import years_of
from prognobench.cohorts.tables import cell_text, find_column
from prognobench.evaluation import bootstrap
from prognobench.evaluation.candidates import Key
from prognobench.evaluation.metric import mean_of
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.operating_curves import Examined, mean_of_defined
from prognobench.evaluation.patients import Array, PatientPredictions
from prognobench.evaluation.ranking_metrics import concordance, pairs
from prognobench.evaluation.sample import Sample

SMALLEST_GROUP = 10
"""Patients with, and without, the event that a subgroup needs for its numbers to be shown."""

FEW_EVENTS = f"fewer than {SMALLEST_GROUP} patients with the event"
FEW_OTHERS = f"fewer than {SMALLEST_GROUP} patients without the event"
"""Why a subgroup has no numbers."""

MOST_GROUPS = 12
"""Of a column with more values than this, the largest groups are kept and the rest put together."""

EVERYBODY = "everybody"
OTHERS = "all others"
NOT_KNOWN = "not known"

AGE_BANDS = ((0, 40), (40, 60), (60, 80), (80, np.inf))
"""Ages from the first number of years to below the second."""

SUBGROUP_COLUMNS = (
    *("attribute", "group", "n_patients", "n_events"),
    *("metric", "value", "ci_low", "ci_high", "reason"),
)

Statistics = Callable[[Sample], Array]
Value = Callable[[Array], Array]


def _observed_and_expected(sample: Sample) -> Array:
    """Return, of shape [B, 2]: events, and the sum of the corrected probabilities."""
    columns: Array = sample.weights @ np.stack([sample.target, sample.corrected], axis=1)
    return columns


MEASURES: Mapping[str, tuple[Statistics, Value]] = {
    **{
        name: (METRICS[name].statistics, METRICS[name].value)
        for name in ("mcc", "sensitivity", "specificity")
    },
    "auroc": (pairs, concordance),
    "observed_to_expected": (_observed_and_expected, mean_of),
}
"""What is told of a subgroup: statistics that are summed over folds, and their value."""


def patient_groups(images: pd.DataFrame, image_ids: Sequence[str]) -> pd.DataFrame:
    """Return the subgroups of each patient: site, sex, age band and view.

    A patient with several images has the values of the first.

    Args:
        images: One row an image: ``image_id, patient_id, acquired, site, view`` and the clinical
            columns, of which those named like sex and age are taken.
        image_ids: The images that were tested.

    Returns:
        Texts, one row a patient (the index), one column an attribute that is known of somebody
        and differs.
    """
    own = images[images["image_id"].isin(set(image_ids))]
    ordered = own.sort_values(["acquired", "image_id"], na_position="last")
    firsts = ordered.drop_duplicates("patient_id").set_index("patient_id")
    columns = {name: _texts(firsts[name]) for name in ("site",) if name in firsts}
    if sex := find_column(firsts, "sex"):
        columns["sex"] = _texts(firsts[sex])
    if age := find_column(firsts, "age"):
        columns["age"] = pd.Series([_band(years) for years in firsts[age]], firsts.index)
    if "view" in firsts:
        columns["view"] = _texts(firsts["view"])
    table = pd.DataFrame({name: _largest(own) for name, own in columns.items()}, firsts.index)
    return table[[name for name in table if len(set(table[name])) > 1]]


def subgroup_values(
    tested: Sequence[Examined],
    thresholds: Sequence[Mapping[str, float | None]],
    groups: pd.DataFrame,
    confidence: float,
) -> pd.DataFrame:
    """Return what a candidate reaches in each subgroup.

    Args:
        tested: The candidate's runs.
        thresholds: For each of them its thresholds by operating point.
        groups: From :func:`patient_groups`.
        confidence: Share of the replicates an interval holds.

    Returns:
        Columns :data:`SUBGROUP_COLUMNS`, one row a subgroup and measure, those of everybody
        first. Where fewer than :data:`SMALLEST_GROUP` patients had the event, or had it not, the
        value is empty and ``reason`` says so; the smaller number itself is not given either.
    """
    everybody = pd.Series(EVERYBODY, pd.Index(sorted(_names(tested)), dtype=object))
    rows = []
    for attribute, column in [(EVERYBODY, everybody), *groups.items()]:
        for group in _ordered(column):
            members = set(column.index[column == group])
            about = {"attribute": str(attribute), "group": group}
            rows += _group_rows(tested, thresholds, members, about, confidence)
    return pd.DataFrame(rows, columns=list(SUBGROUP_COLUMNS))


def _group_rows(
    tested: Sequence[Examined],
    thresholds: Sequence[Mapping[str, float | None]],
    members: set[str],
    about: Mapping[str, str],
    confidence: float,
) -> list[dict[str, object]]:
    own = [_restricted(one, members) for one in tested]
    outcome: dict[str, int] = {}
    for one in own:
        outcome.update(zip(one.patients.patient_id, one.patients.target.tolist(), strict=True))
    patients, events = len(outcome), sum(outcome.values())
    row: dict[str, object] = dict(about)
    if not patients:
        return []
    reason = None
    if events < SMALLEST_GROUP:
        reason, shown = FEW_EVENTS, None
    elif patients - events < SMALLEST_GROUP:
        reason, shown = FEW_OTHERS, None
    else:
        shown = events
    row |= {"n_patients": patients, "n_events": shown, "reason": reason}
    rows = []
    for name, (statistics, value) in MEASURES.items():
        found = (np.nan, np.nan, np.nan)
        if reason is None:
            values = _value(own, thresholds, statistics, value)
            found = (
                float(values[0]),
                *bootstrap.percentile_interval(
                    values[1:], confidence, min(events, patients - events)
                ),
            )
        rows.append(row | dict(zip(("value", "ci_low", "ci_high"), found, strict=True)))
        rows[-1]["metric"] = name
    return rows


def _value(
    tested: Sequence[Examined],
    thresholds: Sequence[Mapping[str, float | None]],
    statistics: Statistics,
    value: Value,
) -> Array:
    """Return the measure, of shape [1 + B]: summed over a group's folds, averaged over groups."""
    sums: dict[Key, Array] = {}
    drawn: dict[Key, Array | None] = {}
    for one, own in zip(tested, thresholds, strict=True):
        if len(one.patients.target):
            found = statistics(Sample.of(one.patients, own, one.weights))
            sums[one.group] = sums[one.group] + found if one.group in sums else found
            drawn[one.group] = one.drawn
    values = [value(found)[:, None] for found in sums.values()]
    drawn_of = [drawn[group] for group in sums]
    weights = [np.ones(len(values[0])) if own is None else own for own in drawn_of]
    return mean_of_defined(values, weights)[:, 0]


def _restricted(tested: Examined, members: set[str]) -> Examined:
    """Return a run with only some of its test patients."""
    own = tested.patients
    kept = np.array([name in members for name in own.patient_id], dtype=bool)
    fewer = PatientPredictions(
        own.patient_id[kept],
        own.target[kept],
        own.probability[kept],
        own.corrected[kept],
        own.images[kept],
    )
    return Examined(tested.group, fewer, tested.weights[:, kept], tested.drawn)


def _names(tested: Sequence[Examined]) -> set[str]:
    return {name for one in tested for name in one.patients.patient_id}


def _texts(column: pd.Series) -> pd.Series:
    known = column.astype(object).map(lambda cell: cell_text(cell) or NOT_KNOWN)
    return known.replace({"unknown": NOT_KNOWN})


def _band(cell: Any) -> str:
    age = years_of(cell)
    if age is None:
        return NOT_KNOWN
    for low, high in AGE_BANDS:
        if low <= age < high:
            return f"{low} to {high - 1:g}" if np.isfinite(high) else f"{low} and over"
    return NOT_KNOWN


def _largest(column: pd.Series) -> pd.Series:
    """Keep the largest groups of a column with many."""
    counts = column.value_counts()
    if len(counts) <= MOST_GROUPS:
        return column
    kept = set(counts.index[: MOST_GROUPS - 1])
    return column.where(column.isin(kept), OTHERS)


def _ordered(column: pd.Series) -> list[str]:
    """Return a column's groups in the order of their names, what is not known last."""
    return sorted(set(column), key=lambda name: (name in (OTHERS, NOT_KNOWN), name))
