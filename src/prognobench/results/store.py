"""The store: runs with their states in SQLite, predictions as one Parquet file a run."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sql

from prognobench.errors import UserError
from prognobench.files import atomic_path, file_digest
from prognobench.results.records import PREDICTION_COLUMNS, RunResult, RunState

_METADATA = sql.MetaData()
RUNS = sql.Table(
    "runs",
    _METADATA,
    sql.Column("run", sql.String, primary_key=True),
    sql.Column("in_plan", sql.Boolean, nullable=False),
    sql.Column("position", sql.Integer, nullable=False),
    sql.Column("dataset", sql.String, nullable=False),
    sql.Column("endpoint", sql.String, nullable=False),
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
)
"""One row a run; the JSON columns hold what identifies it, how training went, and on what."""

_NUMBERS = ("level", "lr", "validation_score", "prior_logit_shift", "threshold", "train_seconds")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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
        try:
            (output / "predictions").mkdir(parents=True, exist_ok=True)
            self._engine = sql.create_engine(f"sqlite:///{output / 'results.db'}")
            _METADATA.create_all(self._engine)
            known = {column["name"] for column in sql.inspect(self._engine).get_columns("runs")}
        except (OSError, sql.exc.SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            raise UserError(
                f"the output folder {output} cannot be used ({cause}): "
                "name another with --output, or mend it"
            ) from error
        if not known.issuperset(RUNS.c.keys()):
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
        broken = []
        for run, digest in zip(done["run"], done["predictions_sha256"], strict=True):
            path = self.predictions_path(run)
            if not path.is_file() or file_digest(path) != digest:
                broken.append(run)
        if broken:
            with self._engine.begin() as connection:
                connection.execute(
                    sql.update(RUNS).where(RUNS.c.run.in_(broken)).values(state=RunState.PENDING)
                )
        return broken

    def runs(self) -> pd.DataFrame:
        """Return the planned runs, one row each, in the order of the plan."""
        with self._engine.connect() as connection:
            query = sql.select(RUNS).where(RUNS.c.in_plan).order_by(RUNS.c.position)
            table = pd.read_sql(query, connection)
        table["reason"] = table["reason"].astype(object).where(table["reason"].notna(), None)
        for column in ("shots", "episode", "trainable_parameters"):
            table[column] = table[column].astype("Int64")
        for column in _NUMBERS:
            table[column] = table[column].astype(float)
        return table

    def start(self, run: str) -> None:
        """Note that a run begins."""
        self._update(run, state=RunState.RUNNING, attempts=RUNS.c.attempts + 1, started=_now())

    def finish(self, run: str, result: RunResult, environment: dict[str, Any]) -> None:
        """Keep what a run left: first its predictions, whole, then its state."""
        path = self.predictions_path(run)
        with atomic_path(path) as temporary:
            result.predictions[list(PREDICTION_COLUMNS)].to_parquet(temporary, index=False)
        self._update(
            run,
            state=RunState.DONE,
            reason=None,
            validation_score=result.validation_score,
            prior_logit_shift=result.prior_logit_shift,
            threshold=result.threshold,
            trainable_parameters=result.trainable_parameters,
            train_seconds=result.train_seconds,
            predictions_sha256=file_digest(path),
            finished=_now(),
            train_info=result.train_info,
            environment=environment,
        )

    def fail(self, run: str, reason: str, environment: dict[str, Any]) -> None:
        """Note that a run failed, and why."""
        self._update(
            run, state=RunState.FAILED, reason=reason, finished=_now(), environment=environment
        )

    def predictions_path(self, run: str) -> Path:
        """Return where the predictions of a run are kept."""
        return self.output / "predictions" / f"{run}.parquet"

    def predictions(self, run: str) -> pd.DataFrame:
        """Return the predictions of a run that is done."""
        return pd.read_parquet(self.predictions_path(run))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def _update(self, run: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sql.update(RUNS).where(RUNS.c.run == run).values(**values))
