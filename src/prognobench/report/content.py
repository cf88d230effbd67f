"""What a report is made from: plain data, nothing that needs a model or a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.evaluation.cells import SETTING
from prognobench.evaluation.choice import IMPOSSIBLE
from prognobench.evaluation.controls import is_control
from prognobench.evaluation.detail import main_cells
from prognobench.evaluation.evaluated import PARTIAL, is_incomplete
from prognobench.evaluation.metric import Metric
from prognobench.evaluation.metrics import METRICS
from prognobench.report import words


@dataclass(frozen=True)
class Saliency:
    """Where a model looked, for some patients of one task.

    Attributes:
        task: The task's name.
        about: What was drawn and how: ``backbone, strategy, split, method`` and more, plain data;
            ``reason`` where nothing could be drawn.
        examples: The patients, without ids: ``kind`` (such as ``true positive``), ``target``,
            ``probability``, and ``picture`` (the path of a PNG: image and map beside each other).
    """

    task: str
    about: Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]] = ()


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
        audit: ``cohort/audit.json`` as a whole.
        contact_sheets: PNGs of what the models see.
        images: Whether pictures of patients are shown.
        saliency: Where the best candidate of each task looked.
        curves: ``curves`` of :class:`prognobench.evaluation.detail.Details`.
        subgroups: Its ``subgroups``.
        environment: Versions and hardware, plain data, nested by one level.
        digests: What proves that files are the same: name and SHA-256.
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
    audit: Mapping[str, Any] = field(default_factory=dict)
    contact_sheets: Sequence[Path] = ()
    images: bool = True
    saliency: Sequence[Saliency] = ()
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    subgroups: pd.DataFrame = field(default_factory=pd.DataFrame)
    digests: Mapping[str, str] = field(default_factory=dict)
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
        main: Whether it is the setting of its task that is looked at most closely.
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
    main: bool = False

    @property
    def task(self) -> str:
        """The task's name, ``<dataset>/<endpoint>``."""
        return f"{self.dataset}/{self.endpoint}"

    @property
    def setting(self) -> str:
        """The regime in words."""
        return settings([self])[0][0]

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
        return tuple(row for row in self.ranked if self.is_best(row))

    @property
    def without_result(self) -> tuple[Mapping[str, Any], ...]:
        """The rows without an estimate that could have one: runs are to be done, or failed."""
        return tuple(
            row for row in self.rows if row["estimate"] is None and row["state"] not in IMPOSSIBLE
        )

    @property
    def incomplete(self) -> tuple[Mapping[str, Any], ...]:
        """The ranked rows with missing runs, where the best has none missing: they rank last."""
        return tuple(row for row in self.ranked if self.is_incomplete(row))

    @property
    def all_partial(self) -> bool:
        """Whether even the best has missing runs, so that everybody has who has a result."""
        return bool(self.ranked) and self.ranked[0]["state"] == PARTIAL

    def is_incomplete(self, row: Mapping[str, Any]) -> bool:
        """Say whether a row has missing runs, and the best has none."""
        return is_incomplete(row, self.ranked[0])

    def is_best(self, row: Mapping[str, Any]) -> bool:
        """Say whether a row cannot be told apart from the best, by all that the best did."""
        return bool(row["best_group"]) and not self.is_incomplete(row)


def cells(content: ReportContent) -> list[Cell]:
    """Return the leaderboard cut into cells: tasks in its order, varied ones last in each."""
    table = content.leaderboard
    keys = ["dataset", "endpoint", *SETTING]
    main = {_key(row) for row in records(main_cells(table)[keys].drop_duplicates())}
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
                _key(first) in main,
            )
        )
    tasks = list(dict.fromkeys(cell.task for cell in found))
    return sorted(
        found, key=lambda cell: (tasks.index(cell.task), not cell.main, cell.varied is not None)
    )


def settings(found: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return settings in words, those of a regime together, each with its cells.

    Such as ``few-shot, 4 and 16 patients a class``.
    """
    regimes: dict[str, list[Cell]] = {}
    for cell in found:
        varied = "" if cell.varied is not None else " as a whole"
        regimes.setdefault(cell.regime + varied, []).append(cell)
    return [(_setting(own), own) for own in regimes.values()]


def _setting(own: Sequence[Cell]) -> str:
    first = own[0]
    if first.shots is not None:
        shots = list(dict.fromkeys(cell.shots for cell in own))
        drawn = words.CLASSES[first.metric.kind]
        where = ", of one site" if first.regime == "few_shot_one_site" else ""
        noun = "patient" if shots == [1] else "patients"
        return f"few-shot, {words.listing(map(str, shots))} {noun} {drawn}{where}"
    if first.level is not None:
        levels = dict.fromkeys(cell.level for cell in own if cell.level is not None)
        share = words.listing(f"{100 * level:g} %" for level in levels)
        return {
            "train_size": f"{share} of the training patients",
            "imbalance_patients": f"{share} events, the number of training patients fixed",
            "imbalance_events": f"{share} events, the number of training events fixed",
        }[first.regime]
    return "all training data" if first.regime == "full_data" else first.regime.replace("_", " ")


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("dataset", "endpoint", *SETTING))


def of_cell(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Return the rows of a table that belong to a cell."""
    if table.empty:
        return table
    kept = pd.Series(True, table.index)
    for name in ("dataset", "endpoint", *SETTING):
        wanted = getattr(cell, name)
        same = table[name].isna() if wanted is None else table[name] == wanted
        kept &= same.fillna(False).astype(bool)
    return table[kept]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as mappings of plain values, missing ones as None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
