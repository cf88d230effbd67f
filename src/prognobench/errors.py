"""Errors that are the user's to mend, told in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something in the user's input is wrong.

    The message is one sentence: which file or key, what was expected, what to do. The command
    line prints it without a traceback and ends with exit code 2.
    """


MANY = 60
"""How many words an error sentence lists at most."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error sentence that names the nearest known word, and the others.

    Of many words only the ten nearest are named.

    Args:
        name: The word that was not understood.
        known: The words that would have been.

    Returns:
        For example ``did you mean 'lora'? Known: bitfit, full, linear, lora``.
    """
    words = sorted(known)
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    if len(words) > MANY:
        words = difflib.get_close_matches(name, words, n=10, cutoff=0)
        return f"{hint}Known: {', '.join(words)}, and others"
    return f"{hint}Known: {', '.join(words) if words else 'none'}"
