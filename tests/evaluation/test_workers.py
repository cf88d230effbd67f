"""Many processes give what one gives, to the last bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated import predictions_table, runs_table

from prognobench.evaluation import workers
from prognobench.evaluation.finished import Runs
from prognobench.evaluation.tables import leaderboard, run_metrics


class Stored:
    """Predictions that another process can be given."""

    def __init__(self, tables):
        self.tables = tables

    def __call__(self, run):
        return self.tables[run]


@pytest.fixture
def benchmark():
    random = np.random.default_rng(0)
    tables, rows = {}, []
    for backbone in ("small", "large"):
        for fold in range(3):
            run = f"{backbone}-{fold}"
            names = [f"p{number}" for number in range(20 * fold, 20 * fold + 20)]
            target = np.tile([0, 0, 1, 0], 5)
            tables[run] = predictions_table(names, target, target + random.normal(size=20))
            rows.append({"run": run, "backbone": backbone, "fold": fold, "split": f"f{fold}"})
    return runs_table(rows), Stored(tables)


def test_processes_give_what_one_gives(benchmark, monkeypatch):
    runs, stored = benchmark
    alone = leaderboard(runs, stored, replicates=50), run_metrics(runs, stored)
    monkeypatch.setattr(workers, "LEAST_RUNS", 1)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    with workers.on_all_cores(len(runs)) as mapped:
        assert mapped is not map
        shared = Runs(stored, mapped)
        many = leaderboard(runs, shared, replicates=50), run_metrics(runs, shared)
    for one, other in zip(alone, many, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_few_runs_stay_here(benchmark):
    with workers.on_all_cores(len(benchmark[0])) as mapped:
        assert mapped is map
