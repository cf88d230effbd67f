"""Which images each training step sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from prognobench.randomness import derived_seed
from prognobench.training.job import Job

Rows = npt.NDArray[np.int64]


def batches(job: Job, size: int, balanced: bool) -> Iterator[Rows]:
    """Yield the images of one step after another, without end.

    Args:
        job: The run's data; its id gives the random stream.
        size: Images a step.
        balanced: Whether the classes take turns, each in permutations of its own, so that the
            numbers of both in a batch differ by one at most. Otherwise all images come in one
            permutation after another.
    """
    train = job.rows["train"]
    events = job.targets[train] == 1
    groups = [train[~events], train[events]] if balanced else [train]
    streams = [
        _permutations(group, np.random.default_rng(derived_seed(job.run, "batches", number)))
        for number, group in enumerate(groups)
    ]
    turn = 0
    while True:
        batch = []
        for _ in range(size):
            batch.append(next(streams[turn]))
            turn = (turn + 1) % len(streams)
        yield np.array(batch, dtype=np.int64)


def _permutations(rows: Rows, random: np.random.Generator) -> Iterator[int]:
    while True:
        yield from random.permutation(rows).tolist()
