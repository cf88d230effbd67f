"""The store that several drivers share: runs, leases on them, and predictions in PostgreSQL.

A driver claims runs before it does them. A claim is a lease that the driver extends while it
lives; when the driver dies the lease expires, and another driver claims the run. Each claim raises
the run's fence, and a result is taken only under the fence of the last claim (Kleppmann 2017,
Designing Data-Intensive Applications, chapter 8), so that a driver that was merely slow to extend
its lease cannot add a second result. All times are those of the database server: clocks of the
drivers do not matter.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql

from prognobench.errors import UserError
from prognobench.results.database import Database
from prognobench.results.ledger import Claimed
from prognobench.results.records import Outcome, RunResult, RunState
from prognobench.results.schema import (
    OUTCOME,
    VERSION,
    agree_on_version,
    runs_table,
    version_table,
)

LEASE = 60.0
"""Seconds until the runs of a driver that died are free again."""

PATIENCE = 900.0
"""Seconds that a driver waits for a database that has gone away."""

MOST_LOSSES = 5
"""A run whose driver died this often while it was claimed is given up."""

_CHUNK = 1000
_MAKING = 5071093227
"""Number of the advisory lock under which tables are made and plans registered."""

_METADATA = sql.MetaData()
_VERSIONS = version_table(_METADATA)
_RUNS = runs_table(
    _METADATA,
    sql.Column("owner", sql.String),
    sql.Column("fence", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("lease_until", sql.DateTime(timezone=True)),
    sql.Column("losses", sql.Integer, nullable=False, server_default="0"),
    sql.Column("predictions", sql.LargeBinary),
)

_ID = sql.select(_RUNS.c.run)
_ENDED = (RunState.DONE, RunState.FAILED, RunState.NOT_APPLICABLE, RunState.NOT_FEASIBLE)
_MAY_CHANGE = (RunState.FAILED, RunState.NOT_APPLICABLE, RunState.NOT_FEASIBLE)
_log = logging.getLogger(__name__)


class SharedStore:
    """Runs of any number of benchmarks by their identity, and the claims of one driver on them."""

    def __init__(self, url: str, lease: float = LEASE, patience: float = PATIENCE) -> None:
        """Connect, and make the tables if need be.

        Args:
            url: Where the database is.
            lease: Seconds for which a claim holds unless it is extended.
            patience: Seconds to wait for a database that has gone away later.

        Raises:
            UserError: When it cannot be used, or holds tables of another version.
        """
        self._database = Database(url, patience)
        self._owner, self._lease = uuid.uuid4().hex, datetime.timedelta(seconds=lease)
        self._fences: dict[str, int] = {}
        version, known = self._database.once(_make_tables)
        if version != VERSION or not known.issuperset(_RUNS.c.keys()):
            raise UserError(
                f"the database {self.name} holds results of another version of prognobench, which "
                "cannot be gone on with: name another database"
            )
        self._closed = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(lease / 4,), name="leases", daemon=True
        )
        self._heart.start()

    @property
    def name(self) -> str:
        """The database's URL without credentials."""
        return self._database.name

    def register(self, records: Sequence[dict[str, Any]], infos: Sequence[dict[str, Any]]) -> None:
        """Make the runs of a plan known; those that failed before may be tried again.

        Args:
            records: For each planned run, in order, its descriptive columns.
            infos: For each, what identifies it, as plain data.
        """
        rows = [
            {
                **record,
                "state": str(record["state"]),
                "in_plan": True,
                "position": position,
                "attempts": 0,
                "run_info": info,
            }
            for position, (record, info) in enumerate(zip(records, infos, strict=True))
        ]
        insert = postgresql.insert(_RUNS)
        upsert = insert.on_conflict_do_update(
            index_elements=["run"],
            set_={"state": insert.excluded.state, "reason": insert.excluded.reason, "losses": 0},
            # Not IN, which SQLAlchemy cannot send for many rows at once.
            where=sql.or_(*(_RUNS.c.state == state for state in _MAY_CHANGE)),
        )

        def write(connection: sql.Connection) -> None:
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_MAKING)))
            if rows:
                connection.execute(upsert, rows)

        self._database.persistently(write)

    def pending(self, runs: Sequence[str]) -> set[str]:
        """Return those of some runs that have not ended, claimed or not."""
        wanted = _RUNS.c.state.not_in(_ENDED)
        return set(self._select(runs, wanted))

    def claim(self, runs: Sequence[str], count: int) -> Claimed:
        """Claim the first ``count`` of some runs that are free, in one atomic step.

        Args:
            runs: Runs that this driver is not doing.
            count: How many to claim at most.
        """
        offered = list(runs)
        # What this driver seems to do of them it does not: its worker died, or the answer to a
        # claim was lost with the connection.
        free = _RUNS.c.run.in_(offered) & (
            (_RUNS.c.state == RunState.PENDING)
            | (
                (_RUNS.c.state == RunState.RUNNING)
                & ((_RUNS.c.lease_until < sql.func.now()) | (_RUNS.c.owner == self._owner))
            )
        )
        expired = (_RUNS.c.state == RunState.RUNNING) & (_RUNS.c.owner != self._owner)
        place = sql.func.array_position(
            sql.cast(offered, postgresql.ARRAY(sql.String)), _RUNS.c.run
        )
        picked = (
            sql.select(_RUNS.c.run)
            .where(free)
            .order_by(place)
            .limit(count)
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        give_up = (
            sql.update(_RUNS)
            .where(free, expired, _RUNS.c.losses >= MOST_LOSSES - 1)
            .values(
                state=RunState.FAILED,
                reason=f"its driver died {MOST_LOSSES} times while doing it",
                fence=_RUNS.c.fence + 1,
            )
        )
        take = (
            sql.update(_RUNS)
            .where(_RUNS.c.run == picked.c.run)
            .values(
                state=RunState.RUNNING,
                owner=self._owner,
                fence=_RUNS.c.fence + 1,
                lease_until=sql.func.now() + self._lease,
                attempts=_RUNS.c.attempts + 1,
                losses=_RUNS.c.losses + sql.case((expired, 1), else_=0),
                started=_now(),
            )
            .returning(_RUNS.c.run, _RUNS.c.fence)
        )

        def step(connection: sql.Connection) -> tuple[dict[str, int], set[str]]:
            connection.execute(give_up)
            fences = {row.run: row.fence for row in connection.execute(take)}
            if set(fences) == set(offered[:count]):
                return fences, set()
            rest = sql.select(_RUNS.c.run).where(
                _RUNS.c.run.in_(offered), _RUNS.c.run.not_in(list(fences)), ~free
            )
            return fences, set(connection.execute(rest).scalars())

        fences, elsewhere = self._database.persistently(step)
        self._fences |= fences
        return Claimed(
            tuple(run for run in offered if run in fences),
            tuple(run for run in offered if run in elsewhere),
        )

    def start(self, *runs: str) -> None:
        """Note nothing: that a run is done was noted when it was claimed."""

    def finish(self, results: Mapping[str, RunResult], environment: dict[str, Any]) -> set[str]:
        """Keep what runs left, unless another driver has claimed them meanwhile."""
        return {run for run, own in results.items() if self._finish(run, own, environment)}

    def _finish(self, run: str, result: RunResult, environment: dict[str, Any]) -> bool:
        written = result.file()
        return self._end(
            run,
            **result.columns(),
            environment=environment,
            predictions=written,
            predictions_sha256=hashlib.sha256(written).hexdigest(),
        )

    def fail(self, run: str, reason: str, environment: dict[str, Any]) -> bool:
        """Note that a run failed, unless another driver has claimed it meanwhile."""
        return self._end(run, state=RunState.FAILED, reason=reason, environment=environment)

    def look(self, runs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return which of some runs others have ended, and which are free again."""
        expired = (_RUNS.c.state == RunState.RUNNING) & (_RUNS.c.lease_until < sql.func.now())
        free = (_RUNS.c.state == RunState.PENDING) | expired | (_RUNS.c.owner == self._owner)
        ended = _RUNS.c.state.in_(_ENDED)
        return self._select(runs, ended), self._select(runs, ~ended & free)

    def take_over(self, outcome: Outcome) -> bool:
        """Keep a run that was done in another store, unless it is claimed or done here.

        Args:
            outcome: The run; it has been registered.
        """
        values = {name: value for name, value in outcome.columns.items() if name != "attempts"}
        update = (
            sql.update(_RUNS)
            .where(_RUNS.c.run == outcome.run, _RUNS.c.state == RunState.PENDING)
            .values(**values, predictions=outcome.predictions, fence=_RUNS.c.fence + 1)
        )
        return self._database.persistently(lambda c: c.execute(update).rowcount) == 1

    def outcomes(self, runs: Sequence[str]) -> Iterator[Outcome]:
        """Yield how those of some runs ended that have been done or failed, some at a time.

        A run whose predictions are damaged here is made pending, to be done again, and is not
        among them.
        """
        columns = [_RUNS.c[name] for name in ("run", *OUTCOME, "predictions")]
        ended = _RUNS.c.state.in_((RunState.DONE, RunState.FAILED))
        for row in self._rows(runs, lambda own: sql.select(*columns).where(own, ended), 100):
            found = row._mapping
            outcome = Outcome(
                found["run"], {name: found[name] for name in OUTCOME}, found["predictions"]
            )
            if found["state"] == RunState.DONE and not outcome.is_whole:
                _log.warning("the predictions of the run %s are damaged", found["run"])
                self._again(found["run"], found["predictions_sha256"])
                continue
            yield outcome

    def close(self) -> None:
        """Give back what is claimed, and close the connections."""
        self._closed.set()
        self._heart.join()
        mine = (_RUNS.c.owner == self._owner) & (_RUNS.c.state == RunState.RUNNING)
        release = sql.update(_RUNS).where(mine).values(state=RunState.PENDING, lease_until=None)
        try:
            self._database.once(lambda connection: connection.execute(release))
        except UserError:
            _log.warning("claims could not be given back: they expire")
        self._database.engine.dispose()

    def _end(self, run: str, **values: Any) -> bool:
        fence = self._fences.get(run)
        mine = (_RUNS.c.run == run) & (_RUNS.c.fence == fence)
        update = (
            sql.update(_RUNS)
            .where(mine, _RUNS.c.state == RunState.RUNNING)
            .values(**values, finished=_now(), lease_until=None)
        )

        def step(connection: sql.Connection) -> bool:
            if connection.execute(update).rowcount == 1:
                return True
            # It may have been kept already, and only the answer have been lost.
            done = sql.select(_RUNS.c.run).where(mine, _RUNS.c.state.in_(_ENDED))
            return connection.execute(done).first() is not None

        kept = self._database.persistently(step)
        self._fences.pop(run, None)
        if not kept:
            _log.warning("the run %s was taken over by another driver, its result is dropped", run)
        return kept

    def _again(self, run: str, digest: str | None) -> None:
        update = (
            sql.update(_RUNS)
            .where(_RUNS.c.run == run, _RUNS.c.predictions_sha256 == digest)
            .values(state=RunState.PENDING, predictions=None, predictions_sha256=None)
        )
        self._database.persistently(lambda connection: connection.execute(update))

    def _select(self, runs: Sequence[str], wanted: sql.ColumnElement[bool]) -> list[str]:
        """Return those of some runs for which something holds."""
        return [row[0] for row in self._rows(runs, lambda own: _ID.where(own, wanted))]

    def _rows(
        self,
        runs: Sequence[str],
        query: Callable[[sql.ColumnElement[bool]], sql.Select[Any]],
        chunk: int = _CHUNK,
    ) -> Iterator[sql.Row[Any]]:
        """Yield the rows of a query over some runs, asked so many at a time."""

        def rows(connection: sql.Connection) -> list[sql.Row[Any]]:
            return list(connection.execute(asked))

        for start in range(0, len(runs), chunk):
            asked = query(_RUNS.c.run.in_(list(runs[start : start + chunk])))
            yield from self._database.persistently(rows)

    def _beat(self, every: float) -> None:
        """Extend the leases of this driver while it lives."""
        mine = (_RUNS.c.owner == self._owner) & (_RUNS.c.state == RunState.RUNNING)
        extend = sql.update(_RUNS).where(mine).values(lease_until=sql.func.now() + self._lease)
        while not self._closed.wait(every):
            try:
                with self._database.engine.begin() as connection:
                    connection.execute(extend)
            except sql.exc.SQLAlchemyError:
                _log.warning("the leases could not be extended, trying again")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _make_tables(connection: sql.Connection) -> tuple[int, set[str]]:
    """Make the tables that are missing; return their version and the columns of the runs."""
    # Two drivers that start at once would both find no tables and both make them.
    connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_MAKING)))
    _METADATA.create_all(connection)
    columns = {column["name"] for column in sql.inspect(connection).get_columns("runs")}
    return agree_on_version(connection), columns
