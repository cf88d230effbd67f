"""A benchmark of a few seconds, done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prognobench.execution.benchmark import register, run_benchmark, write_preparation
from prognobench.execution.prepare import prepare
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec

SPEC: dict[str, Any] = {
    "name": "small",
    "cohort": {"source": "synthetic", "patients": 40},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
    "regimes": [
        {"name": "full_data", "folds": 2},
        {"name": "few_shot", "shots": [2, 4], "episodes": 3},
    ],
    "evaluation": {"replicates": 100},
    "audit": {"near_duplicates": False},
}


def done(folder: Path) -> Path:
    """Do the benchmark in a folder, without its report."""
    import torch

    prepared = prepare(parse_spec(SPEC, "test"))
    store = ResultsStore(folder)
    write_preparation(prepared, folder)
    todo = register(prepared, store)
    assert run_benchmark(prepared, todo, store, torch.device("cpu"), lambda _: None) == 0
    store.close()
    return folder
