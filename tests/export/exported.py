"""A small benchmark whose models were kept, and models exported from it."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from prognobench.execution.benchmark import register, run_benchmark, write_preparation
from prognobench.execution.prepare import prepare
from prognobench.export.choice import Asked
from prognobench.export.export import Exported, export_model
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec

CPU = torch.device("cpu")

SPEC = {
    "name": "small",
    # Several images a patient, so that averaging matters.
    "cohort": {"source": "synthetic", "patients": 30, "seed": 3, "policy": "all"},
    "endpoints": ["icu"],
    "backbones": ["demo_vit", {"name": "efficientnet_lite0", "input_size": 32}],
    "strategies": ["linear", {"name": "lora", "r": 2}, "bitfit", "full"],
    "regimes": [{"name": "full_data", "folds": 2}],
    "recipe": {"epochs": 1},
    "evaluation": {"replicates": 100},
    "controls": ["prevalence"],
    "save_models": True,
    "audit": {"near_duplicates": False},
}


def run(folder: Path, **changes) -> Path:
    """Run the benchmark, without its report."""
    data = {**SPEC, **changes}
    spec = parse_spec(data, "test")
    prepared = prepare(spec)
    output = folder / "out"
    store = ResultsStore(output)
    write_preparation(prepared, output)
    failed = run_benchmark(prepared, register(prepared, store), store, CPU, lambda _: None)
    assert failed == 0, store.runs()["reason"].tolist()
    store.close()
    assert yaml.safe_load((output / "benchmark.yaml").read_text())["name"] == data["name"]
    return output


def export(output: Path, target: Path, **asked) -> Exported:
    options = {key: asked.pop(key) for key in ("include_backbone", "calibration") if key in asked}
    return export_model(output, target, Asked(**asked), CPU, **options)
