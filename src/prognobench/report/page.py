"""The report as one HTML file that needs no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from prognobench import __version__
from prognobench.files import write_text
from prognobench.report import figures, view, words
from prognobench.report.answer import answers
from prognobench.report.content import Cell, ReportContent, cells, records
from prognobench.report.curves import curves
from prognobench.report.marks import Figure

TEMPLATES = files("prognobench.report").joinpath("templates")

LARGEST_SHEET = 1_500_000
"""Bytes of a contact sheet that are embedded as they are; a larger one is made smaller."""

SHEET_WIDTH = 1600
"""Pixels to which a larger contact sheet is reduced."""

SECTIONS = (
    ("answer", "The answer"),
    ("results", "Results"),
    ("metrics", "Metrics"),
    ("cohort", "Cohort"),
    ("failures", "Failures"),
    ("appendix", "Appendix"),
)


@dataclass(frozen=True)
class CellPage:
    """One cell as the template shows it."""

    anchor: str
    task: str
    setting: str
    metric_title: str
    board: view.Board
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class TaskPage:
    """The cells of one task, and its curves over shots, sizes and event rates."""

    task: str
    cells: tuple[CellPage, ...]
    curves: tuple[Figure, ...]


def write_report(output: Path, content: ReportContent) -> Path:
    """Write ``report/index.html`` into an output folder.

    The file holds everything it shows, its scripts and images included, forbids itself any
    request by its content security policy, and names no patient.

    Args:
        output: The output folder of a benchmark.
        content: What to show.

    Returns:
        The path of the file.
    """
    path = output / "report" / "index.html"
    write_text(path, render(content))
    return path


def render(content: ReportContent) -> str:
    """Return the report as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("prognobench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = cells(content)
    groups = _task_pages(content, found)
    has_figures = any(page.figures for group in groups for page in group.cells)
    return environment.get_template("report.html.j2").render(
        content=content,
        version=__version__,
        sections=SECTIONS,
        confidence=words.level(content.confidence),
        answers=answers(content, found),
        warnings=[
            (task, sentence)
            for task, audit in content.audits.items()
            for sentence in audit.get("warnings", ())
        ],
        cells=found,
        rankings=view.rankings(content),
        groups=groups,
        tasks=_choices(cell.task for cell in found),
        settings=_choices(cell.setting for cell in found),
        metric_choices=[
            (metric.name, metric.title)
            for metric in (view.shown_metrics(content, found[0].metric) if found else ())
        ],
        provenance=view.named_values(content.provenance),
        flows=[(task, view.flow_rows(steps)) for task, steps in content.flows.items()],
        audits=[
            (task, shown) for task, audit in content.audits.items() if (shown := view.facts(audit))
        ],
        contact_sheet=_contact_sheet(content.contact_sheet),
        unfinished=view.unfinished(content),
        undefined=view.undefined(content),
        collapsed=view.collapsed(content),
        totals=view.totals(content),
        backbones=[] if content.backbones is None else records(content.backbones),
        environment=view.named_values(content.environment),
        has_figures=has_figures,
        style=_asset("style.css"),
        script=_asset("report.js"),
        plotly=_plotly() if has_figures else "",
    )


def _choices(names: Any) -> list[tuple[str, str]]:
    return [(name, name) for name in dict.fromkeys(names)]


def _task_pages(content: ReportContent, found: Sequence[Cell]) -> list[TaskPage]:
    """Return the cells as pages, task by task."""
    numbers = {id(cell): number for number, cell in enumerate(found)}
    pages = []
    for task, members in groupby(found, key=lambda cell: cell.task):
        own = list(members)
        varied = [cell for cell in own if cell.varied is not None]
        drawn = []
        for regime in dict.fromkeys(cell.regime for cell in varied):
            points = [cell for cell in varied if cell.regime == regime]
            drawn.append(curves(points) if len(points) > 1 else None)
        lines = tuple(figure for figure in drawn if figure is not None)
        made = tuple(_cell_page(content, cell, f"cell-{numbers[id(cell)]}") for cell in own)
        pages.append(TaskPage(task, made, lines))
    return pages


def _cell_page(content: ReportContent, cell: Cell, anchor: str) -> CellPage:
    drawn = (figures.forest(cell), figures.heatmap(cell), figures.cost(cell))
    return CellPage(
        anchor,
        cell.task,
        cell.setting,
        cell.metric.title,
        view.board(content, cell),
        tuple(figure for figure in drawn if figure is not None),
    )


def _asset(name: str) -> Markup:
    """Return a style sheet or script of this package, to be set as it is."""
    return Markup(TEMPLATES.joinpath(name).read_text(encoding="utf-8"))  # noqa: S704  our own file


def _plotly() -> Markup:
    """Return the Plotly library, which must not end the script element that holds it."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return Markup(source.replace("</script", r"<\/script"))  # noqa: S704  a library's own file


def _contact_sheet(path: Path | None) -> str | None:
    """Return a contact sheet as a data address, made smaller when it is large."""
    if path is None or not path.is_file():
        return None
    data, kind = path.read_bytes(), "png"
    if len(data) > LARGEST_SHEET:
        with Image.open(io.BytesIO(data)) as sheet:
            reduced = sheet.convert("L")
            reduced.thumbnail((SHEET_WIDTH, SHEET_WIDTH * 4))
            stream = io.BytesIO()
            reduced.save(stream, "JPEG", quality=85)
        data, kind = stream.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
