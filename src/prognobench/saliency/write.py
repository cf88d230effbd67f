"""Maps of the best candidate of each task, written to ``saliency/`` of the output folder.

A run does not keep its model, so one fold of the best candidate is trained once more. Its
predictions must be those that the run stored, or nothing is drawn.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from prognobench.backbones.backbone import Backbone, load_backbone
from prognobench.errors import UserError
from prognobench.evaluation.cells import NAMES
from prognobench.evaluation.choice import DONE, UNFINISHED, choose_runs
from prognobench.evaluation.detail import CELL, main_cells
from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.patients import UnusablePredictionsError
from prognobench.execution.prepare import Prepared
from prognobench.execution.task_images import TaskImages
from prognobench.export.training import TrainedModel, repeat_run, saved_run
from prognobench.files import atomic_folder, write_json
from prognobench.results.store import ResultsStore
from prognobench.saliency.examples import Example, choose_examples
from prognobench.saliency.folder import DESCRIPTION, task_folder
from prognobench.saliency.maps import method_of
from prognobench.saliency.picture import write_overlay
from prognobench.saliency.sanity import sanity_check
from prognobench.strategies.saving import load_adapter, load_head

VERSION = 1
"""Of what is drawn and how; another one has all maps drawn anew."""

TOLERANCE = 0.01
"""How far probabilities of the model that is trained again may lie from those that were stored."""

SAME_LOGIT = 1e-3
"""How far the logit of the pass that a map was drawn from may lie from that of the training."""

MOST_AT_ONCE = 4
"""Images in one pass: attentions of large transformers take much room."""


class NothingToDrawError(Exception):
    """There are no maps; the message says why, as a part of a sentence."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that is done: its preparation, its store, and where to compute."""

    prepared: Prepared
    store: ResultsStore
    device: torch.device


@dataclass(frozen=True)
class Looked:
    """The run that is looked at.

    Attributes:
        task: The task's name.
        candidate: The candidate's name.
        run: Its row of the store.
    """

    task: str
    candidate: str
    run: Mapping[str, Any]


def write_saliency(
    prepared: Prepared, store: ResultsStore, leaderboard: pd.DataFrame, device: torch.device
) -> None:
    """Write maps of the best candidate of each task; those that are there already are kept.

    Nothing here keeps a report from being made: where maps cannot be drawn the reason is written
    instead.

    Args:
        prepared: The benchmark.
        store: Its store.
        leaderboard: The table of :func:`prognobench.evaluation.tables.leaderboard`.
        device: Where to compute.
    """
    done = Benchmark(prepared, store, device)
    runs = store.runs()
    for _, cell in main_cells(leaderboard).groupby(["dataset", "endpoint"], sort=False):
        first = cell.iloc[0]
        task = f"{first['dataset']}/{first['endpoint']}"
        folder = task_folder(store.output, task)
        try:
            if METRICS[str(first["metric"])].kind != "binary":
                raise NothingToDrawError("maps are drawn for binary outcomes only")
            looked = _best_run(cell, runs)
        except NothingToDrawError as error:
            _write(folder, {"task": task, "reason": str(error)}, [])
            continue
        about: dict[str, Any] = {
            "version": VERSION,
            "task": task,
            "candidate": looked.candidate,
            "run": looked.run["run"],
            "split": looked.run["split"],
        }
        if _is_there(folder, about):
            continue
        try:
            _draw(folder, about, looked, done)
        except (NothingToDrawError, UserError, UnusablePredictionsError) as error:
            _write(folder, {**about, "reason": str(error)}, [])
        except Exception as error:  # a report without maps is worth more than none
            logging.getLogger(__name__).exception("no maps of %s", task)
            told = f"drawing failed ({type(error).__name__}: {' '.join(str(error).split())})"
            _write(folder, {**about, "reason": told}, [])


def _best_run(cell: pd.DataFrame, runs: pd.DataFrame) -> Looked:
    """Return the first fold of the best candidate of a task's main setting."""
    ranked = cell[cell["rank"].notna()].sort_values("rank", kind="stable")
    if ranked.empty:
        raise NothingToDrawError("no candidate has an estimate")
    best = ranked.iloc[0]
    same = pd.Series(True, runs.index)
    for name in (*CELL, *NAMES):
        wanted = best[name]
        alike = runs[name].isna() if pd.isna(wanted) else runs[name] == wanted
        same &= alike.fillna(False).astype(bool)
    own = runs[same]
    if own["state"].isin(UNFINISHED).any():
        raise NothingToDrawError("runs of the best candidate are still to be done")
    chosen = choose_runs(own.reset_index(drop=True))
    order = chosen[chosen["state"] == DONE].sort_values(
        ["seed", "fold", "episode", "split"], kind="stable"
    )
    row = {str(name): value for name, value in order.iloc[0].items()}
    task = f"{best['dataset']}/{best['endpoint']}"
    return Looked(task, f"{best['backbone']} with {best['strategy']}", row)


def _draw(folder: Path, about: dict[str, Any], looked: Looked, benchmark: Benchmark) -> None:
    run = str(looked.run["run"])
    stored = benchmark.store.predictions(run)
    chosen = choose_examples(stored, float(looked.run["threshold"]), run)
    with tempfile.TemporaryDirectory(prefix="prognobench-maps-") as scratch:
        model = _model(looked.run, stored, benchmark, Path(scratch))
        entry = model.run.entry
        images = benchmark.prepared.images()[looked.task, entry.image_size]
        backbone = load_backbone(entry)
        method = method_of(backbone)
        if method is None:
            raise NothingToDrawError(
                f"{entry.name} has neither a feature map that is pooled nor attention over all "
                "patches"
            )
        load_adapter(backbone, model.folder)
        head = load_head(model.folder)
    rows = [images.image_ids.index(example.image_id) for example in chosen]
    device = benchmark.device
    pixels = _pixels(images, rows, device)
    maps, logits = _in_parts(method.draw, backbone.to(device), head.to(device), pixels)
    expected = model.predictions.set_index("image_id").loc[[own.image_id for own in chosen]]
    away = (logits.cpu() - torch.tensor(expected["logit"].to_numpy())).abs().max()
    if not float(away) <= SAME_LOGIT:
        raise NothingToDrawError(
            f"the model that was looked at predicts other logits than its training (by up to "
            f"{float(away):.2g})"
        )
    checked = sanity_check(maps, entry, pixels, method, run)
    about |= {
        "method": method.name,
        "words": method.words,
        "sanity": checked.words,
        "correlation_with_random_weights": checked.correlation,
    }
    _write(
        folder,
        about,
        chosen,
        [(images.pixels[row], own) for row, own in zip(rows, maps, strict=True)],
        entry.input_size / entry.image_size,
    )


def _model(
    run: Mapping[str, Any], stored: pd.DataFrame, benchmark: Benchmark, scratch: Path
) -> TrainedModel:
    name, models = str(run["run"]), benchmark.store.output / "models"
    prepared = benchmark.prepared
    if (models / name).is_dir():
        return saved_run(prepared, name, stored, dict(run), models)
    return repeat_run(prepared, name, stored, scratch, benchmark.device, tolerance=TOLERANCE)


def _pixels(images: TaskImages, rows: list[int], device: torch.device) -> torch.Tensor:
    own = torch.tensor(images.pixels[rows]) if rows else torch.empty(0, 1, 1, dtype=torch.uint8)
    return own.unsqueeze(1).to(device)


def _in_parts(
    draw: Any, backbone: Backbone, head: nn.Linear, pixels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [draw(backbone, head, part) for part in torch.split(pixels, MOST_AT_ONCE)]
    return torch.cat([maps for maps, _ in parts]), torch.cat([logits for _, logits in parts])


def _is_there(folder: Path, about: Mapping[str, Any]) -> bool:
    """Say whether the maps of a run are there, all of them."""
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        same = all(found[name] == value for name, value in about.items())
        files = [folder / Path(one["file"]).name for one in found["examples"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and bool(files) and all(path.is_file() for path in files)


def _write(
    folder: Path,
    about: Mapping[str, Any],
    chosen: list[Example],
    drawn: list[tuple[Any, torch.Tensor]] | None = None,
    covered: float = 1.0,
) -> None:
    """Write description and pictures; neither names a patient or an image."""
    examples = [
        {
            "file": f"example-{number}.png",
            "kind": own.kind,
            "target": own.target,
            "probability": own.probability,
            "images": own.images,
        }
        for number, own in enumerate(chosen, start=1)
    ]
    with atomic_folder(folder) as temporary:
        for example, (image, own) in zip(examples, drawn or [], strict=True):
            write_overlay(temporary / str(example["file"]), image, own, covered)
        write_json(temporary / DESCRIPTION, {**about, "examples": examples})
