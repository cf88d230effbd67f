"""benchmarks/gpu.py: its arithmetic on a CPU at tiny size, and on a GPU where there is one."""

from __future__ import annotations

import json

import pytest
import torch

from prognobench.backbones.catalog import get_entry
from prognobench.execution.prepare import prepare
from prognobench.spec import parse_spec

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device was found")


@pytest.mark.slow  # the peer is started twice
def test_all_cells_are_measured_beside_the_peer(tmp_path):
    import gpu

    size = gpu.Size(runs=(2,), batch=4, steps=2, images=12, ceiling_side=64)
    known = {
        "small": get_entry("demo_vit"),
        "convolutions": get_entry("efficientnet_lite0", 64),
    }
    found = json.loads(json.dumps(gpu.measure(torch.device("cpu"), tmp_path, known, size)))
    cells = found["cells"]
    assert cells.keys() == {
        *(f"small {own}" for own in ("linear 1", "lora 2", "full 1")),
        *(f"small peer A {own}" for own in ("float32", "bfloat16")),
        *(f"convolutions {own} 1" for own in ("linear", "lora", "full")),
    }
    lora, peer = cells["small lora 2"], cells["small peer A float32"]
    flops = 2 * gpu.count_cost(known["small"]).flops
    assert lora["operations_per_second"] == pytest.approx(lora["images_per_second"] * flops)
    assert lora["share_of_ceiling"] == lora["operations_per_second"] / found["ceiling"]
    times = lora["images_per_second"] / peer["images_per_second"]
    assert lora["times_peer_float32"] == pytest.approx(times)
    assert set(gpu.slowest(found["speeds"])) == {
        (backbone, kind) for backbone in ("vit", "cnn") for kind in gpu.PASSES
    }


def test_the_hours_of_a_plan_are_its_operations_over_the_speeds(tmp_path):
    import gpu

    made = prepare(
        parse_spec(
            {
                "name": "plan",
                "cohort": {"source": "synthetic", "patients": 40, "root": str(tmp_path / "images")},
                "endpoints": ["mortality"],
                "backbones": ["demo_vit"],
                "strategies": ["linear", "full", "lora"],
                "regimes": [
                    {"name": "full_data", "folds": 2},
                    {"name": "few_shot", "shots": [2], "episodes": 2, "folds": 2},
                ],
                "recipe": {"epochs": 10},
            },
            "a test",
        )
    )
    speeds = {("vit", "linear"): 1e9, ("vit", "full"): 2e9, ("vit", "adapter"): 4e9}
    found = gpu.paper_hours(made, speeds, epochs=(5, 10, 20))
    whole = found["hours_by_epochs"]
    kinds = {"linear": "linear", "full": "full", "lora": "adapter"}
    expected = 0.0
    for name, kind in kinds.items():
        for regime in ("full_data", "few_shot"):
            ids = {
                run.id
                for run in made.runs
                if run.method.name == name and run.split.regime == regime
            }
            expected += gpu.operations(made, ids) / speeds["vit", kind] / 3600
    assert whole["10"] == pytest.approx(expected)
    assert whole["20"] == whole["10"]  # no run goes on for longer than its recipe
    stopping = sum(part["hours_at_most"] for part in found["of"] if part["stops_early"])
    assert stopping > 0
    assert whole["5"] == pytest.approx(whole["10"] - stopping / 2)
    assert sum(part["runs"] for part in found["of"]) == len(made.runs)


def test_without_a_gpu_it_says_so(monkeypatch):
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device was found"):
        gpu.main([])


@pytest.mark.gpu
@needs_gpu
def test_the_goals_are_reached_on_this_gpu(tmp_path):
    import gpu

    found = gpu.measure(torch.device("cuda"), tmp_path, gpu.entries(tmp_path), gpu.Size())
    for name in ("ViT-S", "ViT-B"):
        best = max(
            (found["cells"][f"{name} lora {runs}"] for runs in gpu.RUNS),
            key=lambda cell: cell["images_per_second"],
        )
        assert best["times_peer_float32"] >= gpu.GOALS["times_peer"], (name, best)
        assert best["share_of_ceiling"] >= gpu.GOALS["share_of_ceiling"], (name, best)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("strategy", ["lora", "bitfit"])
def test_runs_trained_together_on_a_gpu_are_as_alone(strategy):
    import numpy as np

    from growth import job, noise
    from prognobench.backbones.backbone import load_backbone
    from prognobench.strategies.strategy import get_strategy
    from prognobench.training.engine import train_by_gradient, train_together
    from prognobench.training.pace import Steady
    from prognobench.training.recipe import Recipe

    device = torch.device("cuda")
    backbone = load_backbone(get_entry("demo_vit")).to(device)
    images = noise(48, backbone.entry.image_size, device)
    method = get_strategy(strategy)
    options = method.resolve({}, "vit")
    recipe = Recipe(few_shot_steps=20, batch_size=8, precision="float32")
    jobs = [(job(images, number, 24), options) for number in range(5)]
    together = dict(train_together(jobs, backbone, method, recipe, pace=Steady(4)))
    for own, given in jobs:
        alone = train_by_gradient(own, backbone, method, given, recipe)
        one, other = (1 / (1 + np.exp(-each.logits)) for each in (alone, together[own.run]))
        np.testing.assert_allclose(other, one, atol=1e-3)
