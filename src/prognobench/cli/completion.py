"""What the shell offers when the tab key is pressed; fast, so nothing heavy is imported."""

from __future__ import annotations

import ast
import contextlib
import pkgutil
from collections.abc import Iterable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import typer

PARTS = {
    "recipe": ("training/recipe.py", "Recipe"),
    "evaluation": ("spec.py", "EvaluationSpec"),
    "report": ("spec.py", "ReportSpec"),
}
"""Where the keys of the parts of a benchmark file stand."""


def complete_backbone(incomplete: str) -> list[str]:
    """Return the backbones whose names begin so."""
    from prognobench.backbones.catalog import backbone_names

    return _beginning(incomplete, backbone_names())


def complete_source(incomplete: str) -> list[str]:
    """Return the cohort sources whose names begin so."""
    from importlib.metadata import entry_points

    found = find_spec("prognobench.cohorts.sources")
    folders = list(found.submodule_search_locations or ()) if found else []
    others = [point.name for point in entry_points(group="prognobench.cohorts")]
    return _beginning(incomplete, [*(one.name for one in pkgutil.iter_modules(folders)), *others])


def complete_key(incomplete: str) -> list[str]:
    """Return the keys of a benchmark file that begin so, each with its equals sign."""
    keys = [name for name in _fields("spec.py", "BenchmarkSpec") if name not in PARTS]
    keys += [f"{part}.{name}" for part, place in PARTS.items() for name in _fields(*place)]
    return _beginning(incomplete, [f"{key}=" for key in keys])


def complete_candidate_backbone(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the backbones of the results that the command line names, or those of the catalog."""
    return _beginning(incomplete, _of_results(ctx, "backbone")) or complete_backbone(incomplete)


def complete_candidate_strategy(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the strategies of the results that the command line names, or all that there are."""
    found = _beginning(incomplete, _of_results(ctx, "strategy"))
    if found:
        return found
    from prognobench.strategies.strategy import strategy_names

    return _beginning(incomplete, strategy_names())


def complete_task(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tasks of the results that the command line names."""
    return _beginning(incomplete, _of_results(ctx, "dataset || '/' || endpoint"))


def _of_results(ctx: typer.Context, column: str) -> list[str]:
    """Return the values of a column of the runs; nothing where there are no results to read."""
    import sqlite3

    # While an option is being completed, typer leaves the arguments unread.
    words = [Path(str(word)) for word in (ctx.params.get("output"), *ctx.args) if word]
    path = next((own / "results.db" for own in words if (own / "results.db").is_file()), None)
    if path is None:
        return []
    query = f"SELECT DISTINCT {column} FROM runs WHERE backbone <> 'control'"  # noqa: S608  ours
    with contextlib.suppress(sqlite3.Error):
        opened = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(opened) as connection:
            return [str(value) for (value,) in connection.execute(query)]
    return []


def _fields(module: str, model: str) -> list[str]:
    """Return the fields of a model, read from its text: importing it takes seconds."""
    text = files("prognobench").joinpath(module).read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == model
    )
    lines = (line for line in found.body if isinstance(line, ast.AnnAssign))
    return [line.target.id for line in lines if isinstance(line.target, ast.Name)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
