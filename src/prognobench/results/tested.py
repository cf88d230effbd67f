"""Whom the splits of an output folder test, from whom all candidates of a task draw."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from prognobench.errors import UserError
from prognobench.evaluation.cells import TASK
from prognobench.evaluation.choice import IMPOSSIBLE
from prognobench.splits.split import read_split, split_path


def tested_by_splits(output: Path, runs: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Return the patients that the splits of runs test, by dataset and endpoint.

    Args:
        output: The output folder.
        runs: All its runs, from :func:`~prognobench.evaluation.choice.choose_runs`.

    Raises:
        UserError: When a split cannot be read.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for (dataset, endpoint), own in runs.groupby(list(TASK)):
        tested = found[str(dataset), str(endpoint)] = set[str]()
        for split in own.loc[~own["state"].isin(IMPOSSIBLE), "split"].unique():
            path = split_path(output / "splits", f"{dataset}/{endpoint}", str(split))
            try:
                parts = read_split(path)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path} cannot be read: do `prognobench run` on its folder again"
                ) from error
            tested.update(patient for patient, part in parts.items() if part == "test")
    return found
