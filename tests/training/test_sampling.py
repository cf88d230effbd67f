"""Which images each step sees: all of them as often, or both classes as often."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from problem import make_job

from prognobench.training.sampling import batches


def taken(job, size, balanced, count):
    return list(itertools.islice(batches(job, size, balanced), count))


@given(st.integers(2, 20), st.integers(1, 30))
def test_every_image_comes_as_often_as_any_other(size, count):
    job = make_job(32)
    seen = np.concatenate(taken(job, size, False, count))
    assert set(seen) <= set(job.rows["train"])
    counts = [np.sum(seen == row) for row in job.rows["train"]]
    assert max(counts) - min(counts) <= 1


@given(st.integers(2, 20), st.integers(1, 30))
def test_balanced_batches_hold_both_classes_as_often(size, count):
    job = make_job(32)
    drawn = taken(job, size, True, count)
    for batch in drawn:
        events = job.targets[batch].sum()
        assert abs(2 * events - size) <= 1
    seen = np.concatenate(drawn)
    train = job.rows["train"]
    for label in (0, 1):
        counts = [np.sum(seen == row) for row in train[job.targets[train] == label]]
        assert max(counts) - min(counts) <= 1


def test_the_order_is_the_runs_own():
    job = make_job(32)
    one, two = (taken(job, 8, True, 5) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = taken(dataclasses.replace(job, run="another"), 8, True, 5)
    assert not np.array_equal(one, other)
