"""Writes the reference pages of the documentation from the code: keys, columns, metrics, verbs.

    python tools/write_reference.py            # writes docs/reference/*.md
    python tools/write_reference.py --check    # says which pages are out of date

The words stand in the code alone: in the docstrings of the models that a spec is read with, in the
registries, and in the help of the command line.
"""

from __future__ import annotations

import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import docstring_parser
import typer
import typer.cli
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from prognobench.backbones.choice import BackboneSpec, FeatureSpec
from prognobench.cli import app
from prognobench.cohorts.load import CohortSpec
from prognobench.cohorts.source import get_source, source_names
from prognobench.evaluation.columns import describe_column
from prognobench.evaluation.metrics import METRICS, SHOWN
from prognobench.evaluation.tables import RESULT_COLUMNS, leaderboard_columns
from prognobench.images.options import ImagesSpec
from prognobench.regimes import REGIMES
from prognobench.results.records import PREDICTION_COLUMNS
from prognobench.spec import BenchmarkSpec, EvaluationSpec, TaskSpec
from prognobench.strategies.compatibility import matrix
from prognobench.strategies.strategy import KINDS, get_strategy, strategy_names
from prognobench.training.recipe import Recipe

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
WRITTEN = "<!-- Written by tools/write_reference.py from the code: change the words there. -->\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which differ."""
    stale = []
    for name, make in PAGES.items():
        path, page = FOLDER / name, WRITTEN + "\n" + make().strip() + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == page:
            continue
        stale.append(name)
        if "--check" not in arguments:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(page, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"out of date: {', '.join(stale)}: run tools/write_reference.py")
        return 1
    return 0


def spec_page() -> str:
    """Return the page on the keys of a benchmark file."""
    parts = ["# Keys of a benchmark file", _first_lines(BenchmarkSpec)]
    parts += [_table(BenchmarkSpec)]
    sections: list[tuple[str, type[BaseModel]]] = [
        ("cohort", CohortSpec),
        ("tasks", TaskSpec),
        ("backbones", BackboneSpec),
        ("backbones.features", FeatureSpec),
        ("images", ImagesSpec),
        ("recipe", Recipe),
        ("evaluation", EvaluationSpec),
    ]
    for title, model in sections:
        parts += [f"## `{title}`", _first_lines(model), _table(model)]
    parts.append("## `regimes`")
    for name, model in REGIMES.items():
        parts += [f"### `{name}`", _first_lines(model), _table(model, leave={"name"})]
    parts.append("## `strategies`")
    for name in strategy_names():
        strategy = get_strategy(name)
        parts += [f"### `{name}`", f"{strategy.title}: {strategy.source}."]
        parts += [_table(strategy.options), "Defaults by kind of backbone:", _defaults(strategy)]
    parts.append("## Options of the cohort sources")
    for name in source_names():
        parts += [f"### `{name}`", _table(get_source(name).options)]
    return "\n\n".join(filter(None, parts))


def results_page() -> str:
    """Return the page on the columns of the result tables."""
    parts = ["# Columns of the results"]
    tables = {
        "results.csv": ("One row a run and metric, at patient level.", RESULT_COLUMNS),
        "leaderboard.csv": (
            "One row a candidate and setting: a task, regime, and number of shots or level.",
            leaderboard_columns(kinds=SHOWN),
        ),
    }
    for name, (words, columns) in tables.items():
        rows = [(f"`{column}`", describe_column(column)) for column in columns]
        parts += [f"## `{name}`", words, _rows(("column", "meaning"), rows)]
    stored = "; ".join(
        f"{kind}: {', '.join(f'`{name}`' for name in columns)}"
        for kind, columns in PREDICTION_COLUMNS.items()
    )
    parts += [
        "## `predictions/<run>.parquet`",
        f"One row an image, with columns by the kind of the outcome. {stored}.",
    ]
    return "\n\n".join(parts)


def metrics_page() -> str:
    """Return the page on the metrics."""
    rows = [
        (f"`{name}`", metric.title, metric.description, metric.source, _need(metric.needs))
        for name, metric in METRICS.items()
    ]
    header = ("name", "title", "meaning", "source", "empty where")
    return "# Metrics\n\n" + _rows(header, rows)


def matrix_page() -> str:
    """Return the page on which strategy applies to which kind of backbone."""
    kinds = list(KINDS)
    rows = []
    for name, cells in matrix().items():
        words = [("" if cells[kind].possible else "n/a: ") + cells[kind].words for kind in kinds]
        rows.append((f"`{name}`", *words))
    named = [f"- `{kind}`: {words}" for kind, words in KINDS.items()]
    return "\n\n".join(
        [
            "# Compatibility of strategies and backbones",
            "A cell that cannot be is `n/a` with this reason in plan, results and report.",
            "\n".join(named),
            _rows(("strategy", *(f"`{kind}`" for kind in kinds)), rows),
        ]
    )


def verbs_page() -> str:
    """Return the page on the command line."""
    command = typer.main.get_command(app)
    with typer.Context(command, info_name="prognobench") as context:
        page = typer.cli.get_docs_for_click(obj=command, ctx=context, name="prognobench")
    # A backspace begins lines that a terminal shows as they are: here they are a block.
    return re.sub(
        r"\x08\nExamples:\n((?:  .+\n?)+)",
        lambda found: f"Examples:\n\n```bash\n{textwrap.dedent(found[1]).rstrip()}\n```\n",
        page,
    )


PAGES: dict[str, Callable[[], str]] = {
    "spec.md": spec_page,
    "results.md": results_page,
    "metrics.md": metrics_page,
    "compatibility.md": matrix_page,
    "command_line.md": verbs_page,
}


def _markdown(words: str) -> str:
    """Return words of a docstring as Markdown: roles and double backticks become single ones."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", words).replace("``", "`")


def _first_lines(model: type[BaseModel]) -> str:
    parsed = docstring_parser.parse(model.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    words = filter(None, [parsed.short_description, parsed.long_description])
    return _markdown("\n\n".join(words))


def _attributes(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the fields that the docstrings of a model and its bases describe."""
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel):
            continue
        parsed = docstring_parser.parse(base.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
        for about in parsed.params:
            yield about.arg_name, _markdown(" ".join((about.description or "").split()))


def _table(model: type[BaseModel], leave: set[str] | None = None) -> str:
    words = dict(_attributes(model))
    rows = [
        (f"`{name}`", _kind(field), _default(field), words.get(name, ""))
        for name, field in model.model_fields.items()
        if name not in (leave or set())
    ]
    return _rows(("key", "value", "default", "meaning"), rows) if rows else ""


def _kind(field: FieldInfo) -> str:
    return f"{_plain(field.annotation)}{_bounds(field)}"


def _plain(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _plain(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (tuple, list):
        return f"list of {_plain(inner[0])}"
    if inner:
        return " or ".join(dict.fromkeys(_plain(one) for one in inner if one is not type(None)))
    simple = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true or false",
        Path: "path",
    }
    return simple.get(annotation, "mapping")


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{words} {value:g}"
        for item in field.metadata
        for sign, words in signs.items()
        if (value := getattr(item, sign, None)) is not None
    ]
    return f", {' and '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in (None, ()):
        return ""
    if isinstance(value, tuple):
        inner = [one.name if isinstance(one, BaseModel) else one for one in value]
        return f"`[{', '.join(map(str, inner))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _defaults(strategy: Any) -> str:
    rows = []
    for kind, given in strategy.defaults.items():
        for key, value in given.items():
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            rows.append((f"`{kind}`", f"`{key}`", f"{shown}"))
    return _rows(("kind", "key", "default"), rows) if rows else "none."


def _need(needs: Any) -> str:
    return "; ".join(need.value for need in needs)


def _rows(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines)


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
