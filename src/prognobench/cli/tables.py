"""Plain tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from prognobench.cohorts.task import FlowStep

_WHOLE = ("name", "backbone", "strategy")
"""Columns that are never broken into lines."""


def print_table(console: Console, rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Print rows of plain data; columns that are empty in every row are left out.

    Args:
        console: Where to print.
        rows: The rows, all with the same keys.
        title: Shown above.
    """
    filled = [
        key for key in (rows[0] if rows else ()) if any(row[key] not in (None, "") for row in rows)
    ]
    if title:
        console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for key in filled:
        numeric = all(isinstance(row[key], int | float) or row[key] is None for row in rows)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        whole = key in _WHOLE
        # A long word, such as an address, goes on in the next line rather than being cut.
        table.add_column(key.replace("_", " "), justify=justify, no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*("" if row[key] is None else escape(str(row[key])) for key in filled))
    console.print(table)


def print_flow(console: Console, flow: Sequence[FlowStep], title: str) -> None:
    """Print a participant flow.

    Args:
        console: Where to print.
        flow: Its lines, in order.
        title: Shown above.
    """
    rows = [
        {"step": s.step, "images": s.images, "patients": s.patients, "why": s.reason} for s in flow
    ]
    print_table(console, rows, title)
    console.print()
