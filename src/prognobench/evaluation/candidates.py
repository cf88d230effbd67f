"""A candidate's runs put together: folds into one estimate, episodes into a mean.

The point estimate and the bootstrap take the same way: everything has a first dimension of
1 + B weightings, of which the first is the data as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from prognobench.evaluation.kinds import Patients, sample_of
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.patients import Array

Key: TypeAlias = tuple[Any, ...]
"""Names a split with its seed, or what belongs together; made of plain values."""


@dataclass(frozen=True)
class Unit:
    """One run that is done, reduced to what its metrics need.

    Attributes:
        key: What was trained and tested on, the same for every candidate: seed and split.
        group: What it is put together with: a repeat's folds, or an episode's seeds.
        statistics: Per metric, statistics of shape [1 + B, k].
        valued: Per metric, its values of shape [1 + B].
        constant: The metrics for which the prediction does not differ between patients.
        undefined: Per metric without a value on the data as they are, the reason.
        size: How many test patients there are, and how many of them had the event (0 of a score).
    """

    key: Key
    group: Key
    statistics: Mapping[str, Array]
    valued: Mapping[str, Array]
    constant: frozenset[str]
    undefined: Mapping[str, str]
    size: tuple[int, int]

    def only(self, metric: str, *, summed: bool) -> Unit:
        """Return what comparisons by one metric need, which is little.

        Args:
            metric: The metric.
            summed: Whether statistics may have to be added up over folds.
        """
        added = summed and METRICS[metric].across_folds == "sum"
        return replace(
            self,
            statistics={metric: self.statistics[metric]} if added else {},
            valued={metric: self.valued[metric]},
        )


def make_unit(
    key: Key,
    group: Key,
    patients: Patients,
    *,
    thresholds: Mapping[str, float | None],
    weights: Array,
    metrics: Iterable[str],
) -> Unit:
    """Reduce one run's patients to the statistics of some metrics.

    Args:
        key: What was trained and tested on.
        group: What the run is put together with.
        patients: Its test patients.
        thresholds: Its thresholds on the probability, by operating point.
        weights: Weights of its patients, of shape [1 + B, n].
        metrics: Names of the metrics.
    """
    sample = sample_of(patients, thresholds, weights)
    names = list(metrics)
    statistics = {name: METRICS[name].statistics(sample) for name in names}
    reasons = {name: METRICS[name].undefined_reason(sample) for name in names}
    return Unit(
        key=key,
        group=group,
        statistics=statistics,
        valued={name: METRICS[name].value(statistics[name]) for name in names},
        constant=frozenset(n for n in names if METRICS[n].constant_prediction(sample)),
        size=(len(patients.target), patients.positives or 0),
        undefined={name: reason for name, reason in reasons.items() if reason is not None},
    )


def has_episodes(runs: pd.DataFrame) -> bool:
    """Return whether the runs of a cell are few-shot episodes, which are drawn, not folds."""
    return bool(runs["episode"].notna().all())


def run_groups(runs: pd.DataFrame) -> pd.DataFrame:
    """Say for each run of a cell what it tested and what it is put together with.

    In the few-shot regime an episode is a group, whatever its seeds. Elsewhere the folds of one
    seed and one repeat are a group; the repeats of a fold are told apart by their split ids,
    in the order of those ids.

    Args:
        runs: Runs of one dataset, endpoint, regime and number of shots, all candidates.

    Returns:
        Columns ``key`` and ``group`` (tuples), on the index of ``runs``.
    """
    columns = ["seed", "fold", "split"]
    places = runs[columns].drop_duplicates().sort_values(columns)
    places["repeat"] = places.groupby(["seed", "fold"], dropna=False).cumcount()
    repeat = runs[columns].merge(places, on=columns, how="left")["repeat"].to_numpy()
    keys: list[Key] = list(
        zip(runs["seed"], runs["split"], runs["fold"], runs["episode"], strict=True)
    )
    groups: list[Key] = [key[1:] for key in keys]
    if not has_episodes(runs):
        groups = list(zip(runs["seed"], repeat, strict=True))
    # Missing episodes must compare equal to each other, which NaN and NA do not.
    plain = [tuple(None if pd.isna(part) else part for part in key) for key in keys]
    grouped = [tuple(None if pd.isna(part) else part for part in group) for group in groups]
    return pd.DataFrame({"key": plain, "group": grouped}, index=runs.index)


def estimate(
    units: Iterable[Unit], metric: Metric, group_weights: Mapping[Key, Array] | None
) -> Array:
    """Put a candidate's runs together into one estimate and its replicates.

    Args:
        units: The candidate's runs.
        metric: The metric.
        group_weights: Per group, how often it is drawn, of shape [1 + B], in the few-shot
            regime, where each run is valued alone and episodes are resampled. None elsewhere:
            folds are put together as the metric says, and groups (seeds, repeats) are averaged.

    Returns:
        Values of shape [1 + B]: the estimate, then its replicates; NaN where no fold or episode
        has a value. Folds and episodes without a value are left out of the mean.
    """
    groups = _grouped(units)
    if not groups:
        raise ValueError("an estimate needs at least one run")
    values = []
    for members in groups.values():
        if group_weights is None and metric.across_folds == "sum":
            summed = np.sum([unit.statistics[metric.name] for unit in members], axis=0)
            values.append(metric.value(summed))
        else:
            values.append(_mean_of_defined([unit.valued[metric.name] for unit in members]))
    if group_weights is None:
        return _mean_of_defined(values)
    return _mean_of_defined(values, [group_weights[group] for group in groups])


def _grouped(units: Iterable[Unit]) -> dict[Key, list[Unit]]:
    groups: dict[Key, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.group, []).append(unit)
    return groups


def chance_level(units: Iterable[Unit], metric: Metric, *, episodes: bool) -> float | None:
    """Return what scores without information would give, put together as the estimate is.

    Where statistics are summed over folds, each fold has the weight of its patients, whatever
    their outcomes; elsewhere the mean is over the folds that have a value.

    Args:
        units: The candidate's runs.
        metric: The metric.
        episodes: Whether they are few-shot episodes, each of which is valued alone.

    Returns:
        The level at these folds' numbers of patients and events, since few events raise that of
        the average precision; None where the metric has none or the estimate is undefined.
    """
    chance = metric.chance
    if chance is None:
        return None
    if metric.kind != "binary":
        return chance(0, 0)
    levels = []
    for members in _grouped(units).values():
        if not episodes and metric.across_folds == "sum":
            summed = np.sum([unit.statistics[metric.name][0] for unit in members], axis=0)
            defined, weights = members, [unit.size[0] for unit in members]
            if not np.isfinite(metric.value(summed)):
                continue
        else:
            defined = [unit for unit in members if np.isfinite(unit.valued[metric.name][0])]
            weights = [1] * len(defined)
        if defined:
            levels.append(np.average([chance(*unit.size) for unit in defined], weights=weights))
    return float(np.mean(levels)) if levels else None


def _mean_of_defined(values: list[Array], weights: list[Array] | None = None) -> Array:
    """Return the mean over the list, leaving out NaN; NaN where nothing is left."""
    stacked = np.stack(values)
    weight = np.isfinite(stacked) * (1.0 if weights is None else np.stack(weights))
    total = weight.sum(axis=0)
    summed = (np.nan_to_num(stacked) * weight).sum(axis=0)
    mean: Array = np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)
    return mean
