"""The store: runs with their states in SQLite, predictions as one Parquet file a run."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sql
from pyarrow import BufferReader, parquet

from prognobench.errors import UserError
from prognobench.files import atomic_path, file_digest
from prognobench.results.ledger import Claimed
from prognobench.results.records import Outcome, RunResult, RunState
from prognobench.results.schema import METADATA, OUTCOME, RUNS, VERSION, agree_on_version
from prognobench.results.sqlite import damage, make_durable

_WRITERS = 16
"""Files that are written at once: a disk flushes several in about the time of one."""

_NUMBERS = ("level", "lr", "validation_score", "prior_logit_shift", "threshold", "train_seconds")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _refuse_emptied(output: Path) -> None:
    """Raise :class:`UserError` where there are predictions, and the database has no byte.

    SQLite takes such a file for a new database, and every table would be of no run.
    """
    path = output / "results.db"
    if path.is_file() and not path.stat().st_size and any(output.glob("predictions/*.parquet")):
        raise UserError(
            f"{path} is empty though there are predictions beside it: put back a copy of it, or "
            "delete it to have the runs done anew"
        )


def _ended(environment: dict[str, Any], digest: str) -> dict[str, Any]:
    return {"finished": _now(), "environment": environment, "predictions_sha256": digest}


@dataclass(frozen=True)
class PredictionsFile:
    """The predictions of one run, as they were written.

    Attributes:
        path: The file.
        sha256: Its digest; None where none was ever noted.
    """

    path: Path
    sha256: str | None

    def __call__(self, run: str) -> pd.DataFrame:  # noqa: ARG002  as all that gives predictions
        """Return the predictions.

        Raises:
            UserError: When they are missing or not those that were written.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be read ({error.strerror}): `prognobench run` makes it anew"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise UserError(
                f"{self.path} is not what was written there (its SHA-256 differs): `prognobench "
                "run` makes it anew"
            )
        read = parquet.ParquetFile(BufferReader(data)).read(use_threads=False)
        table: pd.DataFrame = read.to_pandas(ignore_metadata=True)
        return table


class ResultsStore:
    """Runs and predictions in an output folder.

    Attributes:
        output: The output folder.
    """

    def __init__(self, output: Path) -> None:
        """Open the store of an output folder, making it if need be.

        Raises:
            UserError: When the folder cannot be written to or the database is broken.
        """
        self.output = output
        self._written: dict[str, str] = {}
        try:
            _refuse_emptied(output)
            (output / "predictions").mkdir(parents=True, exist_ok=True)
            # Many runs share what they were trained on, word for word.
            self._engine = sql.create_engine(
                f"sqlite:///{output / 'results.db'}",
                json_deserializer=lru_cache(maxsize=64)(json.loads),
            )
            make_durable(self._engine)
            METADATA.create_all(self._engine)
            with self._engine.begin() as connection:
                version = agree_on_version(connection)
            broken = damage(self._engine)
            known = {column["name"] for column in sql.inspect(self._engine).get_columns("runs")}
        except (OSError, sql.exc.SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            raise UserError(
                f"the output folder {output} cannot be used ({cause}): "
                "name another with --output, or mend it"
            ) from error
        if broken:
            raise UserError(
                f"{output / 'results.db'} is damaged ({broken}): put back a copy of it, or name "
                "another folder with --output"
            )
        if version != VERSION or not known.issuperset(RUNS.c.keys()):
            raise UserError(
                f"the output folder {output} was written by another version of prognobench, whose "
                "results cannot be gone on with: name another folder with --output"
            )

    def register(self, records: Sequence[dict[str, Any]], infos: Sequence[dict[str, Any]]) -> None:
        """Make the plan known: new runs are added, those no longer planned are set aside.

        What is done stays done. A run that was interrupted or failed becomes pending again.

        Args:
            records: For each planned run, in order, its descriptive columns.
            infos: For each, what identifies it, as plain data.
        """
        with self._engine.begin() as connection:
            connection.execute(sql.update(RUNS).values(in_plan=False))
            known = {
                row.run: row.state
                for row in connection.execute(sql.select(RUNS.c.run, RUNS.c.state))
            }
            new, kept = [], []
            for position, (record, info) in enumerate(zip(records, infos, strict=True)):
                if record["run"] not in known:
                    empty = {"in_plan": True, "position": position, "attempts": 0}
                    new.append({**record, **empty, "state": str(record["state"]), "run_info": info})
                    continue
                done = known[record["run"]] == RunState.DONE
                state = RunState.DONE if done else record["state"]
                reason = None if done else record["reason"]
                names = {f"own_{key}": record[key] for key in ("backbone", "strategy", "dataset")}
                kept.append(
                    {
                        "own_run": record["run"],
                        "own_position": position,
                        "own_state": str(state),
                        "own_reason": reason,
                        **names,
                    }
                )
            if new:
                connection.execute(sql.insert(RUNS), new)
            if kept:
                connection.execute(
                    sql.update(RUNS)
                    .where(RUNS.c.run == sql.bindparam("own_run"))
                    .values(
                        in_plan=True,
                        position=sql.bindparam("own_position"),
                        state=sql.bindparam("own_state"),
                        reason=sql.bindparam("own_reason"),
                        backbone=sql.bindparam("own_backbone"),
                        strategy=sql.bindparam("own_strategy"),
                        dataset=sql.bindparam("own_dataset"),
                    ),
                    kept,
                )

    def verify(self) -> list[str]:
        """Set every run to pending whose predictions file is missing or altered.

        Returns:
            The runs concerned.
        """
        table = self.runs()
        done = table[table["state"] == RunState.DONE]
        written = zip(done["run"], done["predictions_sha256"], strict=True)
        broken = [run for run, digest in written if not self._is_whole(run, digest)]
        if broken:
            # One by one: SQLite takes no more than some ten thousand values in one statement.
            again = sql.update(RUNS).where(RUNS.c.run == sql.bindparam("own_run"))
            with self._engine.begin() as connection:
                connection.execute(
                    again.values(state=RunState.PENDING), [{"own_run": run} for run in broken]
                )
        return broken

    def runs(self, without: Collection[str] = ()) -> pd.DataFrame:
        """Return the planned runs, one row each, in the order of the plan.

        ``run_info`` is the text of JSON: of a hundred thousand runs it would take seconds to read.

        Args:
            without: Columns that are left out.
        """
        columns = [
            c if c.name != "run_info" else sql.type_coerce(c, sql.Text)
            for c in RUNS.c
            if c.name not in without
        ]
        with self._engine.connect() as connection:
            query = sql.select(*columns).where(RUNS.c.in_plan).order_by(RUNS.c.position)
            table = pd.read_sql(query, connection)
        self._written = dict(zip(table["run"], table["predictions_sha256"], strict=True))
        table["reason"] = table["reason"].astype(object).where(table["reason"].notna(), None)
        for column in ("shots", "episode", "trainable_parameters"):
            table[column] = table[column].astype("Int64")
        for column in _NUMBERS:
            table[column] = table[column].astype(float)
        return table

    def finished(self) -> pd.DataFrame:
        """Return every run that was done, those of other plans among them; nothing is changed.

        Returns:
            By the run, its ``train_seconds``, and ``whole``: whether its predictions are there as
            they were written, so that it is not to be done anew.
        """
        columns = RUNS.c.run, RUNS.c.train_seconds, RUNS.c.predictions_sha256
        with self._engine.connect() as connection:
            query = sql.select(*columns).where(RUNS.c.state == RunState.DONE)
            table = pd.read_sql(query, connection).set_index("run")
        digests = table.pop("predictions_sha256").items()
        table["whole"] = [self._is_whole(str(run), digest) for run, digest in digests]
        return table.astype({"train_seconds": float, "whole": bool})

    def _is_whole(self, run: str, digest: str | None) -> bool:
        path = self.predictions_path(run)
        return path.is_file() and file_digest(path) == digest

    def claim(self, runs: Sequence[str], count: int) -> Claimed:
        """Give out the first ``count`` of some runs: nobody else works on this folder."""
        return Claimed(tuple(runs[:count]))

    def look(self, runs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Say that no run is ended by others, and that all are free."""
        return [], list(runs)

    def start(self, *runs: str) -> None:
        """Note that runs begin."""
        begun = {"state": RunState.RUNNING, "attempts": RUNS.c.attempts + 1, "started": _now()}
        with self._engine.begin() as connection:
            connection.execute(sql.update(RUNS).where(RUNS.c.run.in_(runs)).values(begun))

    def finish(self, results: Mapping[str, RunResult], environment: dict[str, Any]) -> set[str]:
        """Keep what runs left: first their predictions, whole, then their states in one go."""
        files = {run: result.file() for run, result in results.items()}
        self._write(files)
        self._end(
            {
                run: {
                    **result.columns(),
                    **_ended(environment, hashlib.sha256(files[run]).hexdigest()),
                }
                for run, result in results.items()
            }
        )
        return set(results)

    def fail(self, run: str, reason: str, environment: dict[str, Any]) -> bool:
        """Note that a run failed, and why."""
        self._update(
            run, state=RunState.FAILED, reason=reason, finished=_now(), environment=environment
        )
        return True

    def predictions_path(self, run: str) -> Path:
        """Return where the predictions of a run are kept."""
        return self.output / "predictions" / f"{run}.parquet"

    def predictions(self, run: str) -> pd.DataFrame:
        """Return the predictions of a run that is done.

        Raises:
            UserError: When they are missing or not those that were written.
        """
        known = self.source(run)
        try:
            return known(run)
        except UserError:
            latest = self._written_digest(run)  # it may have ended since the runs were read
            if latest == known.sha256:
                raise
            return PredictionsFile(known.path, latest)(run)

    def source(self, run: str) -> PredictionsFile:
        """Return what reads the predictions of a run, here or in another process."""
        known = self._written.get(run) or self._written_digest(run)
        return PredictionsFile(self.predictions_path(run), known)

    def _written_digest(self, run: str) -> str | None:
        with self._engine.connect() as connection:
            query = sql.select(RUNS.c.predictions_sha256).where(RUNS.c.run == run)
            digest: str | None = connection.execute(query).scalar()
        return digest

    def outcome(self, run: str) -> Outcome:
        """Return a run that is done as another store takes it over.

        Raises:
            UserError: When its predictions are missing or not those that were written.
        """
        self.predictions(run)
        with self._engine.connect() as connection:
            query = sql.select(*(RUNS.c[name] for name in OUTCOME)).where(RUNS.c.run == run)
            columns = dict(connection.execute(query).mappings().one())
        return Outcome(run, columns, self.predictions_path(run).read_bytes())

    def take_over(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what another store has of runs of the plan.

        Args:
            outcomes: Runs that are done, or failed; at least one.

        Raises:
            ValueError: When the predictions of one are not those that were written there.
        """
        done = {own.run: own.predictions for own in outcomes if own.predictions is not None}
        for outcome in outcomes:
            if outcome.run in done and not outcome.is_whole:
                raise ValueError(f"the predictions of the run {outcome.run} are damaged")
        self._write(done)
        self._end({own.run: own.columns for own in outcomes})

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def _write(self, predictions: Mapping[str, bytes]) -> None:
        """Write the files of predictions of runs, each whole or not at all."""
        (self.output / "results.db").stat()  # a folder that has gone is not begun anew

        def write(run: str) -> None:
            with atomic_path(self.predictions_path(run)) as temporary:
                temporary.write_bytes(predictions[run])

        with ThreadPoolExecutor(_WRITERS) as pool:
            # The list: errors come with what is taken.
            list(pool.map(write, predictions))

    def _end(self, columns: Mapping[str, dict[str, Any]]) -> None:
        """Note how runs ended, all in one go."""
        changed = sql.update(RUNS).where(RUNS.c.run == sql.bindparam("own_run"))
        with self._engine.begin() as connection:
            connection.execute(changed, [{"own_run": run, **own} for run, own in columns.items()])

    def _update(self, run: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sql.update(RUNS).where(RUNS.c.run == run).values(**values))
