"""From what is stored of runs to the tables of a benchmark, by way of candidates that are kept."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from prognobench.cohorts.combine import MEMBER_COLUMN
from prognobench.errors import UserError
from prognobench.evaluation.cells import Cell, cells_of, rows_of
from prognobench.evaluation.choice import DONE, UNFINISHED, choose_runs
from prognobench.evaluation.detail import details
from prognobench.evaluation.evaluated import EvaluatedCandidate, evaluate
from prognobench.evaluation.finished import Measured, Runs
from prognobench.evaluation.kinds import kinds_of
from prognobench.evaluation.patients import Unit
from prognobench.evaluation.rank_table import rank_table
from prognobench.evaluation.tables import RUN_COLUMNS, leaderboard_of, results_table
from prognobench.evaluation.task import agree
from prognobench.evaluation.workers import on_all_cores
from prognobench.report.kept_candidates import FACTS, KeptCandidates, keys_of
from prognobench.report.remembered import facts
from prognobench.results.store import ResultsStore
from prognobench.results.tested import tested_by_splits
from prognobench.spec import EvaluationSpec

AT_ONCE = 256
"""Candidates that are kept together, at most."""

KEPT_EVERY = 20.0
"""Seconds after which those that are evaluated are kept, be they few."""

Found: TypeAlias = Mapping[str, EvaluatedCandidate]
"""Evaluated candidates by the keys under which they are kept."""


@contextlib.contextmanager
def collecting_nothing() -> Iterator[None]:
    """Look for no cyclic garbage within the block, where millions of objects are made to stay.

    Looking through them again and again takes a tenth of the time, and there is next to none.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@dataclass(frozen=True)
class Planned:
    """A benchmark as it is evaluated.

    Attributes:
        runs: Of the runs of a learning-rate grid the one that was chosen; all others.
        cells: Their cells, in order.
        keys: The keys under which the candidates of each cell are kept, in their order.
    """

    runs: pd.DataFrame
    cells: Sequence[Cell]
    keys: Sequence[Sequence[str]]

    def candidates(self) -> Iterator[tuple[str, Cell, int]]:
        """Yield the candidates of all cells: their keys, their cells, and their places there."""
        for keys, cell in zip(self.keys, self.cells, strict=True):
            for place, key in enumerate(keys):
                yield key, cell, place


def planned(
    output: Path, runs: pd.DataFrame, facts: Sequence[str], asked: EvaluationSpec
) -> Planned:
    """Put the runs of an output folder into candidates and cells.

    Args:
        output: The output folder.
        runs: Its runs.
        facts: Of each, what its numbers depend on (:func:`~prognobench.report.remembered.facts`).
        asked: How they are evaluated.

    Raises:
        UserError: When a split cannot be read.
    """
    named = [name for name in (*RUN_COLUMNS, "kind") if name in runs]
    # Words as objects: pieces of such columns are cut out faster.
    own = runs[named].reset_index(drop=True)
    own = own.astype({name: object for name, kind in own.dtypes.items() if kind == "str"})
    own[FACTS] = pd.Series(facts, index=own.index, dtype=object)
    chosen = choose_runs(own)
    tested = tested_by_splits(output, chosen)
    cells = list(cells_of(chosen, tested, asked.metric, asked.replicates, asked.confidence))
    return Planned(chosen, cells, keys_of(cells, asked.model_dump(mode="json")))


def evaluate_candidates(output: Path, store: ResultsStore, plan: Planned) -> Found:
    """Return the candidates of a benchmark, evaluated, by their keys.

    Those that are kept are read, the others are evaluated and kept.

    Args:
        output: The output folder.
        store: Its store.
        plan: Its candidates.

    Raises:
        UserError: When candidates disagree on a patient's outcome.
    """
    kept = KeptCandidates(output)
    with collecting_nothing():
        found = kept.recall(key for key, _, _ in plan.candidates())
    found |= _evaluated([own for own in plan.candidates() if own[0] not in found], store, kept)
    for (dataset, endpoint), keys in _by_task(plan).items():
        outcomes: dict[str, float] = {}
        last: Mapping[str, float] = {}
        for key in keys:
            if found[key].tested != last:  # most test the same patients
                last = found[key].tested
                agree(outcomes, last, dataset, endpoint)
    return found


def result_tables(plan: Planned, found: Found) -> dict[str, pd.DataFrame]:
    """Return the tables of every run's metrics, by their file names.

    Args:
        plan: The candidates.
        found: What became of them.

    Returns:
        ``results.csv``, and ``results_by_image.csv``, which is the same table where each patient
        has one image.
    """
    by_patient = _results(plan.runs, found, "patient")
    alike = all(
        run["image"] is run["patient"] for own in found.values() for run in own.measured.values()
    )
    by_image = by_patient if alike else _results(plan.runs, found, "image")
    return {"results.csv": by_patient, "results_by_image.csv": by_image}


def comparison_tables(
    output: Path,
    store: ResultsStore,
    plan: Planned,
    found: Found,
    asked: EvaluationSpec,
) -> dict[str, pd.DataFrame]:
    """Return the tables that compare candidates, and look closer at the best, by their file names.

    Args:
        output: The output folder.
        store: Its store.
        plan: Its candidates.
        found: What became of them.
        asked: How they are evaluated.

    Raises:
        UserError: When the folder lacks what a run writes before training.
    """
    read = Runs(store.predictions)
    rows = [
        row
        for keys, cell in zip(plan.keys, plan.cells, strict=True)
        for row in rows_of(cell, [found[key].candidate for key in keys], read)
    ]
    table = leaderboard_of(rows, asked.metric, kinds_of(plan.runs).tolist())
    looked = details(
        plan.runs,
        read,
        table,
        _images(output),
        tested={(cell.dataset, cell.endpoint): cell.tested for cell in plan.cells},
        replicates=asked.replicates,
        confidence=asked.confidence,
    )
    return {
        "leaderboard.csv": table,
        "ranks.csv": rank_table(table),
        "curves.csv": looked.curves,
        "subgroups.csv": looked.subgroups,
    }


def ended(output: Path, store: ResultsStore, asked: EvaluationSpec) -> list[tuple[str, Cell, int]]:
    """Return the candidates all of whose runs have ended, and that are not kept yet.

    Args:
        output: The output folder.
        store: Its store.
        asked: How they are evaluated.

    Returns:
        As of :meth:`Planned.candidates`.
    """
    runs = store.runs(without=["run_info", "train_info", "environment"])
    plan = planned(output, runs, facts(output, runs), asked)
    known = KeptCandidates(output).known()
    found = []
    for key, cell, place in plan.candidates():
        states = set(cell.runs["state"].take(cell.members[place]))
        if key not in known and DONE in states and not states & {*UNFINISHED}:
            found.append((key, cell, place))
    return found


def evaluate_ahead(
    output: Path,
    store: ResultsStore,
    candidates: Iterable[tuple[str, Cell, int]],
    stop: Callable[[], bool],
) -> None:
    """Evaluate and keep candidates, one after the other.

    Args:
        output: The output folder.
        store: Its store.
        candidates: The candidates, from :func:`ended`.
        stop: Says whether to begin no other one.
    """
    found = (
        (key, evaluate((cell.candidate(place), Runs(store.predictions))))
        for key, cell, place in takewhile(lambda _: not stop(), candidates)
    )
    for _ in _keeping(found, KeptCandidates(output)):
        pass


def _evaluated(
    missing: Sequence[tuple[str, Cell, int]], store: ResultsStore, kept: KeptCandidates
) -> dict[str, EvaluatedCandidate]:
    """Evaluate candidates, and keep as they come those that have something finished."""
    candidates = {key: cell.candidate(place) for key, cell, place in missing}
    finished = {key: own.finished for key, own in candidates.items()}
    read = Runs(store.predictions, source=store.source)
    asked = {key: (own, read.only(own.runs["run"])) for key, own in candidates.items()}
    found = {key: evaluate(own) for key, own in asked.items() if not finished[key]}
    others = {key: own for key, own in asked.items() if finished[key]}
    with on_all_cores(sum(finished.values())) as mapped:
        evaluated = zip(others, mapped(evaluate, others.values()), strict=True)
        return found | dict(_keeping(evaluated, kept))


def _keeping(
    evaluated: Iterable[tuple[str, EvaluatedCandidate]], kept: KeptCandidates
) -> Iterator[tuple[str, EvaluatedCandidate]]:
    """Keep candidates as they come, also where an interruption ends it."""
    fresh: dict[str, EvaluatedCandidate] = {}
    last = time.monotonic()
    try:
        for key, own in evaluated:
            fresh[key] = own
            yield key, own
            if len(fresh) == AT_ONCE or time.monotonic() - last > KEPT_EVERY:
                kept.keep(fresh)
                fresh, last = {}, time.monotonic()
    finally:
        kept.keep(fresh)


def _by_task(plan: Planned) -> dict[tuple[str, str], list[str]]:
    """Return the keys of the candidates by dataset and endpoint."""
    found: dict[tuple[str, str], list[str]] = {}
    for keys, cell in zip(plan.keys, plan.cells, strict=True):
        found.setdefault((cell.dataset, cell.endpoint), []).extend(keys)
    return found


def _results(runs: pd.DataFrame, found: Found, unit: Unit) -> pd.DataFrame:
    """Return ``results.csv``, or ``results_by_image.csv``."""
    measured: dict[str, Measured | str] = {}
    for own in found.values():
        measured |= {run: one[unit] for run, one in own.measured.items()}
        measured |= own.troubles
    return results_table(runs, measured)


def _images(output: Path) -> dict[str, pd.DataFrame]:
    """Return what is known of the images of each cohort; nothing where it cannot be read."""
    path = output / "cohort" / "manifest.parquet"
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: do `prognobench run` on its folder again"
        ) from error
    return {str(name): own for name, own in table.groupby(MEMBER_COLUMN, sort=False)}
