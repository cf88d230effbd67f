"""From the words of a table to a binary endpoint: 0, 1 or missing, and nothing by guessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prognobench.cohorts.tables import cell_text, is_missing, quote_some
from prognobench.errors import UserError

POSITIVE_WORDS = frozenset({"1", "true", "yes", "y"})
NEGATIVE_WORDS = frozenset({"0", "false", "no", "n"})

USUAL_ENDPOINTS = {
    "icu": "admitted to intensive care",
    "mortality": "died",
    "severity": "severe course",
}
"""The endpoints that a table of one's own has by the names of its columns."""

Word = str | int | float | bool
"""A value as a spec may name it; YAML turns an unquoted ``yes`` into ``True``."""


def code_endpoint(
    cells: pd.Series,
    column: str,
    path: Path,
    positive: Sequence[Word] = (),
    negative: Sequence[Word] = (),
) -> pd.Series:
    """Return an outcome column as 1, 0 or missing.

    Without named values, 1, true, yes and y are the event; 0, false, no and n are not. Where
    the positive values are named they alone are the event, and the negative words stay as they
    are unless they are named as well; likewise the other way round.

    Args:
        cells: The column as text.
        column: Its name, for the error.
        path: The table's file, for the error.
        positive: The values that are the event.
        negative: The values that are not.

    Raises:
        UserError: Naming the column and the values that are neither.
    """
    events = _words(positive) or POSITIVE_WORDS
    others = _words(negative) or NEGATIVE_WORDS
    both = sorted(events & others)
    if both:
        raise UserError(
            f"{quote_some(both)} would be both an event and none in the column '{column}' of "
            f"{path}: name the positive and the negative values of this endpoint"
        )
    codes: list[int | None] = []
    wrong: list[str] = []
    for cell in cells:
        word = _plain(cell) if isinstance(cell, str) else ""
        # A named value wins even over a word that usually says "missing".
        if word in events:
            codes.append(1)
        elif word in others:
            codes.append(0)
        else:
            codes.append(None)
            if not is_missing(cell):
                wrong.append(cell)
    if wrong:
        raise UserError(
            f"the column '{column}' of {path} has {quote_some(wrong)} where the event is "
            f"{_listed(events)} and its absence {_listed(others)}: name the values under "
            "'positive' and 'negative', or leave the cells empty"
        )
    return pd.Series(codes, index=cells.index, dtype="Int64")


def _plain(word: str) -> str:
    text = word.strip().casefold()
    try:
        return cell_text(float(text)) or text
    except (ValueError, OverflowError):
        return text


def _words(values: Sequence[Word]) -> frozenset[str]:
    words: set[str] = set()
    for value in values:
        if isinstance(value, bool):
            words |= POSITIVE_WORDS if value else NEGATIVE_WORDS
        else:
            words.add(_plain(str(value)))
    return frozenset(words)


def _listed(words: frozenset[str]) -> str:
    return " or ".join(f"'{word}'" for word in sorted(words))
