"""From an output folder to a model folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.entry import BackboneEntry, LocalFile
from prognobench.errors import UserError
from prognobench.evaluation.choice import choose_runs
from prognobench.evaluation.kinds import kind_of
from prognobench.evaluation.recalibration import METHODS, Method, RecalibrationFit
from prognobench.execution.benchmark import require_weights
from prognobench.execution.prepare import Prepared
from prognobench.export.card import write_card
from prognobench.export.choice import Asked, Chosen, choose
from prognobench.export.contents import describe_model
from prognobench.export.out_of_fold import recalibrate
from prognobench.export.training import (
    TrainedModel,
    prepare_task,
    refit,
    repeat_run,
    saved_run,
)
from prognobench.files import write_json, write_text
from prognobench.prediction.description import ModelDescription
from prognobench.prediction.folder import BACKBONE, CARD, DESCRIPTION, TRAINED, write_digests
from prognobench.prediction.model import load_model
from prognobench.prediction.outputs import VALUES, image_values
from prognobench.results.store import ResultsStore
from prognobench.results.tested import tested_by_splits
from prognobench.spec import BenchmarkSpec, load_spec

FREE_LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "cc-by-4.0")
"""Licences that allow the weights of a backbone to be passed on with a notice."""

MOST_CHECKED = 128
"""Images that a model is tried on after it was written."""

LARGEST_DIFFERENCE = 1e-3
"""By which a written model's predictions may differ from those of its training, at most."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: The model folder.
        about: Its description.
        findings: What must be said of the choice, in sentences.
        largest_difference: The largest difference between a prediction (a probability, a score, a
            log hazard) by the written model and by its training, on the images it was tried on.
    """

    folder: Path
    about: ModelDescription
    findings: tuple[str, ...]
    largest_difference: float


def export_model(
    output: Path,
    target: Path,
    asked: Asked,
    device: torch.device,
    *,
    calibration: Method | None = None,
    include_backbone: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write one model of a benchmark into a folder.

    Args:
        output: The output folder of the benchmark.
        target: The model folder, which must not be there yet; it appears when it is whole.
        asked: Which candidate or run.
        device: Where to train.
        calibration: The method of recalibration; None chooses.
        include_backbone: Whether the backbone's own weights are written too.
        progress: Called while images are decoded.

    Raises:
        UserError: When something of it cannot be.
    """
    if target.exists():
        raise UserError(f"{target} is there already: name another folder with --output")
    spec, datasets = _benchmark(output)
    if spec.images.lung_crop:
        raise UserError(
            f"{output} was run with images.lung_crop, and a model cannot be exported that needs a "
            "mask of every image it shall predict: run the benchmark without lung_crop"
        )
    store = ResultsStore(output)
    try:
        runs = store.runs()
        tested = tested_by_splits(output, choose_runs(runs))
        chosen = choose(runs, store.predictions, spec.evaluation, asked, tested)
        prepared = prepare_task(spec, datasets, chosen, progress)
        entry = prepared.runs[0].entry
        _check_license(entry, include_backbone)
        require_weights([entry])
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")
        except OSError as error:
            raise UserError(
                f"the model folder {target} cannot be written ({error.strerror}): name another "
                "with --output"
            ) from error
        with scratch as temporary:
            model = _model(store, prepared, chosen, Path(temporary) / "runs", device)
            fitted = _recalibrated(store, chosen, calibration)
            about = describe_model(
                output,
                spec=spec,
                prepared=prepared,
                chosen=chosen,
                model=model,
                fitted=fitted,
                calibration=calibration,
                include_backbone=include_backbone,
            )
            whole = Path(temporary) / "model"
            _write(whole, model.folder, about, entry, include_backbone)
            away = _difference(whole, prepared, model, entry, device)
            whole.replace(target)
    finally:
        store.close()
    return Exported(target, about, chosen.findings, away)


def _benchmark(output: Path) -> tuple[BenchmarkSpec, list[str]]:
    """Return the spec and the names of its cohorts."""
    try:
        cohorts = json.loads((output / "cohort" / "cohort.json").read_text(encoding="utf-8"))
        names = [str(own["name"]) for own in cohorts["cohorts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{output} holds no finished benchmark (cohort/cohort.json): name the output folder "
            "of a run"
        ) from error
    return load_spec(output / "benchmark.yaml"), names


def _model(
    store: ResultsStore, prepared: Prepared, chosen: Chosen, folder: Path, device: torch.device
) -> TrainedModel:
    if chosen.run is None:
        return refit(prepared, chosen, folder, device)
    stored = store.predictions(chosen.run)
    models = store.output / "models"
    if (models / chosen.run).is_dir():
        (found,) = chosen.runs[chosen.runs["run"] == chosen.run].to_dict("records")
        row = {str(key): value for key, value in found.items()}
        return saved_run(prepared, chosen.run, stored, row, models)
    return repeat_run(prepared, chosen.run, stored, folder, device)


def _recalibrated(
    store: ResultsStore, chosen: Chosen, calibration: Method | None
) -> RecalibrationFit | None:
    """Return how probabilities are recalibrated; None where there are none.

    Raises:
        UserError: When the method asked for cannot be fitted.
    """
    kind = kind_of(chosen.runs.iloc[0])
    if kind != "binary":
        if calibration is not None:
            raise UserError(
                f"--calibration {calibration}: {chosen.task} is {kind.replace('_', ' ')}, and only "
                "probabilities of an event that happens or not are recalibrated: leave it out"
            )
        return None
    methods = METHODS if calibration is None else (calibration,)
    fitted = recalibrate(chosen.runs, store.predictions, chosen.run, methods)
    if calibration is not None and fitted.chosen.method != calibration:
        raise UserError(
            f"--calibration {calibration} cannot be fitted ({fitted.reason}): leave it out"
        )
    return fitted


def _check_license(entry: BackboneEntry, include_backbone: bool) -> None:
    free = entry.license.lower() in FREE_LICENSES and not entry.weights.terms
    if include_backbone and not free:
        raise UserError(
            f"the weights of {entry.name} come under '{entry.license}', which does not clearly "
            "allow them to be passed on: leave out --include-backbone, the model then names them "
            "by their SHA-256"
        )


def _write(
    folder: Path,
    trained: Path,
    about: ModelDescription,
    entry: BackboneEntry,
    include_backbone: bool,
) -> None:
    folder.mkdir(parents=True)
    shutil.copytree(trained, folder / TRAINED)
    write_json(folder / DESCRIPTION, about.model_dump(mode="json"))
    write_text(folder / CARD, write_card(about))
    if include_backbone:
        state = load_backbone(entry).network.state_dict()
        tensors = {name: tensor.contiguous().clone() for name, tensor in state.items()}
        save_file(tensors, folder / BACKBONE)
    write_digests(folder)
    # A temporary folder is its owner's alone; a model is for sharing.
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)


def _difference(
    folder: Path,
    prepared: Prepared,
    model: TrainedModel,
    entry: BackboneEntry,
    device: torch.device,
) -> float:
    """Predict with what was written and return how far it is from what training gave.

    Raises:
        UserError: When it is another model.
    """
    file = entry.weights.file
    written = load_model(folder, device.type, file.path if isinstance(file, LocalFile) else None)
    ((_, images),) = prepared.images().items()
    row_of = {image_id: row for row, image_id in enumerate(images.image_ids)}
    # Those that are judged: after training anew none was tested, and without a validation part
    # only training is left.
    parts = dict(iter(model.predictions.groupby("part")))
    judged = next(parts[part] for part in ("test", "val", "train") if part in parts)
    some = judged.sort_values("image_id").head(MOST_CHECKED)
    rows = [row_of[image_id] for image_id in some["image_id"]]
    logits = written.logits(np.asarray(images.pixels[rows]))
    outcome = written.about.outcome
    if outcome.kind == "binary":
        given, what = 1 / (1 + np.exp(-logits)), "probability"
    else:
        what, _ = VALUES[outcome.kind]
        given = image_values(outcome, logits)[what].to_numpy()
    away = np.abs(given - some[what].to_numpy())
    if float(away.max()) > LARGEST_DIFFERENCE:
        raise UserError(
            f"the written model predicts something else than its training (by up to "
            f"{float(away.max()):.2g}): this strategy cannot be exported"
        )
    return float(away.max())
