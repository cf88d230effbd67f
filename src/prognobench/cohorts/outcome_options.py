"""Options of a source that takes the outcomes from a table of one's own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd
from pydantic import Field, field_validator

from prognobench.cohorts.coding import USUAL_ENDPOINTS, Word, code_endpoint
from prognobench.cohorts.source import SourceOptions
from prognobench.cohorts.tables import find_column, fold
from prognobench.errors import UserError, nearest


class OutcomeOptions(SourceOptions):
    """Where the outcomes are, and how they are read.

    Attributes:
        table: The table: .csv, .tsv, .xlsx or .parquet.
        name: Name of the cohort in results; by default the table's.
        columns: The table's columns by the names used here, where they differ.
        endpoints: Further binary columns to predict.
        positive: For an endpoint, the value or values that are the event.
        negative: For an endpoint, the value or values that are not.
    """

    table: Path
    name: str = ""
    columns: dict[str, str] = Field(default={})
    endpoints: tuple[str, ...] = ()
    positive: dict[str, tuple[Word, ...]] = Field(default={})
    negative: dict[str, tuple[Word, ...]] = Field(default={})

    @field_validator("positive", "negative", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: one if isinstance(one, list | tuple) else (one,) for key, one in value.items()}

    def column(self, name: str) -> str:
        """Return the name that a column has in the table."""
        return self.columns.get(name, name)

    def endpoint_names(self, table: pd.DataFrame, besides: Collection[str] = ()) -> list[str]:
        """Return the binary endpoints: the usual ones that the table has, and those listed.

        Args:
            table: The table.
            besides: Endpoints that are not binary.

        Raises:
            UserError: When there is none of either, or values are named for another one.
        """
        listed = {fold(name) for name in self.endpoints}
        usual = [
            name
            for name in USUAL_ENDPOINTS
            if name not in (*listed, *besides)
            and (name in self.columns or find_column(table, name))
        ]
        names = list(dict.fromkeys([*usual, *self.endpoints]))
        if not names and not besides:
            raise UserError(
                f"{self.table} has no endpoint: a column {', '.join(USUAL_ENDPOINTS)} was "
                "expected, map one under 'columns' or list one under 'endpoints'"
            )
        for key, mapping in (("positive", self.positive), ("negative", self.negative)):
            for name in mapping:
                if name not in {*names, *besides}:
                    raise UserError(f"'{key}' names no endpoint '{name}': {nearest(name, names)}")
        return names

    def coded(self, cells: pd.Series, endpoint: str) -> pd.Series:
        """Return an endpoint's column as 1, 0 or missing.

        Raises:
            UserError: Naming the column and the values that are neither.
        """
        positive, negative = self.positive.get(endpoint, ()), self.negative.get(endpoint, ())
        return code_endpoint(cells, self.column(endpoint), self.table, positive, negative)

    def in_words(self, endpoint: str) -> str:
        """Return the positive class of an endpoint in words."""
        if named := self.positive.get(endpoint):
            return f"{self.column(endpoint)} is {' or '.join(map(str, named))}"
        return USUAL_ENDPOINTS.get(endpoint, f"{endpoint} is yes")
