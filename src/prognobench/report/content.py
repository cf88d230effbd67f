"""What a report is made from: plain data, nothing that needs a model or a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.evaluation.controls import is_control
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.metrics import METRICS


@dataclass(frozen=True)
class ReportContent:
    """Everything the report shows.

    Attributes:
        title: Name of the benchmark.
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.
        results: The table of :func:`prognobench.evaluation.tables.run_metrics`.
        runs: One row a run: at least ``run, state, reason, dataset, endpoint, backbone,
            strategy, regime, shots, split, seed``.
        ranks: The table of :func:`prognobench.evaluation.rank_table.rank_table`.
        confidence: The share that the leaderboard's intervals hold, such as 0.95.
        spec: The resolved spec, as YAML.
        search_note: Where the strategies had different search budgets, a sentence that says so.
        provenance: Where the cohort came from, such as ``title, version, licence, citation,
            url``.
        outcomes: Per task, its positive class in words.
        flows: Per task (``<dataset>/<endpoint>``), the participant flow in order: mappings with
            ``step`` (``source``, a rule, or ``task``), ``reason``, ``images``, ``patients`` and
            ``events`` (None where unknown). The first and last count what is there, the others
            what a rule took out.
        audits: Per task, its audit: ``warnings`` (sentences), and further plain facts. Lists in
            it are counted and not shown, because they may name patients.
        contact_sheet: A PNG of what the models see.
        environment: Versions and hardware, plain data, nested by one level.
        backbones: One row a backbone; all columns are shown.
        metrics: The metrics by name.
    """

    title: str
    leaderboard: pd.DataFrame
    results: pd.DataFrame
    runs: pd.DataFrame
    ranks: pd.DataFrame = field(default_factory=pd.DataFrame)
    confidence: float = 0.95
    spec: str = ""
    search_note: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    flows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    audits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contact_sheet: Path | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    backbones: pd.DataFrame | None = None
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)


@dataclass(frozen=True)
class Cell:
    """The candidates of one task, regime and number of shots.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        regime: Name of the regime.
        shots: Patients a class in the few-shot regime, else None.
        level: Share of the training patients, or of events among them, where the regime varies
            it, else None.
        rows: The candidates' leaderboard rows as mappings, missing values as None, by rank.
        controls: The rows of the controls, likewise; they have no rank.
        metric: The metric they are ranked by.
        confidence: The share that intervals hold.
    """

    dataset: str
    endpoint: str
    regime: str
    shots: int | None
    level: float | None
    rows: tuple[Mapping[str, Any], ...]
    metric: Metric
    confidence: float
    controls: tuple[Mapping[str, Any], ...] = ()

    @property
    def task(self) -> str:
        """The task's name, ``<dataset>/<endpoint>``."""
        return f"{self.dataset}/{self.endpoint}"

    @property
    def setting(self) -> str:
        """The regime in words."""
        if self.shots is not None:
            where = " of one site" if self.regime == "few_shot_one_site" else ""
            return f"few-shot, {self.shots} patient{'s' if self.shots > 1 else ''} a class{where}"
        if self.level is not None:
            share = f"{100 * self.level:g} %"
            return {
                "train_size": f"{share} of the training patients",
                "imbalance_patients": f"{share} events, the number of training patients fixed",
                "imbalance_events": f"{share} events, the number of training events fixed",
            }[self.regime]
        return "all training data" if self.regime == "full_data" else self.regime.replace("_", " ")

    @property
    def varied(self) -> float | None:
        """What a curve has on its abscissa: shots, or the level; None where nothing varies."""
        return self.level if self.shots is None else self.shots

    @property
    def ranked(self) -> tuple[Mapping[str, Any], ...]:
        """The rows that have an estimate, the best first."""
        return tuple(row for row in self.rows if row["estimate"] is not None)

    @property
    def best(self) -> tuple[Mapping[str, Any], ...]:
        """The ranked rows that cannot be told apart from the best, the best included."""
        return tuple(row for row in self.ranked if row["best_group"])


def cells(content: ReportContent) -> list[Cell]:
    """Return the leaderboard cut into cells: tasks in its order, varied ones last in each."""
    table = content.leaderboard
    keys = ["dataset", "endpoint", "regime", "shots", "level"]
    found = []
    for _, rows in table.groupby(keys, sort=False, dropna=False):
        plain = tuple(records(rows))
        first = plain[0]
        metric = content.metrics[first["metric"]]
        dataset, endpoint, regime, shots, level = (first[key] for key in keys)
        candidates = tuple(row for row in plain if not is_control(row))
        found.append(
            Cell(
                dataset,
                endpoint,
                regime,
                shots,
                level,
                candidates,
                metric,
                content.confidence,
                tuple(row for row in plain if is_control(row)),
            )
        )
    tasks = list(dict.fromkeys(cell.task for cell in found))
    return sorted(found, key=lambda cell: (tasks.index(cell.task), cell.varied is not None))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as mappings of plain values, missing ones as None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
