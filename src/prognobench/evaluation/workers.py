"""Evaluation on all cores, where there is enough to do for processes to pay."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prognobench.evaluation.finished import Map

LEAST_RUNS = 1500
"""Runs from which on processes, which take seconds to begin, are quicker than one."""

TOGETHER = 16
"""Pieces of work that are handed over at once."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def on_all_cores(runs: int) -> Iterator[Map]:
    """Give what maps functions over work for the block: by this process alone, or by many.

    Args:
        runs: How many runs are to be evaluated.
    """
    many = cores()
    if runs < LEAST_RUNS or many < 2:
        yield map
        return
    from joblib import Parallel, delayed, parallel_config

    with (
        parallel_config("loky", n_jobs=many, inner_max_num_threads=1),
        Parallel(
            batch_size=TOGETHER,
            pre_dispatch=4 * many * TOGETHER,
            return_as="generator",
            max_nbytes=None,  # no large array goes by way of a pickle on the disk
        ) as pool,
    ):

        def over(function: Callable[[Any], Any], work: Iterable[Any]) -> Iterator[Any]:
            results: Iterator[Any] = pool(delayed(function)(own) for own in work)
            return results

        yield over
