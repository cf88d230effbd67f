"""Where verbs print: results to the output, all that is said on the way to the errors."""

from __future__ import annotations

import os

from rich.console import Console

WIDTH = 200
"""Columns where there is no terminal: a line of a table stays one line, for `grep` and logs."""


def results_console() -> Console:
    """Return the console for what was asked for."""
    return _console(stderr=False)


def talk_console() -> Console:
    """Return the console for progress and remarks, which stay out of a pipe."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # Paths and names are shown as they are, whatever brackets or colons stand in them.
    console = Console(stderr=stderr, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(stderr=stderr, markup=False, emoji=False, width=WIDTH)
    return console
