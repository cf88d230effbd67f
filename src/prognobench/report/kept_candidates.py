"""Evaluated candidates, kept beside the results: only what is new, or has changed, costs time."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from prognobench.evaluation.cells import Cell
from prognobench.evaluation.evaluated import EvaluatedCandidate
from prognobench.files import WRITING, atomic_path, file_digest, identity
from prognobench.report import packed as packing
from prognobench.report.packed import NUMBERS, SCHEMA, packed, unpacked
from prognobench.report.remembered import shared_key

FOLDER = ".evaluated_candidates"
"""Where candidates are kept, in the output folder: files that are named by their digests."""

MOST_FILES = 16
"""With more files than these, all are put into one."""

FACTS = "facts"
"""Column of the runs: all that a candidate's numbers depend on, as text."""

IN_KEYS = (FACTS, "key", "group", "n_learning_rates", "reason")
"""Columns of a candidate's runs that its key is made of."""


def keys_of(cells: Iterable[Cell], evaluation: Mapping[str, Any]) -> list[list[str]]:
    """Return hashes of all that the numbers of the candidates of cells depend on.

    Args:
        cells: The cells, their runs with the column :data:`FACTS`.
        evaluation: The spec's ``evaluation``.
    """
    form = file_digest(Path(str(packing.__file__)))
    shared = identity({**shared_key(evaluation), "form": form}, 64)
    found = []
    for cell in cells:
        text = repr([shared, cell.rule, cell.tested, cell.episodes])
        drawn = hashlib.sha256(text.encode())
        facts = list(zip(*(cell.runs[name].tolist() for name in IN_KEYS), strict=True))
        keys = []
        for places in cell.members:
            digest = drawn.copy()
            digest.update(repr([facts[place] for place in places.tolist()]).encode())
            keys.append(digest.hexdigest())
        found.append(keys)
    return found


class KeptCandidates:
    """The evaluated candidates of an output folder."""

    def __init__(self, output: Path) -> None:
        """Take the output folder."""
        self._folder = output / FOLDER

    def known(self) -> set[str]:
        """Return the keys of what is kept, whole or not."""
        found: set[str] = set()
        for path in self._paths():
            with contextlib.suppress(OSError, ValueError):
                found.update(parquet.read_table(path, columns=["key"])["key"].to_pylist())
        return found

    def recall(self, keys: Iterable[str]) -> dict[str, EvaluatedCandidate]:
        """Return the candidates that are kept under some keys.

        Files that are damaged are removed. Where there are many, or most of what they hold is
        asked for by no key, what is asked for is put into one.
        """
        wanted = set(keys)
        found: dict[str, pa.RecordBatch] = {}
        read = dict(self._whole())
        held = 0
        for table in read.values():
            for batch in table.to_batches():
                held += len(batch)
                named = enumerate(batch["key"].to_pylist())
                found |= {key: batch.slice(place, 1) for place, key in named if key in wanted}
        if len(read) > MOST_FILES or held > 2 * len(found):
            one = self._write(pa.Table.from_batches(found.values(), SCHEMA)) if found else None
            for path in read.keys() - {one}:
                path.unlink(missing_ok=True)
        return {key: unpacked(_row(batch)) for key, batch in found.items()}

    def keep(self, evaluated: Mapping[str, EvaluatedCandidate]) -> None:
        """Keep candidates under their keys."""
        rows = [packed(key, own) for key, own in evaluated.items()]
        if rows:
            self._write(pa.Table.from_pylist(rows, schema=SCHEMA))

    def _write(self, table: pa.Table) -> Path:
        """Write a file, and return where."""
        stream = io.BytesIO()
        parquet.write_table(table, stream, compression="zstd", use_dictionary=False)
        data = stream.getvalue()
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.parquet"
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        return path

    def _whole(self) -> Iterator[tuple[Path, pa.Table]]:
        """Yield the files that are what was written; the others are removed."""
        for path in self._paths():
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == path.stem:
                    yield path, parquet.ParquetFile(pa.BufferReader(data)).read()
                else:
                    path.unlink()

    def _paths(self) -> list[Path]:
        found = self._folder.glob("*.parquet")
        return sorted(path for path in found if not path.name.startswith(WRITING))


def _row(batch: pa.RecordBatch) -> dict[str, Any]:
    """Return the only row of a batch as :func:`~prognobench.report.packed.unpacked` takes it."""
    numbers = {
        name: batch[name].flatten().to_numpy(zero_copy_only=False).copy() for name in NUMBERS
    }
    return {"about": batch["about"][0].as_py(), **numbers}
