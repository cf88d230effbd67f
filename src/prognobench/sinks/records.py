"""What a tracker is told of a benchmark: its runs as plain records, without anybody's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from prognobench.results.records import RunState

PARAMETERS = (
    *("dataset", "endpoint", "backbone", "strategy", "regime", "shots", "level"),
    *("split", "fold", "episode", "seed", "lr"),
)
"""Columns of the table of runs that say what a run is."""

MEASURED = ("validation_score", "train_seconds", "trainable_parameters")
"""Columns of the table of runs that go with the metrics of the test part."""


@dataclass(frozen=True)
class Record:
    """One run of a benchmark.

    Attributes:
        run: Its identity.
        done: Whether it is done; it failed otherwise.
        parameters: What it is.
        metrics: What came of it, by name, at patient level; those that are undefined are left
            out, and of learning rates that were not chosen there are none of the test part.
    """

    run: str
    done: bool
    parameters: Mapping[str, str | int | float]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, as a tracker shows it.

    Attributes:
        name: Its name.
        identity: The same for the same output folder, so that a benchmark goes on where it was.
        parameters: What it asks for, in words.
    """

    name: str
    identity: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """What a benchmark came to.

    Attributes:
        records: Its runs that are done or failed.
        files: The report without pictures of patients, and the tables.
    """

    records: Sequence[Record]
    files: Sequence[Path] = field(default_factory=tuple)


def records(runs: pd.DataFrame, results: pd.DataFrame) -> list[Record]:
    """Return the runs that have ended.

    Reasons of failures are left out: they may name an image.

    Args:
        runs: The table of runs.
        results: The table of ``results.csv``.
    """
    known = results[results["value"].notna()]
    metrics: dict[str, dict[str, float]] = {}
    for run, metric, value in zip(known["run"], known["metric"], known["value"], strict=True):
        metrics.setdefault(run, {})[metric] = float(value)
    ended = runs[runs["state"].isin([RunState.DONE, RunState.FAILED])]
    found = []
    for row in ended.to_dict("records"):
        measured = {name: float(row[name]) for name in MEASURED if pd.notna(row[name])}
        found.append(
            Record(
                run=str(row["run"]),
                done=row["state"] == RunState.DONE,
                parameters={name: row[name] for name in PARAMETERS if pd.notna(row[name])},
                metrics={**metrics.get(row["run"], {}), **measured},
            )
        )
    return found
