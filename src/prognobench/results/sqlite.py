"""SQLite for results that must survive: how its connections are set, and whether it is whole."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql

BUSY_SECONDS = 30
"""How long a connection waits for another one's lock, such as that of a report being written."""


def make_durable(engine: sql.Engine) -> None:
    """Set every connection of an engine so that what was committed stays, come what may.

    Args:
        engine: An engine of SQLite.
    """

    @sql.event.listens_for(engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        # The rollback journal, not the write-ahead log: that one shares memory between processes,
        # which file systems over a network do not have, and keeps results beside results.db in
        # files that a copy of it would leave behind. There is one writer, so nothing is gained.
        cursor.execute("PRAGMA journal_mode=DELETE")
        # Flush before a commit returns, and the folder after the journal is deleted, so that a
        # power cut takes back no commit. It costs milliseconds a run.
        cursor.execute("PRAGMA synchronous=EXTRA")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        # Damage in a page is told when it is read, not passed on.
        cursor.execute("PRAGMA cell_size_check=ON")
        # A database from elsewhere may not bring functions or views that run on reading it.
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.close()


def damage(engine: sql.Engine) -> str | None:
    """Return what is wrong with the structure of a database; None where nothing is."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    return None if found == "ok" else str(found)
