"""When memory runs out, the device's or the machine's: the same work goes on in smaller parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

_Part = TypeVar("_Part")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, the device's or the machine's."""
    # torch has a class of its own for the device's memory only.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "can't allocate memory" in str(error)
    )


def in_parts(act: Callable[[slice], _Part], count: int, size: int) -> list[_Part]:
    """Do something to all of so many things, so many at once, and half as many where memory ends.

    Args:
        act: Does it to those in a slice.
        count: How many things there are; where there are none, one empty part is done.
        size: How many at once, at first.

    Returns:
        What came of each part, in order.
    """
    parts: list[_Part] = []
    done = 0
    while done < count or not parts:
        try:
            parts.append(act(slice(done, done + size)))
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size //= 2
        else:
            done += size
    return parts
