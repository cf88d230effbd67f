"""An exported model in use: images in, calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.errors import UserError
from prognobench.evaluation.patients import patient_predictions
from prognobench.evaluation.recalibration import Recalibration
from prognobench.prediction.adapted import load_adapted
from prognobench.prediction.description import ModelDescription, describe
from prognobench.prediction.folder import DESCRIPTION, read_description, verify
from prognobench.prediction.image_files import find_images, read_squares
from prognobench.prediction.outputs import VALUES, image_values, patient_values
from prognobench.training.precision import full_float32

BATCH = 64

NOTICE = (
    "For research only: this model is no medical device and must not be used to care for a patient."
)

OperatingPoint = Literal["fixed", "validated", "sensitive"]

COLUMNS: Mapping[str, str] = {
    "path": "the file, as it was named or found",
    "patient_id": "the patient, where a table of patients was given",
    "images": "how many readable images the patient has (rows of patients only)",
    "logit": "what the model gives (rows of images only)",
    "probability": "expit(logit), the benchmark's own raw probability; a patient's is the mean",
    "corrected": "after the prior that training added was taken back; a patient's is the mean",
    "calibrated": "corrected, then recalibrated by out-of-fold predictions: the one to read",
    "positive": "whether probability reaches the threshold of the operating point",
    "score": "of a model of scores: the predicted score, not rounded; a patient's is the mean",
    "level": "the nearest level to it, as the benchmark judges it",
    "log_hazard": "of a model of times: higher is earlier, 0 the mean of the training images; a "
    "patient's is the mean",
    "risk": "the predicted probability of the event until the model's horizon",
    "error": "why the file could not be read; empty where it could",
}
"""The columns of predictions."""


class Model:
    """A model that ``prognobench export`` wrote.

    Attributes:
        about: Everything that is known of it.
        device: Where it computes.
    """

    def __init__(
        self, about: ModelDescription, backbone: Backbone, head: nn.Linear, device: torch.device
    ) -> None:
        self.about, self.device = about, device
        self._backbone, self._head = backbone.to(device), head.to(device)
        calibration = about.calibration
        if calibration is not None:
            self._shift = calibration.prior_logit_shift
            self._recalibrate = Recalibration(
                calibration.method, calibration.intercept, calibration.slope
            )

    def logits(self, squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the logits, float64 [N], of decoded squares, uint8 [N, S, S].

        Raises:
            UserError: When a logit is no finite number.
        """
        images = torch.from_numpy(np.ascontiguousarray(squares)).unsqueeze(1).to(self.device)
        with torch.inference_mode(), full_float32():
            parts = [
                self._head(self._backbone.features(own).to(self._head.weight.dtype)).squeeze(1)
                for own in torch.split(images, BATCH)
            ]
        logits: npt.NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        if not np.isfinite(logits).all():
            raise UserError("the model gives values that are no finite numbers: get it anew")
        return logits

    def predict(
        self,
        images: str | Path | Iterable[str | Path],
        operating_point: OperatingPoint = "fixed",
    ) -> pd.DataFrame:
        """Predict every image; a file that cannot be read stops nothing.

        Args:
            images: A DICOM, PNG or JPEG file, a folder of them, or several of either.
            operating_point: Which of the model's thresholds ``positive`` goes by.

        Returns:
            One row an image: ``path, logit, probability, corrected, calibrated, positive,
            error`` (:data:`COLUMNS`). Numbers are missing where ``error`` says why. A model of
            scores gives ``score, level`` and one of times ``log_hazard, risk`` between path and
            error.

        Raises:
            UserError: When a name is no file, no image is found, or the model has no such
                threshold.
        """
        named = [images] if isinstance(images, str | Path) else list(images)
        found = find_images([Path(one) for one in named])
        return self.predict_files(found.paths, operating_point)

    def predict_files(
        self, paths: Sequence[Path], operating_point: OperatingPoint = "fixed"
    ) -> pd.DataFrame:
        """Predict files that are known to be there, as :meth:`predict`."""
        threshold = self.threshold(operating_point)
        size = self.about.preprocessing.image_size
        percentiles = self.about.preprocessing.percentiles
        rows: list[tuple[str, float, str | None]] = []
        for start in range(0, len(paths), BATCH):
            read = list(read_squares(paths[start : start + BATCH], size, percentiles))
            squares = [square for _, square in read if not isinstance(square, str)]
            logits = iter(self.logits(np.stack(squares)) if squares else ())
            for path, square in read:
                if isinstance(square, str):
                    rows.append((str(path), float("nan"), square))
                else:
                    rows.append((str(path), float(next(logits)), None))
        table = pd.DataFrame(rows, columns=["path", "logit", "error"])
        logit = table["logit"].to_numpy(dtype=np.float64)
        if threshold is None:
            values = image_values(self.about.outcome, logit)
            return pd.concat([table[["path"]], values, table[["error"]]], axis="columns")
        table["probability"] = expit(logit)
        table["corrected"] = expit(logit - self._shift)
        return self._judged(table, threshold)[
            ["path", "logit", "probability", "corrected", "calibrated", "positive", "error"]
        ]

    def average(
        self,
        predicted: pd.DataFrame,
        patients: Sequence[str],
        operating_point: OperatingPoint = "fixed",
    ) -> pd.DataFrame:
        """Return one row a patient: the mean over the patient's images, as the benchmark has it.

        Args:
            predicted: Rows of images, from :meth:`predict`.
            patients: The patient of each row.
            operating_point: Which of the model's thresholds ``positive`` goes by.

        Returns:
            ``patient_id, images, probability, corrected, calibrated, positive``, sorted by
            patient; of scores ``patient_id, images, score, level``, of times ``patient_id, images,
            log_hazard, risk``. Images that could not be read are left out; a patient without any
            other has no row.
        """
        threshold = self.threshold(operating_point)
        table = predicted.assign(patient_id=[str(own) for own in patients], part="test", target=0)
        table = table[table["error"].isna()].rename(columns={"path": "image_id"})
        columns = ["patient_id", "images", "probability", "corrected", "calibrated", "positive"]
        if threshold is None:
            columns = ["patient_id", "images", *VALUES[self.about.outcome.kind]]
        if table.empty:
            return pd.DataFrame(columns=columns)
        if threshold is None:
            names = table["patient_id"].to_numpy(dtype=object)
            return patient_values(self.about.outcome, table, names)
        averaged = patient_predictions(table, self._shift)
        rows = pd.DataFrame(
            {
                "patient_id": averaged.patient_id,
                "images": averaged.images,
                "probability": averaged.probability,
                "corrected": averaged.corrected,
            }
        )
        return self._judged(rows, threshold)[columns]

    def threshold(self, operating_point: OperatingPoint) -> float | None:
        """Return the threshold on the raw probability at an operating point.

        A model of scores or times has none: its ``fixed`` one is None.

        Raises:
            UserError: When the model has none there.
        """
        if self.about.thresholds is None:
            if operating_point != "fixed":
                raise UserError(
                    f"the model of '{self.about.task.endpoint}' predicts no event that happens or "
                    "not, and has no thresholds: leave --threshold out"
                )
            return None
        found: float | None = getattr(self.about.thresholds, operating_point, None)
        if found is None:
            raise UserError(
                f"the model has no threshold '{operating_point}', since it had no validation part "
                "with both outcomes: use 'fixed'"
            )
        return found

    def _judged(self, table: pd.DataFrame, threshold: float) -> pd.DataFrame:
        known = table["probability"].notna()
        positive = (table["probability"] >= threshold).astype("boolean").where(known)
        calibrated = self._recalibrate(table["corrected"].to_numpy(dtype=np.float64))
        return table.assign(calibrated=calibrated, positive=positive)


def load_model(path: str | Path, device: str = "auto", weights: str | Path | None = None) -> Model:
    """Load a model that ``prognobench export`` wrote; nothing in its folder can run code.

    Args:
        path: The model folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        weights: The file of the backbone's weights, where the folder does not hold them and they
            are not where ``prognobench pull`` puts them.

    Raises:
        UserError: When the folder is not as it was written, or the weights are missing.
    """
    folder = Path(path)
    verify(folder)
    about = describe(read_description(folder), str(folder / DESCRIPTION))
    chosen = "cuda" if device == "auto" and torch.cuda.is_available() else device
    if chosen == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: no CUDA device was found, use cpu")
    backbone, head = load_adapted(folder, about, None if weights is None else Path(weights))
    return Model(about, backbone, head, torch.device("cpu" if chosen == "auto" else chosen))
