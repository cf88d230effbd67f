"""An audit on the terminal: sentences and tables of each task first, then who is concerned."""

from __future__ import annotations

from rich.console import Console

from prognobench.audit.cohorts import CohortAudit
from prognobench.audit.concerned import concerned, image_as_is, patient_as_is
from prognobench.cli.tables import print_flow, print_table
from prognobench.report.audit_section import Grid, audit_section, most_missing

MOST = 20
"""Lines of one kind that are printed; the JSON has all."""


def print_audit(console: Console, found: CohortAudit) -> None:
    """Print what an audit found.

    Args:
        console: Where to print.
        found: The audit.
    """
    section = audit_section(found.data, [task.name for task in found.tasks])
    told = {own.task: own for own in section.tasks} if section else {}
    for task in found.tasks:
        print_flow(console, task.flow(), task.name)
        for grid in (told[task.name].shortcuts, told[task.name].balance):
            _print_grid(console, grid)
        _warn(console, found.data[task.name]["warnings"])
    for name, about in found.data["cohorts"].items():
        _print_grid(console, most_missing(name, about))
    _warn(console, found.data["warnings"])
    for own in concerned(found.data, patient_as_is, image_as_is):
        title = f"{own.title} ({own.count}):"
        console.print(title, style="bold", markup=False, soft_wrap=True)
        for line in own.lines[:MOST]:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        if len(own.lines) > MOST:
            left = len(own.lines) - MOST
            console.print(
                f"  and {left} lines more: see --json or --output", markup=False, highlight=False
            )


def _print_grid(console: Console, grid: Grid) -> None:
    if grid.rows:
        rows = [dict(zip(grid.headings, row, strict=True)) for row in grid.rows]
        print_table(console, rows, grid.title)
        console.print(grid.note, style="dim", markup=False, soft_wrap=True)


def _warn(console: Console, warnings: list[str]) -> None:
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
