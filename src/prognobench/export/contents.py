"""What a model folder says of its model: the content of ``export.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prognobench.backbones.choice import BackboneSpec
from prognobench.cohorts.task import Task
from prognobench.evaluation.finished import thresholds_of
from prognobench.evaluation.metrics import METRICS, SHOWN
from prognobench.evaluation.patients import values_by_patient
from prognobench.evaluation.recalibration import Method, RecalibrationFit
from prognobench.evaluation.time_curves import median_event
from prognobench.evaluation.times import baseline_hazard
from prognobench.execution.environment import describe_environment
from prognobench.execution.prepare import Prepared
from prognobench.export.choice import Chosen
from prognobench.export.training import TrainedModel
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION
from prognobench.prediction.description import FORMAT, ModelDescription, describe
from prognobench.prediction.folder import DESCRIPTION
from prognobench.spec import BenchmarkSpec


def describe_model(
    output: Path,
    *,
    spec: BenchmarkSpec,
    prepared: Prepared,
    chosen: Chosen,
    model: TrainedModel,
    fitted: RecalibrationFit | None,
    calibration: Method | None,
    include_backbone: bool,
) -> ModelDescription:
    """Return everything that is known of a model, its tensors aside.

    Args:
        output: The output folder of the benchmark.
        spec: The benchmark.
        prepared: The task.
        chosen: The candidate.
        model: What was trained.
        fitted: Its recalibration; None where the outcome is no event that happens or not.
        calibration: The method of recalibration that was asked for; None where it was chosen.
        include_backbone: Whether the backbone's weights are part of the folder.
    """
    run, entry, task = model.run, model.run.entry, prepared.tasks[0]
    backbone = prepared.spec.backbones[0]
    environment = describe_environment(torch.device("cpu"))
    data = {
        "format": FORMAT,
        "task": {
            "dataset": chosen.dataset,
            "endpoint": chosen.endpoint,
            "positive": task.positive,
            "policy": task.policy,
        },
        "backbone": {
            "spec": BackboneSpec.model_validate(
                {**backbone.model_dump(), "weights": None}
            ).model_dump(mode="json"),
            "identity": entry.identity(),
            "license": entry.license,
            "origin": entry.weights.origin,
            "included": include_backbone,
        },
        "strategy": {
            "name": run.method.name,
            "label": chosen.strategy,
            "options": run.options.model_dump(mode="json"),
        },
        "preprocessing": {
            "decode": DECODE_VERSION,
            "geometry": GEOMETRY_VERSION,
            "percentiles": prepared.spec.images.percentiles,
            "image_size": entry.image_size,
            "input_size": entry.input_size,
            "mean": entry.mean,
            "std": entry.std,
        },
        "outcome": _outcome(task, model),
        "thresholds": fitted
        and thresholds_of(model.predictions, model.prior_logit_shift, model.threshold),
        "calibration": fitted
        and {
            "prior_logit_shift": model.prior_logit_shift,
            "method": fitted.chosen.method,
            "intercept": fitted.chosen.intercept,
            "slope": fitted.chosen.slope,
            "about": {**fitted.as_json(), "asked_for": calibration},
        },
        "training": {
            "dataset": chosen.dataset,
            **_patients(model.predictions),
            "task_patients": len(task.patients),
            "events": task.flow()[-1].events,
            "recipe": run.recipe.identity(),
            "seed": run.seed,
            "training": {key: model.info[key] for key in _TOLD if key in model.info},
            **_cohort(output, chosen),
        },
        "performance": _performance(chosen, spec.evaluation.confidence),
        "origin": {
            "benchmark": spec.name,
            "run": run.id,
            "procedure": "trained anew on all patients of the task"
            if chosen.run is None
            else f"the model of the split {run.split.name}",
            **{
                name: environment["packages"][name]
                for name in ("prognobench", "torch", "timm", "peft")
            },
        },
    }
    return describe(json.loads(json.dumps(data)), DESCRIPTION)


def _outcome(task: Task, model: TrainedModel) -> dict[str, Any]:
    """Return of what kind the outcome is, and how what the model gives becomes a prediction."""
    told: dict[str, Any] = {"kind": task.kind, "highest": task.outcome.highest}
    scale = ("score_mean", "score_deviation", "log_hazard_mean")
    told |= {name: model.info[name] for name in scale if name in model.info}
    if task.kind == "time_to_event":
        # Of patients, as the benchmark has it: whoever has more images does not count more.
        _, times, hazard, _ = values_by_patient(model.predictions, "train", "log_hazard", "patient")
        horizon = median_event(times)
        if horizon is not None:
            at = np.array([horizon])
            (until,) = baseline_hazard(times, hazard, at, model.prior_logit_shift)
            told |= {"horizon": horizon, "baseline_hazard": float(until)}
    return told


SMALLEST_GROUP = 5
"""Groups with fewer patients or events are not counted out, so that nobody is singled out."""

_VERSIONS = ("prognobench", "torch", "timm", "peft", "pydicom", "pillow")

_TOLD = ("steps", "epochs", "best_epoch", "C", "precision")
"""What of a training's facts is told."""


def _patients(predictions: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many patients and images are in each part."""
    by_part = {part: predictions[predictions["part"] == part] for part in ("train", "val", "test")}
    return {
        "patients": {part: int(own["patient_id"].nunique()) for part, own in by_part.items()},
        "images": {part: len(own) for part, own in by_part.items()},
    }


def _cohort(output: Path, chosen: Chosen) -> dict[str, Any]:
    """Return where the cohort came from and who is in it, from what the run wrote."""
    cohorts = json.loads((output / "cohort" / "cohort.json").read_text(encoding="utf-8"))
    source = next(own for own in cohorts["cohorts"] if own["name"] == chosen.dataset)["provenance"]
    try:
        audits = json.loads((output / "cohort" / "audit.json").read_text(encoding="utf-8"))
        audit = audits[chosen.task]
        groups: Mapping[str, Any] = audit["endpoints"][chosen.endpoint]["by"]
        counted = {
            column: {
                str(name): {key: _not_few(own[key]) for key in ("patients", "events")}
                for name, own in by.items()
            }
            for column, by in groups.items()
        }
        warnings = [str(warning) for warning in audit["warnings"]]
    except (OSError, ValueError, KeyError, TypeError):
        counted, warnings = {}, []
    return {"source": source, "groups": counted, "warnings": warnings}


def _not_few(number: int) -> int | None:
    """Return a count, or None where it is so small that it could single somebody out."""
    return int(number) if number >= SMALLEST_GROUP else None


def _performance(chosen: Chosen, confidence: float) -> dict[str, Any]:
    row = chosen.row
    own = {
        row["metric"]: {
            "estimate": row["estimate"],
            "low": row["ci_low"],
            "high": row["ci_high"],
            "chance": row["chance"],
        }
    }
    for name in SHOWN[METRICS[row["metric"]].kind]:
        if name in row and name not in own:
            own[name] = {
                "estimate": row[name],
                "low": row[f"{name}_ci_low"],
                "high": row[f"{name}_ci_high"],
                "chance": row[f"{name}_chance"],
            }
    control = None
    if row["control"] is not None:
        control = {
            "name": row["control"],
            "difference": row["control_difference"],
            "low": row["control_low"],
            "high": row["control_high"],
            "beaten": bool(row["beats_controls"]),
        }
    return {
        "regime": chosen.regime,
        "refitted": chosen.run is None,
        "metric": row["metric"],
        "confidence": confidence,
        "metrics": own,
        "control": control,
        "in_best_group": bool(row["best_group"]),
        "n_patients": row["n_patients"],
        "n_positive": row["n_positive"],
        "findings": list(chosen.findings),
    }
