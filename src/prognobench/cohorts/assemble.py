"""From the rows that a source read to a cohort: one form of columns, kinds and order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from prognobench.cohorts.ages import ages
from prognobench.cohorts.cohort import (
    LUNG_BOX,
    LUNG_MASK,
    REQUIRED_COLUMNS,
    STANDARD_COLUMNS,
    TARGET_COLUMN,
    Cohort,
    Provenance,
    outcome_day_column,
)
from prognobench.cohorts.lungs import normalised
from prognobench.cohorts.outcome_kinds import OtherOutcome
from prognobench.cohorts.paths import relative_path
from prognobench.cohorts.tables import MISSING_WORDS, cell_text, fold, quote_some
from prognobench.errors import UserError

UNKNOWN_SITE = "unknown"

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


def assemble(
    name: str,
    rows: pd.DataFrame,
    root: Path,
    endpoints: Mapping[str, str],
    provenance: Provenance,
    *,
    others: Mapping[str, OtherOutcome] | None = None,
) -> Cohort:
    """Make a cohort of the rows that a source read.

    Columns come in the order of the cohort's table: the standard ones, the endpoints each with
    its day, then the others as they stand. Text is stripped, an empty one is missing, and of ids,
    paths, sites and views so is a word such as ``NA``; numbers are floats; endpoints are nullable
    integers; views are in upper case; a missing site is ``unknown``, and where the rows have no
    site at all the cohort is one site with its name. A clinical column ``target`` is renamed, since
    that is what the label is called in a task; ages are years where all of them can be read
    (:func:`~prognobench.cohorts.ages.years_of`).

    Args:
        name: Name of the cohort in results.
        rows: One row an image with at least ``patient_id`` and ``path``; without ``image_id``
            the path is the id.
        root: The folder that ``path`` is relative to.
        endpoints: The endpoints among the columns, with their positive class in words.
        provenance: Where the rows came from.
        others: The endpoints among the columns that are not binary.

    Raises:
        UserError: When an id or path is missing, an image id is there twice, an endpoint is
            neither 0 nor 1, a score is no level, a path leads out of the root, or a lung box is
            none.
    """
    others = dict(others or {})
    where = f"the cohort '{name}'"
    rows = rows.reset_index(drop=True)
    required = [name for name in REQUIRED_COLUMNS if name != "image_id" or name in rows]
    for column in required:
        empty = rows.index[_words(rows[column]).isna()]
        if len(empty):
            raise UserError(
                f"{where} has {len(empty)} rows without {column} (the first is row "
                f"{empty[0] + 1}): fill them in, or take these rows out of the table"
            )
    paths = [relative_path(path, where) for path in rows["path"].map(cell_text)]
    data: dict[str, pd.Series] = {
        "image_id": _text(rows["image_id"] if "image_id" in rows else pd.Series(paths)),
        "patient_id": _text(rows["patient_id"]),
        "path": pd.Series(paths, dtype="str"),
    }
    data["site"] = (
        _words(rows["site"]).fillna(UNKNOWN_SITE) if "site" in rows else _filled(rows, name)
    )
    data["view"] = _words(rows["view"]).str.upper() if "view" in rows else _filled(rows, None)
    data["acquired"] = _floats(rows, "acquired")
    for endpoint in endpoints:
        data[endpoint] = _codes(rows[endpoint], endpoint, where)
        data[outcome_day_column(endpoint)] = _floats(rows, outcome_day_column(endpoint))
    for endpoint, outcome in others.items():
        if outcome.kind == "time_to_event":
            data[endpoint] = _codes(rows[endpoint], endpoint, where)
            data[outcome_day_column(endpoint)] = _floats(rows, outcome_day_column(endpoint))
            continue
        data[endpoint] = _levels(rows[endpoint], endpoint, outcome.highest, where)
    for column in rows.columns:
        if column in (LUNG_BOX, LUNG_MASK):
            data[str(column)] = normalised(rows, str(column), where)
        elif column not in data:
            label = f"{column} (as in the table)" if column == TARGET_COLUMN else str(column)
            data[label] = _clinical(rows, column)
    table = pd.DataFrame(data)
    twice = table["image_id"][table["image_id"].duplicated()]
    if len(twice):
        raise UserError(
            f"{where} has two rows with the same image_id: {quote_some(sorted(twice))}; each image "
            "needs an id of its own"
        )
    # By code point, not by locale: the order must be the same on every machine.
    order = np.argsort(table["image_id"].to_numpy(dtype=object), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    return Cohort(
        name=name,
        table=table,
        root=root,
        endpoints=dict(endpoints),
        provenance=provenance,
        source_images=len(table),
        source_patients=table["patient_id"].nunique(),
        others=others,
    )


def clinical_columns(cohort: Cohort) -> list[str]:
    """Return the columns that are neither standard nor an endpoint, its day or its score.

    Where the lungs are is no clinical column either.
    """
    known = (*STANDARD_COLUMNS, LUNG_BOX, LUNG_MASK)
    others = [str(column) for column in cohort.table.columns if column not in known]
    return [column for column in others if not cohort.tells_any_outcome(column)]


def _text(cells: pd.Series) -> pd.Series:
    words = []
    for cell in cells:
        text = cell_text(cell)
        words.append(None if text is None else _CONTROL.sub(" ", text).strip() or None)
    return pd.Series(words, dtype="str")


def _clinical(rows: pd.DataFrame, column: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(rows[column]):
        return _floats(rows, column)
    if fold(column) == "age" and (years := ages(rows[column])) is not None:
        return years
    return _text(rows[column])


def _words(cells: pd.Series) -> pd.Series:
    """Return text of which words that stand for nothing are missing."""
    text = _text(cells)
    return text.mask(text.str.casefold().isin(MISSING_WORDS))


def _filled(rows: pd.DataFrame, word: str | None) -> pd.Series:
    return pd.Series([word] * len(rows), dtype="str")


def _floats(rows: pd.DataFrame, column: str) -> pd.Series:
    if column not in rows:
        return pd.Series(np.nan, index=rows.index, dtype="float64")
    # Adding zero turns -0.0 into 0.0, which no text would tell apart.
    return rows[column].astype("float64") + 0.0


def _codes(cells: pd.Series, endpoint: str, where: str) -> pd.Series:
    values = pd.to_numeric(cells, errors="coerce").astype("float64")
    unlike = (values.notna() & ~values.isin([0, 1])) | (values.isna() & cells.notna())
    if unlike.any():
        raise UserError(
            f"the endpoint '{endpoint}' of {where} has {quote_some(cells[unlike])} where 0, 1 or "
            "nothing was expected: correct these values"
        )
    return values.astype("Int64").reset_index(drop=True)


def _levels(cells: pd.Series, endpoint: str, highest: int, where: str) -> pd.Series:
    values = pd.to_numeric(cells, errors="coerce").astype("float64")
    unlike = (values.isna() & cells.notna()) | (
        values.notna() & ~values.isin(np.arange(highest + 1))
    )
    if unlike.any():
        raise UserError(
            f"the score '{endpoint}' of {where} has {quote_some(cells[unlike].astype(str))} where "
            f"a whole number from 0 to {highest} or nothing was expected: correct these values"
        )
    return values.astype("Int64").reset_index(drop=True)
