"""An evaluated candidate as one row of a Parquet table, and back: numbers stay what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from prognobench.evaluation.candidates import Unit
from prognobench.evaluation.evaluated import EvaluatedCandidate
from prognobench.evaluation.finished import Measured, distinct
from prognobench.evaluation.paired import Candidate, TestedRun
from prognobench.evaluation.patients import Array
from prognobench.evaluation.patients import Unit as Counted

UNITS: tuple[Counted, ...] = ("patient", "image")

NUMBERS = ("headline", "values", "targets", "probabilities", "replicates", "statistics")
"""Columns of numbers; all else stands as JSON in the column ``about``."""

SCHEMA = pa.schema(
    [("key", pa.string()), ("about", pa.string())]
    + [(name, pa.list_(pa.float64())) for name in NUMBERS]
)


def packed(key: str, own: EvaluatedCandidate) -> dict[str, Any]:
    """Return an evaluated candidate as a row of :data:`SCHEMA`, under a key."""
    candidate = own.candidate
    alike = all(run["image"] is run["patient"] for run in own.measured.values())
    units = UNITS[:1] if alike else UNITS
    measured = [run[unit] for unit in units for run in own.measured.values()]
    scored = [run.scores for run in candidate.runs.values() if run.scores is not None]
    metric = str(candidate.row["metric"])
    summed = [unit.statistics[metric] for unit in candidate.units if unit.statistics]
    about = {
        "row": candidate.row,
        "complete": candidate.complete,
        "rarer": candidate.rarer,
        "runs": [
            [
                key,
                run.run,
                run.value,
                run.tested,
                run.trained,
                len(run.scores[0]) if run.scores else None,
            ]
            for key, run in candidate.runs.items()
        ],
        "units": [
            [unit.key, unit.group, sorted(unit.constant), dict(unit.undefined), unit.size]
            for unit in candidate.units
        ],
        "summed": bool(summed),
        "tested": dict(own.tested),
        "troubles": dict(own.troubles),
        "measured": list(own.measured),
        "reasons": distinct(one.reasons for one in measured),
        "constant": distinct(one.constant for one in measured),
        "sizes": [one.size for one in measured],
    }
    return {
        "key": key,
        "about": json.dumps(about, separators=(",", ":"), default=_plain),
        "headline": candidate.headline,
        "values": _joined([one.value for one in measured]),
        "targets": _joined([target.astype(np.float64) for target, _ in scored]),
        "probabilities": _joined([probability for _, probability in scored]),
        "replicates": _joined([unit.valued[metric] for unit in candidate.units]),
        "statistics": _joined([one.ravel() for one in summed]),
    }


def unpacked(row: Mapping[str, Any]) -> EvaluatedCandidate:
    """Return the evaluated candidate of a row that :func:`packed` made.

    Args:
        row: The row: ``about``, and :data:`NUMBERS` as arrays.
    """
    about = json.loads(row["about"])
    sizes = [entry[5] for entry in about["runs"]]
    targets = _parts(row["targets"].astype(np.int64), sizes)
    probabilities = _parts(row["probabilities"], sizes)
    runs = {
        _key(key): TestedRun(run, value, tested, trained, None if size is None else scores)
        for (key, run, value, tested, trained, size), scores in zip(
            about["runs"], zip(targets, probabilities, strict=True), strict=True
        )
    }
    candidate = Candidate(
        about["row"],
        runs,
        row["headline"],
        about["complete"],
        about["rarer"],
        _units(about, row),
    )
    measured = _measured(about, row["values"])
    return EvaluatedCandidate(candidate, about["tested"], measured, about["troubles"])


def _units(about: Mapping[str, Any], row: Mapping[str, Any]) -> list[Unit]:
    """Return the runs of an incomplete candidate with their replicates."""
    count, metric = len(about["units"]), about["row"]["metric"]
    if not count:
        return []
    valued = row["replicates"].reshape(count, -1)
    statistics: list[Mapping[str, Array]] = [{}] * count
    if about["summed"]:
        summed = row["statistics"].reshape(count, valued.shape[1], -1)
        statistics = [{metric: one} for one in summed]
    return [
        Unit(
            _key(key),
            _key(group),
            own,
            {metric: values},
            frozenset(constant),
            undefined,
            tuple(size),
        )
        for (key, group, constant, undefined, size), own, values in zip(
            about["units"], statistics, valued, strict=True
        )
    ]


def _measured(about: Mapping[str, Any], values: Array) -> dict[str, dict[Any, Measured]]:
    """Return every metric of each run."""
    count = len(about["sizes"])
    if not count:
        return {}
    told = zip(
        values.reshape(count, -1),
        _each(about["reasons"]),
        _each(about["constant"]),
        about["sizes"],
        strict=True,
    )
    found = [
        Measured(value, reasons, constant, tuple(size)) for value, reasons, constant, size in told
    ]
    runs = about["measured"]
    by_image = found[len(runs) :] or found  # of one image each, patients and images are the same
    return {
        run: {"patient": found[place], "image": by_image[place]} for place, run in enumerate(runs)
    }


def _each(lists: tuple[list[list[Any]], list[int]]) -> Iterator[list[Any]]:
    """Yield the lists that ``distinct`` was given; equal ones are one."""
    different, places = lists
    return (different[place] for place in places)


def _key(given: Sequence[Any]) -> tuple[Any, ...]:
    """Return a key that JSON made a list."""
    return tuple(given)


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if parts else np.empty(0)


def _parts(values: NDArray[Any], sizes: Sequence[int | None]) -> list[NDArray[Any]]:
    """Return pieces of an array, of some sizes; None has no piece, and none of the values."""
    ends = accumulate((size or 0 for size in sizes), initial=0)
    return [values[first:last] for first, last in pairwise(ends)]


def _plain(value: Any) -> Any:
    """Return as JSON knows it a value that it does not know: a NumPy scalar, or a missing one."""
    if value is pd.NA:
        return None
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
