"""``prognobench ls``: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from prognobench.cli.options import JsonOption

WIDE = 170
"""Columns of a terminal that all there is to say of a backbone takes."""

_BESIDES = ("gflops", "pretraining", "weights", "terms")
"""What is left out on a narrow terminal."""


class Kind(StrEnum):
    """What can be listed."""

    BACKBONES = "backbones"
    STRATEGIES = "strategies"
    COHORTS = "cohorts"
    METRICS = "metrics"


def ls(
    kind: Annotated[Kind, typer.Argument(help="What to list.")], as_json: JsonOption = False
) -> None:
    """List backbones, strategies, cohort sources or metrics."""
    listings: dict[Kind, Callable[[], list[dict[str, Any]]]] = {
        Kind.BACKBONES: _backbones,
        Kind.STRATEGIES: _strategies,
        Kind.COHORTS: _cohorts,
        Kind.METRICS: _metrics,
    }
    rows = listings[kind]()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from prognobench.cli.console import results_console
    from prognobench.cli.tables import print_records, print_table

    if kind == Kind.COHORTS:
        print_records(results_console(), rows)
    elif kind == Kind.STRATEGIES:
        print_table(results_console(), [{**row, "backbones": None} for row in rows])
        _print_matrix(rows)
    else:
        console = results_console()
        narrow = kind == Kind.BACKBONES and console.width < WIDE
        left_out = dict.fromkeys(_BESIDES) if narrow else {}
        print_table(console, [{**row, **left_out} for row in rows])
        if narrow:
            console.print(f"({', '.join(_BESIDES)}: on a wider terminal, or with --json)")


def _backbones() -> list[dict[str, Any]]:
    from prognobench.backbones.catalog import backbone_names, get_entry
    from prognobench.backbones.catalog.costs import cost_of
    from prognobench.backbones.fetch import on_disk

    rows = []
    for name in backbone_names():
        entry, cost = get_entry(name), cost_of(name)
        rows.append(
            {
                "name": name,
                "kind": entry.kind,
                "parameters": cost and cost.parameters,
                "gflops": cost and round(cost.flops / 1e9, 2),
                "feature_dim": entry.feature_dim,
                "input_size": entry.input_size,
                "license": entry.license,
                "pretraining": entry.pretraining,
                "weights": entry.weights.origin,
                "on_disk": on_disk(entry),
                "terms": entry.weights.terms,
            }
        )
    return rows


def _strategies() -> list[dict[str, Any]]:
    from prognobench.strategies.compatibility import matrix
    from prognobench.strategies.strategy import PEFT_PREFIX, get_strategy, strategy_names

    rows = []
    for name in strategy_names():
        strategy = get_strategy(name)
        rows.append(
            {
                "name": name,
                "title": strategy.title,
                "options": ", ".join(strategy.options.model_fields),
                "source": strategy.source,
            }
        )
    method = {
        "name": f"{PEFT_PREFIX}METHOD",
        "title": "any other method of peft: {peft: DORA, r: 8}",
        "options": "the keys of the method's own configuration",
        "source": "the documentation of peft",
    }
    cells = matrix()
    return [
        {**row, "backbones": {kind: asdict(cell) for kind, cell in cells[row["name"]].items()}}
        for row in [*rows, method]
    ]


def _print_matrix(rows: list[dict[str, Any]]) -> None:
    """Print which strategy applies to which kind of backbone, and why not."""
    from prognobench.cli.console import results_console
    from prognobench.cli.tables import print_table
    from prognobench.strategies.strategy import KINDS

    console = results_console()
    for kind, title in KINDS.items():
        console.print()
        cells = [(row["name"], row["backbones"].get(kind)) for row in rows]
        lines = [
            {"name": name, "": cell["words"] if cell["possible"] else f"n/a: {cell['words']}"}
            for name, cell in cells
            if cell
        ]
        print_table(console, lines, f"On {title}:")


def _cohorts() -> list[dict[str, Any]]:
    from prognobench.cohorts.source import get_source, source_names

    rows = []
    for name in source_names():
        source = get_source(name)
        rows.append(
            {
                "name": name,
                "title": source.provenance.title,
                "endpoints": ", ".join((*source.endpoints, *source.others)),
                "options": ", ".join(source.options.model_fields),
                "licence": source.provenance.licence,
                "access": source.provenance.access,
                "url": source.provenance.url,
            }
        )
    return rows


def _metrics() -> list[dict[str, Any]]:
    from prognobench.evaluation.metrics import METRICS

    return [
        {"name": name, "title": metric.title, "description": metric.description}
        for name, metric in METRICS.items()
    ]
