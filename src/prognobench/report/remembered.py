"""The tables of an output folder, kept beside it: what has not changed is not evaluated anew."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from pyarrow.compute import Expression

import prognobench.evaluation
from prognobench.files import (
    atomic_folder,
    atomic_path,
    file_digest,
    identity,
    read_sealed,
    write_sealed,
)

FOLDER = ".evaluated"
"""Where the tables are kept, in the output folder."""

SEAL = "evaluated.json"

RESULTS = "results.csv"
ROWS_TOGETHER = 100_000
"""Rows of a CSV file that are put together at once."""

UNREAD = "results_by_image.csv"
"""A table that nothing reads again."""

NOT_EVALUATED = ("run_info", "train_info", "environment", "started", "finished")
"""Columns of the runs that no number depends on."""


def evaluation_key(output: Path, runs: pd.DataFrame, evaluation: Mapping[str, Any]) -> str:
    """Return a hash of all that the tables depend on.

    That is the runs, how they are evaluated, the files of their predictions (their sizes and
    times, since reading them all is what is to be saved), the cohort's manifest, and the code.

    Args:
        output: The output folder.
        runs: Its runs.
        evaluation: The spec's ``evaluation``.
    """
    found = sorted(stamps(output / "predictions").items())
    about = {
        "runs": runs_digest(runs),
        "predictions": hashlib.sha256(repr(found).encode()).hexdigest(),
        **shared_key(output, evaluation),
    }
    return identity(about, 64)


def runs_digest(runs: pd.DataFrame) -> str:
    """Return a hash of what of some runs their tables depend on."""
    known = runs.drop(columns=[name for name in NOT_EVALUATED if name in runs])
    text = known.to_json(orient="split", index=False, double_precision=15, default_handler=str)
    return hashlib.sha256(str(text).encode()).hexdigest()


def shared_key(output: Path, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all tables depend on besides runs and predictions."""
    manifest = output / "cohort" / "manifest.parquet"
    return {
        "evaluation": dict(evaluation),
        "manifest": file_digest(manifest) if manifest.is_file() else None,
        "code": _code(),
        "libraries": {name: version(name) for name in ("numpy", "scipy", "pandas")},
    }


def recall(
    output: Path, key: str, shown: Expression | None = None
) -> dict[str, pd.DataFrame] | None:
    """Return the tables that were kept under a key, by their file names; None where there are none.

    Their CSV files are written again where somebody changed or removed them.

    Args:
        output: The output folder.
        key: From :func:`evaluation_key`.
        shown: Which rows of ``results.csv`` are returned; all of them when None.
    """
    folder = output / FOLDER
    about = read_sealed(folder / SEAL)
    if about is None or about.get("key") != key:
        return None
    tables = {}
    for name, own in about["tables"].items():
        try:
            path = _kept_file(folder, name, own["sha256"])
            wanted = shown if name == RESULTS else None
            if name != UNREAD:
                tables[name] = _as_they_were(_read(path, wanted), own["kinds"])
            if _stamp(output / name) != about["files"].get(name):
                _write(output / name, _as_they_were(_read(path), own["kinds"]))
        except (OSError, ValueError):
            return None
    return tables


def keep(output: Path, key: str, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write tables as CSV, and keep them under a key.

    Args:
        output: The output folder.
        key: From :func:`evaluation_key`.
        tables: The tables, by their file names.
    """
    for name, table in tables.items():
        _write(output / name, table)
    with atomic_folder(output / FOLDER) as temporary:
        kept = write_tables(temporary, tables)
        files = {name: _stamp(output / name) for name in tables}
        write_sealed(temporary / SEAL, {"key": key, "tables": kept, "files": files})


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Write tables as Parquet files, and return what :func:`read_tables` needs to know of them."""
    kept = {}
    for name, table in tables.items():
        path = _file_of(folder, name)
        table.to_parquet(folder / path.name, index=False)
        kinds = {str(column): str(kind) for column, kind in table.dtypes.items()}
        kept[name] = {"sha256": file_digest(path), "kinds": kinds}
    return kept


def read_tables(folder: Path, about: Mapping[str, Any]) -> dict[str, pd.DataFrame] | None:
    """Return the tables of a folder; None where one is missing or damaged."""
    tables = {}
    for name, own in about.items():
        try:
            path = _kept_file(folder, name, own["sha256"])
            tables[name] = _as_they_were(_read(path), own["kinds"])
        except (OSError, ValueError):
            return None
    return tables


def _file_of(folder: Path, name: str) -> Path:
    """Return where a table is kept."""
    return folder / f"{Path(name).stem}.parquet"


def _kept_file(folder: Path, name: str, sha256: str) -> Path:
    """Return where a table is kept, whole.

    Raises:
        OSError: When it is missing.
        ValueError: When it is not what was written there.
    """
    path = _file_of(folder, name)
    if file_digest(path) != sha256:
        raise ValueError(f"{path} is damaged")
    return path


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write a table as :meth:`pandas.DataFrame.to_csv` does, but quickly.

    Millions of rows hold few different texts: each is put into words once.
    """
    columns = [_fields(column) for _, column in table.items()]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(table.head(0).to_csv(index=False, lineterminator="\n"))
        for first in range(0, len(table), ROWS_TOGETHER):
            block = slice(first, first + ROWS_TOGETHER)
            parts = (words[codes[block]].tolist() for words, codes in columns)
            file.writelines(f"{','.join(row)}\n" for row in zip(*parts, strict=True))


def _fields(column: pd.Series) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Return the different values of a column as fields of a CSV file, and each row's place."""
    codes, values = pd.factorize(column)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    words = []
    for value in values.tolist():
        text.seek(0)
        text.truncate()
        writer.writerow([value, ""])
        words.append(text.getvalue()[:-2])
    return np.array([*words, ""], dtype=object), codes  # a missing value has the code -1


def _read(path: Path, shown: Expression | None = None) -> pd.DataFrame:
    """Read a kept table, its texts by way of their few different values."""
    texts = [
        field.name
        for field in parquet.read_schema(path)
        if pa.types.is_large_string(field.type) or pa.types.is_string(field.type)
    ]
    read = parquet.read_table(path, filters=shown, read_dictionary=texts)
    table: pd.DataFrame = read.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    return table


def _as_they_were(table: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Give columns the kinds that they had before they were written."""
    for name, kind in kinds.items():
        if kind == "object":
            own = table[name].astype(object)
            table[name] = own.where(own.notna(), None)
        elif str(table[name].dtype) != kind:
            table[name] = table[name].astype(pd.api.types.pandas_dtype(kind))
    return table


def _stamp(path: Path) -> list[int] | None:
    """Return a file's size and the time of its last change; None where it is not there."""
    try:
        about = path.stat()
    except OSError:
        return None
    return [about.st_size, about.st_mtime_ns]


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the sizes and times of a folder's files, by their names."""
    try:
        with os.scandir(folder) as entries:
            found = [(own.name, own.stat()) for own in entries]
    except OSError:
        return {}
    return {name: (about.st_size, about.st_mtime_ns) for name, about in found}


def _code() -> str:
    """Return a hash of the code that evaluates: another metric is another table."""
    folder = Path(str(prognobench.evaluation.__file__)).parent
    digests = [file_digest(path) for path in sorted(folder.glob("*.py"))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
