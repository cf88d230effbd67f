"""The tables of a store of results, the same in SQLite and in PostgreSQL, and their version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sql

VERSION = 2
"""Raised when a table changes: a store of another version is refused, never altered."""

OUTCOME = (
    "state",
    "reason",
    "attempts",
    "validation_score",
    "prior_logit_shift",
    "threshold",
    "trainable_parameters",
    "train_seconds",
    "predictions_sha256",
    "started",
    "finished",
    "train_info",
    "environment",
)
"""The columns that say how a run ended; all others were known before."""


def runs_table(metadata: sql.MetaData, *further: sql.Column[Any]) -> sql.Table:
    """Return the table of runs, one row a run.

    The JSON columns hold what identifies a run, how training went, and on what.

    Args:
        metadata: Where it belongs.
        further: Columns besides.
    """
    return sql.Table(
        "runs",
        metadata,
        sql.Column("run", sql.String, primary_key=True),
        sql.Column("in_plan", sql.Boolean, nullable=False),
        sql.Column("position", sql.Integer, nullable=False),
        sql.Column("dataset", sql.String, nullable=False),
        sql.Column("endpoint", sql.String, nullable=False),
        sql.Column("kind", sql.String, nullable=False, default="binary"),
        sql.Column("backbone", sql.String, nullable=False),
        sql.Column("strategy", sql.String, nullable=False),
        sql.Column("regime", sql.String, nullable=False),
        sql.Column("shots", sql.Integer),
        sql.Column("level", sql.Float),
        sql.Column("split", sql.String, nullable=False),
        sql.Column("fold", sql.Integer, nullable=False),
        sql.Column("repeat", sql.Integer, nullable=False),
        sql.Column("episode", sql.Integer),
        sql.Column("seed", sql.BigInteger, nullable=False),
        sql.Column("lr", sql.Float),
        sql.Column("state", sql.String, nullable=False),
        sql.Column("reason", sql.String),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("validation_score", sql.Float),
        sql.Column("prior_logit_shift", sql.Float),
        sql.Column("threshold", sql.Float),
        sql.Column("trainable_parameters", sql.BigInteger),
        sql.Column("train_seconds", sql.Float),
        sql.Column("predictions_sha256", sql.String),
        sql.Column("started", sql.String),
        sql.Column("finished", sql.String),
        sql.Column("run_info", sql.JSON),
        sql.Column("train_info", sql.JSON),
        sql.Column("environment", sql.JSON),
        *further,
    )


def version_table(metadata: sql.MetaData) -> sql.Table:
    """Return the table that holds the version of the others, in its only row."""
    return sql.Table(
        "prognobench_schema",
        metadata,
        sql.Column("version", sql.Integer, primary_key=True, autoincrement=False),
    )


METADATA = sql.MetaData()
RUNS = runs_table(METADATA)
_VERSIONS = version_table(METADATA)


def agree_on_version(connection: sql.Connection) -> int:
    """Return the version of a database's tables, writing ours into one that has none."""
    found: Sequence[int] = connection.execute(sql.select(_VERSIONS.c.version)).scalars().all()
    if not found:
        connection.execute(sql.insert(_VERSIONS).values(version=VERSION))
    return max(found, default=VERSION)
