"""Plain tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from prognobench.cohorts.participant_flow import FlowStep

_WHOLE = ("name", "backbone", "strategy")
"""Columns that are never broken into lines."""


def print_table(
    console: Console,
    rows: Sequence[Mapping[str, Any]],
    title: str = "",
    whole: Sequence[str] = (),
) -> None:
    """Print rows of plain data; columns that are empty in every row are left out.

    Args:
        console: Where to print.
        rows: The rows, all with the same keys.
        title: Shown above.
        whole: Further columns that are never broken into lines.
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
        kept = key in _WHOLE or key in whole
        # A long word, such as an address, goes on in the next line rather than being cut.
        table.add_column(key.replace("_", " "), justify=justify, no_wrap=kept, overflow="fold")
    for row in rows:
        table.add_row(*("" if row[key] is None else Text(str(row[key])) for key in filled))
    console.print(table)


def print_records(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of long texts below each other: the first key as a heading, then a line a key.

    Args:
        console: Where to print.
        rows: The rows, all with the same keys; what is empty is left out.
    """
    for place, row in enumerate(rows):
        heading, *others = row
        if place:
            console.print()
        console.print(str(row[heading]), style="bold", markup=False, highlight=False)
        # Lines are left to the terminal to break, so that an address can be copied whole.
        for key in others:
            if row[key] not in (None, ""):
                line = f"  {key.replace('_', ' '):<10} {row[key]}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)


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
