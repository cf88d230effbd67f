"""Tables of each cell, kept apart: new runs cost the evaluation of their own cells only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prognobench.evaluation.detail import CELL
from prognobench.files import atomic_folder, identity, read_sealed, write_sealed
from prognobench.report.remembered import (
    SEAL,
    read_tables,
    runs_digest,
    shared_key,
    stamps,
    write_tables,
)

FOLDER = ".evaluated_cells"
"""Where the cells are kept, in the output folder."""


@dataclass(frozen=True)
class KeptCell:
    """The tables of one cell.

    Attributes:
        tables: ``leaderboard``, ``results`` and ``results_by_image``.
        tested: The patients that its runs tested, with their outcomes.
        drawn: Digest of the patients of its task, from whom its replicates were drawn.
    """

    tables: dict[str, pd.DataFrame]
    tested: dict[str, float]
    drawn: str


class KeptCells:
    """The cells of an output folder, by a key of all that their tables depend on."""

    def __init__(self, output: Path, runs: pd.DataFrame, evaluation: Mapping[str, Any]) -> None:
        """Look at what decides the tables of each cell.

        Args:
            output: The output folder.
            runs: Its runs.
            evaluation: The spec's ``evaluation``.
        """
        self._folder = output / FOLDER
        shared = shared_key(output, evaluation)
        files = stamps(output / "predictions")
        self.runs: dict[str, pd.DataFrame] = {}
        for _, own in runs.groupby(list(CELL), sort=False, dropna=False):
            stamped = repr([files.get(f"{run}.parquet") for run in own["run"]])
            about = {
                "runs": runs_digest(own),
                "predictions": hashlib.sha256(stamped.encode()).hexdigest(),
                **shared,
            }
            self.runs[identity(about, 64)] = own

    def recall(self) -> dict[str, KeptCell]:
        """Return the cells that are kept and whole, by their keys."""
        return dict(self._whole())

    def _whole(self) -> Iterator[tuple[str, KeptCell]]:
        for key in self.runs:
            about = read_sealed(self._folder / key / SEAL)
            tables = about and read_tables(self._folder / key, about["tables"])
            if about and tables:
                yield key, KeptCell(tables, about["tested"], about["drawn"])

    def keep(self, key: str, cell: KeptCell) -> None:
        """Keep a cell under its key."""
        with atomic_folder(self._folder / key) as temporary:
            kept = write_tables(temporary, cell.tables)
            about = {"tables": kept, "tested": cell.tested, "drawn": cell.drawn}
            write_sealed(temporary / SEAL, about)

    def others(self) -> list[Path]:
        """Return the folders of cells that are no longer as they were."""
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if path.name not in self.runs]


def drawn_from(tested: Mapping[str, float]) -> str:
    """Return a digest of the patients whose draws the cells of a task share."""
    return identity(dict(tested), 64)
