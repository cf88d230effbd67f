"""The cohort: patients, their images and outcomes, and where all of it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.outcome_kinds import BINARY, OtherOutcome

REQUIRED_COLUMNS = ("image_id", "patient_id", "path")
"""Columns without which a table is no cohort."""

STANDARD_COLUMNS = (*REQUIRED_COLUMNS, "site", "view", "acquired")
"""The first columns of every cohort table; ``acquired`` is in days from the reference time."""

TARGET_COLUMN = "target"
"""What a task calls the label of its endpoint; no clinical column has this name."""

LUNG_BOX, LUNG_MASK = "lung_box", "lung_mask"
"""Columns that may say where the lungs are, see :mod:`prognobench.cohorts.lungs`."""


def outcome_day_column(endpoint: str) -> str:
    """Return the column that says on which day the outcome came, on the axis of ``acquired``."""
    return f"{endpoint}_day"


def outcome_score_column(endpoint: str) -> str:
    """Return the column of the ordinal score that an endpoint was cut from, where there is one.

    It holds the score of the image; columns that go on with ``_`` hold parts of it, or the same
    score by other readers.
    """
    return f"{endpoint}_score"


def tells_outcome(column: str, endpoint: str) -> bool:
    """Say whether a column is the endpoint, its day or its score, and so no predictor of it."""
    score = outcome_score_column(endpoint)
    return column in (endpoint, outcome_day_column(endpoint), score) or column.startswith(
        f"{score}_"
    )


@dataclass(frozen=True)
class Provenance:
    """Where a cohort came from.

    Attributes:
        source: Name of the source that read it, such as ``mhh``.
        title: The cohort's published name.
        version: Version or commit of the data, if known.
        licence: The licence of the data.
        citation: What to cite.
        url: Where it is obtained.
        access: Whether registration is needed, in words.
    """

    source: str
    title: str
    version: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    access: str = "open"


@dataclass(frozen=True)
class Drop:
    """What one rule took out of a cohort.

    Attributes:
        rule: Short name of the rule, such as ``after_outcome``.
        reason: The rule in words a clinician understands.
        images: How many images it took.
        patients: How many patients lost their last image by it.
        image_ids: The images it took.
    """

    rule: str
    reason: str
    images: int
    patients: int
    image_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """Images with patients and outcomes: one row an image.

    Attributes:
        name: Name of the cohort in results (the column ``dataset``).
        table: Columns ``image_id, patient_id, path, site, view, acquired``, then the endpoints
            (0, 1 or missing) with their ``<endpoint>_day``, then clinical columns, and where the
            lungs are (``lung_box``, ``lung_mask``) if the source says it. Ids are text; ``path``
            is relative to ``root``; rows are sorted by ``image_id``.
        root: The folder that ``path`` is relative to.
        endpoints: The binary endpoints the table holds, each with its positive class in words
            (what 1 means), such as ``{"icu": "admitted to intensive care"}``.
        provenance: Where it came from.
        drops: What each rule took out so far, in order.
        source_images: Number of images the source listed before any rule.
        source_patients: Number of patients the source listed before any rule.
        others: The endpoints that are not binary, likewise columns of the table.
    """

    name: str
    table: pd.DataFrame
    root: Path
    endpoints: Mapping[str, str]
    provenance: Provenance
    drops: tuple[Drop, ...] = ()
    source_images: int = 0
    source_patients: int = 0
    others: Mapping[str, OtherOutcome] = field(default_factory=dict)

    @property
    def all_endpoints(self) -> tuple[str, ...]:
        """The names of all endpoints, the binary ones first."""
        return (*self.endpoints, *self.others)

    def outcome(self, endpoint: str) -> OtherOutcome:
        """Return of what kind one of the endpoints is."""
        return self.others.get(endpoint, BINARY)

    def tells_any_outcome(self, column: str) -> bool:
        """Say whether a column is an endpoint, or tells one, and so no predictor.

        Of an endpoint that is not binary every column tells that begins with its name and ``_``.
        """
        return any(tells_outcome(column, name) for name in self.endpoints) or any(
            column == name or column.startswith(f"{name}_") for name in self.others
        )

    def without(self, image_ids: set[str], rule: str, reason: str) -> Cohort:
        """Return the cohort without some images, the drop recorded (also when it is empty).

        Args:
            image_ids: The images to leave out.
            rule: Short name of the rule.
            reason: The rule in words.
        """
        leaving = self.table["image_id"].isin(image_ids)
        kept = self.table[~leaving].reset_index(drop=True)
        lost = set(self.table["patient_id"]) - set(kept["patient_id"])
        names = tuple(sorted(self.table.loc[leaving, "image_id"]))
        drop = Drop(rule, reason, len(names), len(lost), names)
        return replace(self, table=kept, drops=(*self.drops, drop))

    def renamed(self, name: str) -> Cohort:
        """Return the cohort under another name, the one it shall have in results."""
        return replace(self, name=name)
