"""What controls see of an image or patient, and the logistic regression they all are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from prognobench.cohorts.cohort import STANDARD_COLUMNS
from prognobench.execution.task_images import TaskImages
from prognobench.randomness import generator

if TYPE_CHECKING:  # they load torch, which a plan does not need
    from prognobench.training.job import Job
    from prognobench.training.lane import Trained
    from prognobench.training.recipe import Recipe

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the penalty to choose from on validation; the last where there is none."""

BORDER = 1 / 16
"""Share of the side that is the border."""

BORDER_CELLS = 16
"""The border is averaged over this many cells a side, so that it has fewer values than patients."""

MOST_CATEGORIES = 20
"""Text columns with more values than this are names, not categories, and are left out."""

_COLUMNS = {"view_and_site": ("view", "site"), "age_and_sex": ("age", "sex")}


def missing_controls(table: pd.DataFrame) -> dict[str, str]:
    """Say which controls a task cannot have, and why.

    Args:
        table: One row an image, with the clinical columns.

    Returns:
        The reason by the name of the control.
    """
    reasons = {}
    for control in (*_COLUMNS, "clinical"):
        if not _columns(control, table):
            what = " or ".join(_COLUMNS.get(control, ("clinical column",)))
            reasons[control] = f"the cohort has no {what} that differs between images"
    return reasons


def control_features(control: str, images: TaskImages, job: Job) -> npt.NDArray[np.float32]:
    """Return what a control sees of each image.

    Numbers are filled by the training part's median, with a column that says which were missing;
    categories become a column each, those that the training part lacks none.

    Args:
        control: Its name.
        images: The images of its task.
        job: The parts, of which the training part alone sets medians and categories.

    Returns:
        float32 [N, D], a row an image.

    Raises:
        ValueError: When there is no control of that name.
    """
    if control == "prevalence":
        return np.zeros((len(images.targets), 1), dtype=np.float32)
    if control == "image_statistics":
        return _statistics(images.pixels)
    if control == "border":
        return _border(images.pixels)
    known = control in _COLUMNS or control == "clinical"
    columns = _columns(control, images.about) if known else []
    if not columns:
        raise ValueError(f"there is nothing for the control '{control}' to see")
    return _encoded(images.about[columns], job.rows["train"])


def solve_control(job: Job, features: npt.NDArray[np.float32], recipe: Recipe) -> Trained:
    """Fit a control: the logistic regression of the linear probe, under the same class weights."""
    from prognobench.training.probe import solve_probe

    plain = recipe.model_copy(update={"loss": "cross_entropy"})
    return solve_probe(job, features, STRENGTHS, STRENGTHS[-1], plain)


def permuted(job: Job) -> Job:
    """Return a job whose patients outside the test part have each other's outcomes.

    They are permuted among the patients of a part, so that the numbers of events stay.
    """
    random = generator(job.run, "permuted_labels")
    targets = job.targets.copy()
    for part in ("train", "val"):
        rows = job.rows[part]
        patients, place = np.unique(job.patients[rows], return_inverse=True)
        own = np.zeros(len(patients), dtype=job.targets.dtype)
        own[place] = job.targets[rows]
        targets[rows] = random.permutation(own)[place]
    return replace(job, targets=targets)


def _columns(control: str, table: pd.DataFrame) -> list[str]:
    """Return the columns that a control reads: those that are there and differ."""
    clinical = [name for name in table.columns if name not in {*STANDARD_COLUMNS, "target"}]
    wanted = _COLUMNS.get(control, tuple(clinical))
    present = [name for name in wanted if name in table.columns]
    return [name for name in present if _differs(table[name])]


def _differs(column: pd.Series[Any]) -> bool:
    different = column.nunique(dropna=False)
    if pd.api.types.is_numeric_dtype(column):
        return bool(different > 1)
    return bool(1 < different <= MOST_CATEGORIES)


def _encoded(table: pd.DataFrame, train: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    numeric = [n for n in table.columns if pd.api.types.is_numeric_dtype(table[n])]
    words = [n for n in table.columns if n not in numeric]
    plain = pd.DataFrame(
        {
            **{n: _finite(table[n]) for n in numeric},
            **{n: table[n].astype(object).where(table[n].notna(), "").astype(str) for n in words},
        }
    ).reset_index(drop=True)
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer([("numbers", numbers, numeric), ("words", categories, words)])
    encoder.fit(plain.iloc[train])
    found: npt.NDArray[np.float32] = np.asarray(encoder.transform(plain), dtype=np.float32)
    return found


def _finite(column: pd.Series[Any]) -> pd.Series[float]:
    """Return numbers with infinite ones (a ratio with a zero below) as missing."""
    values = column.astype("float64")
    return values.where(np.isfinite(values))


def _statistics(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Mean, spread and quantiles of the grey values, and the shape before padding to a square."""
    rows = []
    for image in pixels:
        grey = image.astype(np.float32)
        filled = image > 0
        height, width = filled.any(1).mean(), filled.any(0).mean()
        quantiles = np.quantile(grey, (0.05, 0.25, 0.5, 0.75, 0.95))
        rows.append([grey.mean(), grey.std(), height, width, *quantiles])
    return np.asarray(rows, dtype=np.float32)


def _border(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Mean grey value of the cells along the four edges."""
    side = pixels.shape[-1]
    depth = max(1, round(BORDER * side))
    edges = (
        pixels[:, :depth, :].mean(1),
        pixels[:, -depth:, :].mean(1),
        pixels[:, :, :depth].mean(2),
        pixels[:, :, -depth:].mean(2),
    )
    cells = [part.mean(1) for edge in edges for part in np.array_split(edge, BORDER_CELLS, axis=1)]
    return np.stack(cells, axis=1).astype(np.float32)
