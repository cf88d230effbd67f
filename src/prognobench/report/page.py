"""The report as one HTML file that needs no network, with its figures and tables beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from prognobench import __version__
from prognobench.files import write_text
from prognobench.report import tables, view, words
from prognobench.report.answer import Answer, answers
from prognobench.report.audit_section import AuditSection, audit_section
from prognobench.report.content import Cell, ReportContent, cells, of_cell
from prognobench.report.drawing import numbered
from prognobench.report.files import as_frame, write_figures, write_tables
from prognobench.report.gallery import Gallery, Placed, gallery
from prognobench.report.pictures import Pictures

TEMPLATES = files("prognobench.report").joinpath("templates")

SECTIONS = (
    ("answer", "The answer"),
    ("leaderboard", "Leaderboard"),
    ("comparison", "Comparison"),
    ("less", "Less data, other balance"),
    ("ranks", "Over all tasks"),
    ("predictions", "Predictions"),
    ("folds", "Fold by fold"),
    ("subgroups", "Subgroups"),
    ("saliency", "Where models look"),
    ("cohort", "Cohort"),
    ("audit", "Audit"),
    ("failures", "Failures"),
    ("checklist", "Reporting guidelines"),
    ("metrics", "How to read"),
    ("appendix", "Appendix"),
)

KINDS = ("true positive", "false negative", "false positive", "true negative")


@dataclass(frozen=True)
class Rendered:
    """A report: its page, and what stands beside it as files."""

    page: str
    figures: tuple[Placed, ...]
    tables: tuple[tables.Table, ...]


def write_report(output: Path, content: ReportContent) -> Path:
    """Write ``report/index.html``, and its figures and tables as files, into an output folder.

    The page holds everything it shows, its scripts and images included, forbids itself any
    request by its content security policy, and names no patient.

    Args:
        output: The output folder of a benchmark.
        content: What to show.

    Returns:
        The path of the page.
    """
    rendered = build(content)
    folder = output / "report"
    write_figures(folder / "figures", rendered.figures)
    write_tables(folder / "tables", rendered.tables)
    path = folder / "index.html"
    write_text(path, rendered.page)
    return path


def render(content: ReportContent) -> str:
    """Return the report as HTML."""
    return build(content).page


def build(content: ReportContent) -> Rendered:
    """Return the report's page, figures and tables."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("prognobench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = cells(content)
    drawn = gallery(content, found)
    numbers = {id(placed): number for number, placed in enumerate(drawn.figures)}
    pictures = Pictures()
    told = answers(content, found)
    audit = audit_section(content.audit, list(content.audits))
    made = _tables(content, found, told, audit)
    by_name = {name: [one for one in made if one.name.startswith(name)] for name in _NAMES}
    board = view.board(content, found)
    sheets = [pictures.sheet(path) for path in content.contact_sheets] if content.images else []
    saliency = [_saliency(own, pictures, images=content.images) for own in content.saliency]
    page = environment.get_template("report.html.j2").render(
        content=content,
        version=__version__,
        sections=_sections(content, drawn),
        confidence=words.level(content.confidence),
        answers=told,
        warnings=[
            (task, sentence)
            for task, own in content.audits.items()
            for sentence in own.get("warnings", ())
        ]
        + [("All cohorts", sentence) for sentence in (audit.warnings if audit else ())],
        cells=found,
        board=board,
        gallery=drawn,
        blocks={name: _by_task(drawn.of(name)) for name, _ in SECTIONS},
        svg=lambda placed: Markup(numbered(placed.figure.svg, numbers[id(placed)])),  # noqa: S704
        rankings=view.rankings(content),
        tasks=_choices(cell.task for cell in found),
        settings=_choices(cell.setting for cell in found),
        main_task=found[0].task if found else "",
        main_setting=next((cell.setting for cell in found if cell.main), ""),
        metric_choices=[
            (metric.name, metric.title) for metric in (view.shown_metrics(content) if found else ())
        ],
        saliency=saliency,
        kinds=KINDS,
        provenance=view.named_values(content.provenance),
        flows=[(task, view.flow_rows(steps)) for task, steps in content.flows.items()],
        audit=audit,
        contact_sheets=[sheet for sheet in sheets if sheet is not None],
        pictures_left_out=pictures.left_out,
        pictures_unreadable=words.plural(pictures.unreadable, "picture")
        if pictures.unreadable
        else "",
        tables=by_name,
        totals=view.totals(content),
        environment=view.named_values(content.environment),
        style=_asset("style.css"),
        script=_asset("report.js"),
    )
    return Rendered(page, drawn.figures, tuple(made))


_NAMES = (
    *(
        "settings",
        "flow",
        "leaderboard",
        "subgroups",
        "not-done",
        "undefined",
        "collapsed",
        "metrics",
    ),
    *("checklist", "backbones", "ranks", "versions"),
)


def _tables(
    content: ReportContent,
    found: Sequence[Cell],
    told: Sequence[Answer],
    audit: AuditSection | None,
) -> list[tables.Table]:
    """Return every table that is also a file; those of a kind have names that begin alike."""
    made = [tables.leaderboard(content, found)] if found else []
    stems = words.stems(answer.task for answer in told)
    made += [
        tables.settings(answer, f"settings-{stem}")
        for answer, stem in zip(told, stems, strict=True)
    ]
    stems = words.stems(content.flows)
    made += [
        tables.flow(task, steps, f"flow-{stem}")
        for (task, steps), stem in zip(content.flows.items(), stems, strict=True)
    ]
    made += [tables.grid(grid) for grid in audit.grids] if audit else []
    shown = [
        (cell, table)
        for cell in found
        if cell.main and cell.ranked and len(table := of_cell(content.subgroups, cell))
    ]
    stems = words.stems(cell.task for cell, _ in shown)
    made += [
        tables.subgroups(cell, table, f"subgroups-{stem}")
        for (cell, table), stem in zip(shown, stems, strict=True)
    ]
    if not content.ranks.empty:
        made.append(tables.plain("ranks", "Mean ranks over cohorts", content.ranks))
    made += tables.failures(content)
    made += tables.guidelines(content, found)
    made.append(tables.metrics(content))
    if content.backbones is not None and len(content.backbones):
        made.append(tables.plain("backbones", "Backbones", content.backbones))
    facts = [*content.digests.items(), *view.named_values(content.environment)]
    if facts:
        made.append(tables.plain("versions", "Digests, versions and hardware", as_frame(facts)))
    return made


def _sections(content: ReportContent, drawn: Gallery) -> list[tuple[str, str]]:
    """Return the sections that have something in them."""
    there = {own.section for own in drawn.figures} | set(drawn.notes)
    if not content.saliency:
        there.discard("saliency")
    else:
        there.add("saliency")
    if not content.ranks.empty:
        there.add("ranks")
    always = {"answer", "leaderboard", "cohort", "audit", "failures", "checklist", "metrics"}
    always.add("appendix")
    return [(anchor, title) for anchor, title in SECTIONS if anchor in there | always]


def _by_task(placed: Iterable[Placed]) -> list[tuple[str, list[Placed]]]:
    return [(task, list(own)) for task, own in groupby(placed, key=lambda one: one.task)]


def _saliency(own: Any, pictures: Pictures, *, images: bool) -> dict[str, Any]:
    """Return one task's maps as the template shows them."""
    examples = []
    for number, example in enumerate(own.examples, start=1):
        risk = words.percent(float(example["probability"]))
        happened = "had the event" if example["target"] == 1 else "did not have the event"
        text = f"patient {number}: predicted {risk}, {happened}"
        address = pictures.example(example["picture"]) if images else None
        examples.append({"kind": example["kind"], "text": text, "picture": address})
    hidden = "" if images or not examples else "Pictures of patients are left out of this report."
    return {"task": own.task, "about": own.about, "examples": examples, "hidden": hidden}


def _choices(names: Any) -> list[tuple[str, str]]:
    return [(name, name) for name in dict.fromkeys(names)]


def _asset(name: str) -> Markup:
    """Return a style sheet or script of this package, to be set as it is."""
    return Markup(TEMPLATES.joinpath(name).read_text(encoding="utf-8"))  # noqa: S704  our own file
