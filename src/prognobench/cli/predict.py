"""``prognobench predict``: images in, calibrated probabilities out."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prognobench.cli.options import Device, DeviceOption, JsonOption
from prognobench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Threshold(StrEnum):
    """Which of the model's thresholds decides."""

    FIXED = "fixed"
    VALIDATED = "validated"
    SENSITIVE = "sensitive"


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder that `export` wrote.")
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE ...]",
            help="DICOM, PNG or JPEG files, or folders of them.",
            show_default=False,
        ),
    ] = None,
    *,
    patients: Annotated[
        Path | None,
        typer.Option(
            help="A table (.csv) with the columns path and patient_id: one row a patient is given, "
            "averaged over the patient's images.",
            show_default="none",
        ),
    ] = None,
    threshold: Annotated[
        Threshold, typer.Option(help="The threshold that `positive` goes by.")
    ] = Threshold.FIXED,
    output: Annotated[
        Path | None,
        typer.Option(help="Write here, .csv or .json.", show_default="the terminal, as CSV"),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="The file of the backbone's weights, where the model does not hold them.",
            show_default="where `pull` puts it",
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Predict images with an exported model. For research only: it is no medical device.

    Columns: path, logit, probability (raw, as in the benchmark), corrected (the prior of training
    taken back), calibrated (the one to read), positive, error; of a model of scores path, score,
    level, error, of one of times path, log_hazard, risk, error. With --patients, paths of the table
    are relative to its folder, and images may be left out.

    Exit code 0: every image was predicted. 1: some could not be read (they are named). 2: the
    input is wrong, or no image could be read.
    """
    import json

    from prognobench.prediction.image_files import find_images
    from prognobench.prediction.model import NOTICE, load_model
    from prognobench.prediction.patients import read_patients

    if output is not None and output.suffix not in (".csv", ".json"):
        raise UserError(f"--output {output}: the file must end .csv or .json")
    if not images and patients is None:
        raise UserError("no image is named: name files or folders, or a table with --patients")
    table = read_patients(patients) if patients is not None else None
    found = find_images(images or list(table or ()))
    loaded = load_model(model, device.value, weights)
    print(NOTICE, file=sys.stderr)
    rows = loaded.predict_files(found.paths, threshold.value)
    unreadable = rows[rows["error"].notna()]
    if table is not None:
        names = [table.patient_of(path) for path in found.paths]
        shown = loaded.average(rows, names, threshold.value)
    else:
        shown = rows
    if as_json or (output is not None and output.suffix == ".json"):
        text = json.dumps(
            {
                "model": str(model),
                "task": f"{loaded.about.task.dataset}/{loaded.about.task.endpoint}",
                "positive": loaded.about.task.positive,
                "notice": NOTICE,
                "kind": loaded.about.outcome.kind,
                "horizon": loaded.about.outcome.horizon,
                "threshold": {threshold.value: loaded.threshold(threshold.value)},
                "predictions": _records(shown),
                "unreadable": _records(unreadable[["path", "error"]]),
                "passed_over": found.passed_over,
            },
            indent=2,
        )
        text += "\n"
    else:
        text = shown.to_csv(index=False, lineterminator="\n")
    _give(text, output)
    for path, reason in zip(unreadable["path"], unreadable["error"], strict=True):
        print(f"unreadable: {path}: {reason}", file=sys.stderr)
    print(_counted(len(rows), len(unreadable), found.passed_over), file=sys.stderr)
    if len(unreadable):
        raise typer.Exit(2 if len(unreadable) == len(rows) else 1)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _give(text: str, output: Path | None) -> None:
    from prognobench.files import write_text

    if output is None:
        print(text, end="")
        return
    try:
        write_text(output, text)
    except OSError as error:
        raise UserError(f"--output {output} cannot be written ({error.strerror})") from error


def _counted(images: int, unreadable: int, passed_over: int) -> str:
    words = f"{images - unreadable} of {images} images predicted"
    if unreadable:
        words += f", {unreadable} unreadable"
    if passed_over:
        words += f", {passed_over} other files in the folders passed over"
    return words
