"""The manifest: a cohort as a table and a file beside it that says where it came from.

The table (CSV or Parquet) is what a person reads and edits. ``<stem>.provenance.json`` beside it
holds the rest: provenance, endpoints, root, what was dropped. A table that someone made by hand
needs no such file.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.assemble import assemble
from prognobench.cohorts.checks import clean, missing_files
from prognobench.cohorts.coding import USUAL_ENDPOINTS, code_endpoint
from prognobench.cohorts.cohort import (
    LUNG_BOX,
    LUNG_MASK,
    Cohort,
    Drop,
    Provenance,
    outcome_day_column,
)
from prognobench.cohorts.outcome_kinds import OtherOutcome
from prognobench.cohorts.tables import (
    cell_text,
    find_column,
    fold,
    numbers,
    numbers_where_all,
    read_table,
    require_columns,
)
from prognobench.errors import UserError
from prognobench.files import atomic_path, require_writable, write_json, write_text

_TEXT_COLUMNS = ("image_id", "patient_id", "path", "site", "view", LUNG_BOX, LUNG_MASK)
_DAY = outcome_day_column("")


def provenance_path(manifest: Path) -> Path:
    """Return the path of the file beside a manifest that says where it came from."""
    return manifest.with_name(f"{manifest.stem}.provenance.json")


def check_manifest_name(path: Path) -> None:
    """Raise a :class:`UserError` when a path cannot be that of a manifest."""
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise UserError(
            f"the manifest {path} cannot be written: its name must end .csv or .parquet"
        )


def check_manifest_place(path: Path, read: Iterable[Path] = ()) -> None:
    """Check ahead, before a cohort is read, which may take long, that a manifest can be written.

    Args:
        path: The manifest.
        read: Files and folders that the cohort is read from.

    Raises:
        UserError: When its name or folder is of no use, or what is read would be overwritten.
    """
    check_manifest_name(path)
    beside = provenance_path(path)
    with _told(path):
        require_writable(path)
        require_writable(beside)
    for source in map(_real, read):
        for written in map(_real, (path, beside)):
            # In a folder that is read, only a manifest of before makes way for a new one.
            inside = source in written.parents and not beside.exists()
            if written == source or (inside and written.exists()):
                raise UserError(
                    f"the manifest {path} would overwrite {written}, which the cohort is read "
                    "from: name another file with --output"
                )


def write_manifest(cohort: Cohort, path: Path) -> None:
    """Write a cohort as a manifest and its provenance beside it.

    Args:
        cohort: The cohort.
        path: The table to write, ``.csv`` or ``.parquet``.

    Raises:
        UserError: When the path has another suffix, or cannot be written to.
    """
    check_manifest_name(path)
    with _told(path):
        _write(cohort, path)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the manifest {path} cannot be written ({error.strerror or error}): "
            "name another file with --output"
        ) from error


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _write(cohort: Cohort, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        write_text(path, _as_csv(cohort.table))
    else:
        with atomic_path(path) as temporary:
            cohort.table.to_parquet(temporary, index=False)
    kinds = {
        str(column): "number" if pd.api.types.is_numeric_dtype(cohort.table[column]) else "text"
        for column in cohort.table.columns
    }
    write_json(
        provenance_path(path),
        {
            "name": cohort.name,
            "root": _portable(cohort.root, path.parent),
            "endpoints": list(cohort.endpoints.items()),
            "others": {name: asdict(outcome) for name, outcome in cohort.others.items()},
            "provenance": asdict(cohort.provenance),
            "drops": [asdict(drop) for drop in cohort.drops],
            "source_images": cohort.source_images,
            "source_patients": cohort.source_patients,
            "columns": kinds,
        },
    )


def read_manifest(path: Path, root: Path | None = None) -> Cohort:
    """Read a manifest, written by :func:`write_manifest` or made by hand.

    A table made by hand needs ``patient_id``, ``path`` and an endpoint: ``icu``, ``mortality``,
    ``severity``, or any column that has a ``<column>_day`` beside it. Without ``image_id`` the
    path is the id.

    Args:
        path: The table.
        root: The folder that image paths are relative to; by default the one it was written
            with, or the table's own folder.

    Raises:
        UserError: When a file or column is missing or a value cannot be read.
    """
    table = read_table(path)
    beside = provenance_path(path)
    if not beside.is_file():
        return _made_by_hand(table, path, root or path.parent)
    try:
        about = json.loads(beside.read_text(encoding="utf-8"))
        endpoints: dict[str, str] = dict(about["endpoints"])
        others = {name: OtherOutcome(**own) for name, own in about.get("others", {}).items()}
        provenance = Provenance(**about["provenance"])
        drops = tuple(
            Drop(**{**drop, "image_ids": tuple(drop["image_ids"])}) for drop in about["drops"]
        )
        name, kinds = str(about["name"]), dict(about["columns"])
        source_images, source_patients = about["source_images"], about["source_patients"]
        written_root = path.parent / about["root"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{beside} is no provenance of a manifest: write the manifest anew, or delete this "
            "file to read the table alone"
        ) from error
    require_columns(table, ["patient_id", "path", *endpoints, *others], path)
    timed = [own for own, outcome in others.items() if outcome.kind == "time_to_event"]
    rows = _rows(table, path, [*endpoints, *timed], kinds)
    cohort = assemble(
        name, rows, root or _plain(written_root), endpoints, provenance, others=others
    )
    cohort = _with_edits(
        replace(cohort, drops=drops, source_images=source_images, source_patients=source_patients)
    )
    if missing := missing_files(cohort):
        cohort = cohort.without(missing, "missing_file", "the image file does not exist")
    return cohort


def _with_edits(cohort: Cohort) -> Cohort:
    """Let the participant flow tell of rows that somebody took out of the table, or added."""
    left = cohort.source_images - sum(drop.images for drop in cohort.drops)
    patients_left = cohort.source_patients - sum(drop.patients for drop in cohort.drops)
    images, patients = (
        left - len(cohort.table),
        patients_left - cohort.table["patient_id"].nunique(),
    )
    if not images and not patients:
        return cohort
    added, new = max(0, -images), max(0, -patients)
    reason = "the manifest was edited by hand after it was written"
    if added or new:
        reason += f"; {added} images and {new} patients were added, and count from the start"
    edited = Drop("edited", reason, max(0, images), max(0, patients))
    return replace(
        cohort,
        drops=(*cohort.drops, edited),
        source_images=cohort.source_images + added,
        source_patients=cohort.source_patients + new,
    )


def _made_by_hand(table: pd.DataFrame, path: Path, root: Path) -> Cohort:
    require_columns(table, ["patient_id", "path"], path)
    endpoints = {name: words for name, words in USUAL_ENDPOINTS.items() if find_column(table, name)}
    for column in map(str, table.columns):
        name = column[: -len(_DAY)]
        if not column.casefold().endswith(_DAY) or fold(name) in map(fold, endpoints):
            continue
        if (known := find_column(table, name)) is not None:
            endpoints[known] = f"{known} is yes"
    if not endpoints:
        raise UserError(
            f"the manifest {path} has no endpoint: a column icu, mortality or severity was "
            "expected, or another one with its day, such as 'relapse' and 'relapse_day'"
        )
    _check_days(table, path, endpoints)
    provenance = Provenance(source="manifest", title=path.name, access="the user's own")
    rows = _rows(table, path, list(endpoints), {})
    return clean(assemble(path.stem, rows, root, endpoints, provenance))


def _check_days(table: pd.DataFrame, path: Path, endpoints: Iterable[str]) -> None:
    """Refuse columns that say when an image or an outcome was, and would be passed over."""
    plain = {re.sub(r"[\s_-]", "", str(column)).casefold(): str(column) for column in table.columns}
    for name in ("acquired", *endpoints):
        days = name if name == "acquired" else outcome_day_column(name)
        if find_column(table, days) is not None:
            continue
        if (other := plain.get(days.replace("_", "").casefold())) is not None:
            raise UserError(
                f"the manifest {path} has a column '{other}', where '{days}' was expected: rename "
                "it"
            )
        if (dated := plain.get(f"{name}date".replace("_", "").casefold())) is not None:
            raise UserError(
                f"the manifest {path} has dates ('{dated}'), and a manifest has days ('{days}'): "
                "name the table in a cohort of `source: csv`, which reads dates"
            )


def _rows(
    table: pd.DataFrame, path: Path, endpoints: list[str], kinds: dict[str, str]
) -> pd.DataFrame:
    days = [outcome_day_column(name) for name in endpoints]
    rows = pd.DataFrame(index=table.index)
    for name in (*_TEXT_COLUMNS, "acquired", *endpoints, *days):
        column = find_column(table, name)
        if column is None:
            continue
        if name in _TEXT_COLUMNS:
            rows[name] = table[column]
        elif name in endpoints:
            rows[name] = code_endpoint(table[column], column, path)
        else:
            rows[name] = numbers(table[column], column, path)
        if column != name:
            table = table.drop(columns=column)
    for column in map(str, table.columns):
        if column in rows:
            continue
        if kinds.get(column) == "number":
            rows[column] = numbers(table[column], column, path)
        else:
            rows[column] = table[column] if column in kinds else numbers_where_all(table[column])
    return rows


def _as_csv(table: pd.DataFrame) -> str:
    columns = [[cell_text(cell) or "" for cell in table[column]] for column in table.columns]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _portable(root: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(root, folder)).as_posix()
    except ValueError:  # another drive, which no relative path reaches
        return str(root.absolute())


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))
