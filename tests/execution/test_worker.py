"""What a worker keeps loaded, and where."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from prognobench.backbones.catalog import get_entry
from prognobench.errors import UserError
from prognobench.execution.benchmark import run_benchmark
from prognobench.execution.prepare import prepare
from prognobench.execution.task_images import TaskImages
from prognobench.execution.worker import IMAGES_SHARE, Worker, fits
from prognobench.spec import parse_spec


def images_of_noise():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
    ids = tuple("abcdef")
    return TaskImages(ids, ids, np.array([0, 1] * 3), pixels, "key", pd.DataFrame())


def test_images_that_do_not_fit_on_the_device_stay_with_the_machine(monkeypatch):
    images = images_of_noise()
    gpu = torch.device("cuda")
    free = images.pixels.nbytes / IMAGES_SHARE
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2 * free))
    assert fits(images.pixels.nbytes, gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free - 2, 2 * free))
    assert not fits(images.pixels.nbytes, gpu)
    kept = Worker(gpu)._on_device(images)
    assert kept.device.type == "cpu"
    np.testing.assert_array_equal(kept[:, 0].numpy(), images.pixels)
    assert fits(10**15, torch.device("cpu"))


def small(folder, *strategies):
    """Return a benchmark of two folds on 40 patients, ready to be run."""
    return prepare(
        parse_spec(
            {
                "name": "small",
                "cohort": {"source": "synthetic", "patients": 40, "root": str(folder / "images")},
                "endpoints": ["mortality"],
                "backbones": ["demo_vit"],
                "strategies": list(strategies),
                "regimes": [{"name": "full_data", "folds": 2}],
            },
            "a test",
        )
    )


def test_what_a_group_shares_is_loaded_once(tmp_path):
    made = small(tmp_path, "lora")
    worker = Worker(torch.device("cpu"))
    (images,) = made.images().values()
    worker.make_ready([tuple(made.runs)], images)
    backbone, pixels = worker._load(made.runs[0]), worker._on_device(images)
    assert worker._load(made.runs[1]) is backbone
    assert worker._on_device(images) is pixels
    job = worker._job(made.runs[1], images)
    assert job.images.data_ptr() == pixels.data_ptr()


def test_libraries_of_all_groups_are_there_before_processes_are_forked(tmp_path, monkeypatch):
    from prognobench.execution import worker as module

    made = small(tmp_path, "full", "lora")
    groups = [(run,) for run in sorted(made.runs, key=lambda run: run.method.name != "full")]
    assert not groups[0][0].method.imports
    (images,) = made.images().values()
    loaded = []
    monkeypatch.setattr(module.importlib, "import_module", loaded.append)
    Worker(torch.device("cpu")).make_ready(groups, images)
    assert loaded == ["peft"]
    Worker(torch.device("cpu"), tmp_path / "models").make_ready(groups, images)
    assert loaded[1:] == ["peft", "prognobench.strategies.saving"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device was found")
def test_a_run_is_the_same_with_its_images_on_the_device_or_not():
    from prognobench.backbones.backbone import load_backbone
    from prognobench.backbones.catalog import get_entry
    from prognobench.strategies.strategy import get_strategy
    from prognobench.training.engine import train_by_gradient
    from prognobench.training.job import Job
    from prognobench.training.recipe import Recipe

    backbone = load_backbone(get_entry("demo_vit")).to("cuda")
    side = backbone.entry.image_size
    pixels = torch.randint(0, 256, (24, 1, side, side), dtype=torch.uint8)
    order, targets = np.arange(24), np.arange(24) % 2
    rows = {"train": order[:12], "val": order[12:18], "test": order[18:]}
    method, recipe = get_strategy("bitfit"), Recipe(epochs=2, precision="float32")
    options = method.resolve({}, "vit")
    logits = [
        train_by_gradient(
            Job("a run", own, targets, order, rows, 0.5), backbone, method, options, recipe
        ).logits
        for own in (pixels, pixels.to("cuda"))
    ]
    np.testing.assert_allclose(*logits, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "digest", "sentence"),
    [
        ("demo_vit", "", "`prognobench pull demo_vit`"),
        ("xrv_densenet121", "", "or name copies as 'weights'"),  # which nobody can pull
        ("dinov3_vits16", "0" * 64, "--accept-lic"),
    ],
)
def test_other_machines_get_no_run_of_weights_that_are_not_known_or_allowed(
    tmp_path, monkeypatch, name, digest, sentence
):
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))  # terms that nobody has accepted
    entry = get_entry(name)
    entry = replace(entry, weights=replace(entry.weights, sha256=digest))
    spec = SimpleNamespace(save_models=False)
    with pytest.raises(UserError, match=sentence):
        run_benchmark(
            SimpleNamespace(spec=spec, images=dict),
            [SimpleNamespace(entry=entry)],
            SimpleNamespace(output=tmp_path),
            torch.device("cpu"),
            print,
            on_ray="cpu",
        )
