"""Which figures a report has: all of each task's main setting, fewer of the others.

A benchmark may have thousands of cells, and a page has its limit: what is left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prognobench.evaluation.ranks import LEAST_BLOCKS
from prognobench.report import words
from prognobench.report.content import Cell, ReportContent, of_cell
from prognobench.report.drawing import Figure, own_style
from prognobench.report.figures.agreement import agreement
from prognobench.report.figures.calibration import calibration
from prognobench.report.figures.cost import cost
from prognobench.report.figures.curves import curves
from prognobench.report.figures.folds import folds
from prognobench.report.figures.forest import forest
from prognobench.report.figures.heatmap import heatmap
from prognobench.report.figures.operating import decision, precision_recall, roc
from prognobench.report.figures.ranks import ranks
from prognobench.report.figures.subgroups import subgroups
from prognobench.report.figures.times import calibration_at, risk_groups
from prognobench.report.view import rank_settings

MOST_TASKS = 6
"""Tasks whose figures are drawn."""

MOST_OTHERS = 6
"""Further settings, over all tasks, whose forest plot and heatmap are drawn."""


@dataclass(frozen=True)
class Placed:
    """A figure in its place.

    Attributes:
        section: The section of the page.
        task: The task it belongs to; empty for all.
        setting: The setting in words.
        stem: Its file name without suffix.
        figure: The figure.
    """

    section: str
    task: str
    setting: str
    stem: str
    figure: Figure


@dataclass(frozen=True)
class Gallery:
    """All figures of a report.

    Attributes:
        figures: In the order of the page.
        notes: By section, what was left out, in sentences.
    """

    figures: tuple[Placed, ...]
    notes: dict[str, list[str]]

    def of(self, section: str) -> list[Placed]:
        """Return the figures of a section."""
        return [own for own in self.figures if own.section == section]


def gallery(content: ReportContent, found: Sequence[Cell]) -> Gallery:
    """Draw the figures of a report."""
    placed: list[Placed] = []
    notes: dict[str, list[str]] = {}
    tasks = list(dict.fromkeys(cell.task for cell in found))
    stems = words.stems(tasks)
    if len(tasks) > MOST_TASKS:
        notes["comparison"] = [
            f"Figures are drawn for the first {MOST_TASKS} of {len(tasks)} tasks; the leaderboard "
            "and the tables hold all."
        ]
    others, undrawn = 0, []
    with own_style():
        for task, stem in zip(tasks[:MOST_TASKS], stems, strict=False):
            own = [cell for cell in found if cell.task == task]
            for cell in own:
                if cell.main:
                    drawn = _main_figures(content, cell)
                elif cell.varied is None and others < MOST_OTHERS:
                    others += 1
                    drawn = [("comparison", forest(cell)), ("comparison", heatmap(cell))]
                else:
                    undrawn += [cell] if cell.varied is None else []
                    continue
                part = stem if cell.main else f"{stem}-{words.slug(cell.setting)}"
                placed += [
                    Placed(section, task, cell.setting, f"{part}-{figure.name}", figure)
                    for section, figure in drawn
                    if figure is not None
                ]
            for regime in dict.fromkeys(cell.regime for cell in own if cell.varied is not None):
                points = [cell for cell in own if cell.regime == regime and cell.varied is not None]
                figure = curves(points) if len(points) > 1 else None
                if figure is not None:
                    placed.append(
                        Placed("less", task, figure.title, f"{stem}-{figure.name}", figure)
                    )
        for setting, rows in rank_settings(content):
            figure = ranks(rows, setting)
            if figure is not None:
                placed.append(Placed("ranks", "", setting, f"ranks-{words.slug(setting)}", figure))
    if undrawn:
        named = words.listing(f"{cell.setting} of {cell.task}" for cell in undrawn)
        notes.setdefault("comparison", []).append(
            f"Besides each task's main setting, {MOST_OTHERS} are drawn; the leaderboard and the "
            f"tables hold the others: {named}."
        )
    if not any(own.section == "ranks" for own in placed):
        notes["ranks"] = [
            "There is no critical-difference diagram: ranks can be tested over at least "
            f"{LEAST_BLOCKS} cohorts with results for every candidate."
        ]
    names = words.distinct([own.stem for own in placed])
    return Gallery(
        tuple(
            Placed(own.section, own.task, own.setting, name, own.figure)
            for own, name in zip(placed, names, strict=True)
        ),
        notes,
    )


def _main_figures(content: ReportContent, cell: Cell) -> list[tuple[str, Figure | None]]:
    if not cell.ranked:
        return []
    lines = of_cell(content.curves, cell)
    results = of_cell(content.results, cell)
    results = results[results["metric"] == cell.metric.name]
    return [
        ("comparison", forest(cell)),
        ("comparison", heatmap(cell)),
        ("comparison", cost(cell)),
        ("predictions", roc(cell, lines)),
        ("predictions", precision_recall(cell, lines)),
        ("predictions", decision(cell, lines)),
        ("predictions", calibration(cell, lines)),
        ("predictions", risk_groups(cell, lines)),
        ("predictions", calibration_at(cell, lines)),
        ("predictions", agreement(cell, lines)),
        ("folds", folds(cell, results)),
        ("subgroups", _subgroups(content, cell)),
    ]


def _subgroups(content: ReportContent, cell: Cell) -> Figure | None:
    table = of_cell(content.subgroups, cell)
    return subgroups(cell, table) if len(table) else None
