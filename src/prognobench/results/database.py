"""A PostgreSQL database that several drivers share: connecting, and going on after an outage."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sql

from prognobench.errors import UserError

FIRST_WAIT, LONGEST_WAIT = 0.2, 15.0
"""Seconds before the first new attempt, and the most between two."""

CONNECT_SECONDS = 10

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


def is_database_url(text: str) -> bool:
    """Return whether a text names a PostgreSQL database."""
    return text.startswith(("postgresql://", "postgresql+psycopg://", "postgres://"))


def without_credentials(url: str) -> str:
    """Return a database's URL without user, password and options: what may be shown and written."""
    known = sql.make_url(url)
    return sql.URL.create(
        "postgresql", host=known.host, port=known.port, database=known.database
    ).render_as_string()


class Database:
    """Connections to a PostgreSQL database.

    Attributes:
        name: Its URL without credentials.
        engine: The engine of SQLAlchemy.
    """

    def __init__(self, url: str, patience: float) -> None:
        """Prepare connections; nothing is connected yet.

        Args:
            url: ``postgresql://[user[:password]@]host[:port]/database``. Without user or password
                those of PGUSER, PGPASSWORD or ``~/.pgpass`` are taken, as PostgreSQL's own
                programs do.
            patience: Seconds to go on trying when the database has gone away.

        Raises:
            UserError: When the URL is none, or psycopg is not installed.
        """
        try:
            known = sql.make_url(url)
            if not is_database_url(url) or not known.database:
                raise ValueError("not a PostgreSQL URL")
        except (sql.exc.ArgumentError, ValueError):
            # The text itself is not shown: it may hold a password.
            raise UserError(
                "the results URL cannot be used: expected postgresql://user@host:port/database"
            ) from None
        self.name, self._patience = without_credentials(url), patience
        try:
            self.engine = sql.create_engine(
                known.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={"connect_timeout": CONNECT_SECONDS},
            )
        except ModuleNotFoundError:
            raise UserError(
                "results in PostgreSQL need the extra 'postgres': install prognobench[postgres]"
            ) from None

    def once(self, action: Callable[[sql.Connection], _Result]) -> _Result:
        """Do something in one transaction.

        Raises:
            UserError: When the database cannot be reached or refuses.
        """
        try:
            with self.engine.begin() as connection:
                return action(connection)
        except sql.exc.SQLAlchemyError as error:
            raise UserError(
                f"the results database {self.name} cannot be used ({_cause(error)}): check that "
                "it runs, its address, and the user's password and rights"
            ) from None

    def persistently(self, action: Callable[[sql.Connection], _Result]) -> _Result:
        """Do something in one transaction, again and again while the database is away.

        A transaction whose end was not confirmed may have been done: the action must be one that
        can be done twice.

        Args:
            action: What to do.

        Raises:
            UserError: When the database stays away.
        """
        wait, until = FIRST_WAIT, time.monotonic() + self._patience
        while True:
            try:
                with self.engine.begin() as connection:
                    return action(connection)
            except (sql.exc.OperationalError, sql.exc.InterfaceError) as error:
                cause = _cause(error)
            except sql.exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                cause = _cause(error)
            if time.monotonic() > until:
                raise UserError(
                    f"the results database {self.name} has been away for {self._patience:.0f} s "
                    f"({cause}): what is finished is kept there, run again when it is back"
                ) from None
            _log.warning("the results database is away (%s), trying again", cause)
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  not for secrets
            wait = min(2 * wait, LONGEST_WAIT)


def _cause(error: sql.exc.SQLAlchemyError) -> str:
    """Return the first line of what the database said."""
    text = str(getattr(error, "orig", None) or error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
