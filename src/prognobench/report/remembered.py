"""The tables of an output folder, kept beside it: what has not changed is not evaluated anew."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
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
from prognobench.report.csv_tables import write_csv, write_csv_beside

FOLDER = ".evaluated"
"""Where the tables are kept, in the output folder."""

SEAL = "evaluated.json"

RESULTS = "results.csv"
UNREAD = "results_by_image.csv"
"""A table that nothing reads again."""

NOT_EVALUATED = (
    *("run_info", "train_info", "environment", "started", "finished"),
    *("in_plan", "position", "attempts"),
)
"""Columns of the runs that no number depends on, but for the order of the runs."""


def facts(output: Path, runs: pd.DataFrame) -> list[str]:
    """Return of each run, as text, all that its numbers depend on.

    That is its row, and the size and time of the file of its predictions, since reading them all
    is what is to be saved.

    Args:
        output: The output folder.
        runs: Its runs.
    """
    files = _stamps(output / "predictions")
    own = runs.drop(columns=[name for name in NOT_EVALUATED if name in runs])
    columns = [own[name].astype(object).tolist() for name in own]
    stamps = [files.get(f"{run}.parquet") for run in own["run"]]
    names = repr(list(own))
    return [f"{names}{row!r}" for row in zip(*columns, stamps, strict=True)]


def evaluation_key(output: Path, told: Sequence[str], evaluation: Mapping[str, Any]) -> str:
    """Return a hash of all that the tables depend on.

    That is the runs, how they are evaluated, the cohort's manifest, and the code.

    Args:
        output: The output folder.
        told: What :func:`facts` says of its runs.
        evaluation: The spec's ``evaluation``.
    """
    manifest = output / "cohort" / "manifest.parquet"
    about = {
        "runs": hashlib.sha256("\n".join(told).encode()).hexdigest(),
        "manifest": file_digest(manifest) if manifest.is_file() else None,
        **shared_key(evaluation),
    }
    return identity(about, 64)


def shared_key(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all that is evaluated depends on: how it is asked for, and by what code."""
    return {
        "evaluation": dict(evaluation),
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
                write_csv(output / name, _as_they_were(_read(path), own["kinds"]))
        except (OSError, ValueError):
            return None
    return tables


def keep(
    output: Path,
    key: str,
    tables: Mapping[str, pd.DataFrame],
    others: Future[dict[str, pd.DataFrame]],
    stop: threading.Event,
) -> None:
    """Write tables as CSV, and keep them under a key.

    Args:
        output: The output folder.
        key: From :func:`evaluation_key`.
        tables: The long tables, by their file names.
        others: Gives the other tables.
        stop: Set where it shall be left, with nothing kept.
    """
    with atomic_folder(output / FOLDER) as temporary:
        kept = _write_tables(output, temporary, tables, stop)
        more = others.result()
        kept |= _write_tables(output, temporary, more, stop)
        files = {name: _stamp(output / name) for name in kept}
        write_sealed(temporary / SEAL, {"key": key, "tables": kept, "files": files})


def _write_tables(
    output: Path, folder: Path, tables: Mapping[str, pd.DataFrame], stop: threading.Event
) -> dict[str, Any]:
    """Write tables as Parquet and CSV files, and return what reading them needs to know.

    One that is there twice, as where each patient has one image, is copied.

    Args:
        output: Where the CSV files go.
        folder: Where the Parquet files go.
        tables: The tables, by their file names.
        stop: Set where it shall be left.
    """
    kept = {}
    written: dict[int, str] = {}
    for name, table in tables.items():
        path = _file_of(folder, name)
        first = written.setdefault(id(table), name)
        if first == name:
            table.to_parquet(folder / path.name, index=False)
            write_csv_beside(output / name, table, path, stop)
        else:
            shutil.copyfile(_file_of(folder, first), folder / path.name)
            with atomic_path(output / name) as temporary:
                shutil.copyfile(output / first, temporary)
        kinds = {str(column): str(kind) for column, kind in table.dtypes.items()}
        kept[name] = {"sha256": file_digest(path), "kinds": kinds}
    return kept


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


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
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
