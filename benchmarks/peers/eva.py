"""Peer B: linear probes with kaiko-eva on cached embeddings, one after another.

Its own classes as its configurations put them together: an embeddings dataset that reads one
``.pt`` file an image, its data module, a ``HeadModule`` with one linear layer, AdamW, its
``Trainer``. Two things are set in its favour: no processes that load data (its default starts one
a core, with the method ``spawn``, for files of some kilobytes), and no logger. The embeddings are
given ready, so that its time is that of the probes alone.

Started as ``python eva.py JOB.json OUT.json`` by the Python of an environment of its own, in which
``kaiko-eva`` is installed. Nothing of prognobench is used here.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# This script has the name of the package: its own folder must not be looked through.
sys.path = [own for own in sys.path if Path(own).resolve() != Path(__file__).resolve().parent]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from eva.core import metrics, trainers  # noqa: E402
from eva.core.data import dataloaders, datamodules, datasets  # noqa: E402
from eva.core.models.modules import HeadModule  # noqa: E402
from eva.core.trainers.functional import run_evaluation  # noqa: E402
from lightning.pytorch import seed_everything  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from torch import nn  # noqa: E402
from torchmetrics.classification import BinaryAUROC  # noqa: E402


def write_embeddings(features: np.ndarray, folder: Path) -> None:
    """Write one file an image, as the package reads them."""
    (folder / "embeddings").mkdir()
    for row, feature in enumerate(features):
        torch.save(torch.from_numpy(feature.copy()), folder / "embeddings" / f"{row}.pt")


def as_float(target: torch.Tensor) -> torch.Tensor:
    return target.float()


def run(job: dict[str, Any], width: int, folder: Path) -> dict[str, Any]:
    """Train a linear layer and score the test part."""
    began = time.perf_counter()
    seed_everything(job["seed"], verbose=False)
    rows = [
        {"embeddings": f"embeddings/{row}.pt", "target": label, "split": part}
        for part in ("train", "test")
        for row, label in job["rows"][part]
    ]
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    dataset = functools.partial(
        datasets.EmbeddingsClassificationDataset,
        root=str(folder),
        manifest_file="manifest.csv",
        target_transforms=as_float,
    )
    loader = functools.partial(
        dataloaders.DataLoader,
        num_workers=0,
        persistent_workers=False,
        prefetch_factor=None,
        pin_memory=False,
    )
    batch = min(job["batch"], len(job["rows"]["train"]))
    data = datamodules.DataModule(
        datasets=datamodules.schemas.DatasetsSchema(
            train=dataset(split="train"), test=dataset(split="test")
        ),
        dataloaders=datamodules.schemas.DataloadersSchema(
            train=loader(batch_size=batch, shuffle=True), test=loader(batch_size=64)
        ),
    )
    model = HeadModule(
        head=nn.Linear(width, 1),
        criterion=nn.BCEWithLogitsLoss(),
        optimizer=functools.partial(torch.optim.AdamW, lr=job["lr"]),
        metrics=metrics.MetricsSchema(evaluation={"auroc": BinaryAUROC()}),
    )
    trainer = trainers.Trainer(
        default_root_dir=str(folder / "logs"),
        max_steps=job["steps"],
        accelerator="auto",
        logger=False,
        checkpoint_type="last",  # there is no validation part to find the best by
        callbacks=[ModelCheckpoint(every_n_train_steps=job["steps"], save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    _, scores = run_evaluation(trainer, model, data, stages=["fit", "test"], verbose=False)
    auroc = {name: float(value) for own in scores or [] for name, value in own.items()}
    return {"run": job["run"], "seconds": time.perf_counter() - began, "scores": auroc}


def main() -> None:
    given, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    features = np.load(given["features"], allow_pickle=False)
    with tempfile.TemporaryDirectory() as name:
        write_embeddings(features, Path(name))
        results = [run(job, features.shape[1], Path(name)) for job in given["runs"]]
    out.write_text(json.dumps({"runs": results}))


if __name__ == "__main__":
    main()
