"""An output folder and a database that several drivers share: what goes from one to the other."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

import sqlalchemy as sql

from prognobench.errors import UserError
from prognobench.execution.prepare import Prepared
from prognobench.plan import ControlRun, Run
from prognobench.results.records import RunState
from prognobench.results.shared import SharedStore
from prognobench.results.store import ResultsStore

AT_ONCE = 100
"""Runs that are copied in one go."""

PAUSE = 60.0
"""Seconds between two times that results are copied while runs go on, at least."""

GRACE = 2.0
"""Seconds that the end of the runs waits for a copy that is under way: an interruption must end
within five."""

_log = logging.getLogger(__name__)


def share(prepared: Prepared, store: ResultsStore, shared: SharedStore) -> list[Run | ControlRun]:
    """Make the plan known to a shared store, and give it what is done in the folder already.

    Args:
        prepared: The benchmark; it is registered in the folder's store.
        store: The store of the output folder.
        shared: The shared store.

    Returns:
        What is still to be done, by whichever driver, in the order of the plan.
    """
    planned: list[Run | ControlRun] = [*prepared.controls, *prepared.runs]
    shared.register([run.record() for run in planned], [run.info() for run in planned])
    todo = shared.pending([run.id for run in planned])
    table = store.runs()
    for run in table.loc[table["state"] == RunState.DONE, "run"]:
        if run in todo and shared.take_over(store.outcome(run)):
            todo.discard(run)
    return [run for run in planned if run.id in todo]


def collect(
    store: ResultsStore, shared: SharedStore, stop: Callable[[], bool] = lambda: False
) -> int:
    """Copy to the output folder what is done or failed in a shared store.

    Args:
        store: The store of the output folder, which knows the plan.
        shared: The shared store.
        stop: Says whether to leave the rest for another time.

    Returns:
        How many runs were copied.
    """
    table = store.runs()
    outcomes = shared.outcomes(table.loc[table["state"] != RunState.DONE, "run"].tolist())
    copied = 0
    while not stop() and (some := list(islice(outcomes, AT_ONCE))):
        store.take_over(some)
        copied += len(some)
    return copied


@contextlib.contextmanager
def collecting(store: ResultsStore, shared: SharedStore) -> Iterator[None]:
    """Copy to the output folder what all drivers have done, again and again within the block.

    So a report can be made, and candidates be evaluated, before the last run has ended, and little
    is left to copy then. What cannot be copied now is left for later.

    Args:
        store: The store of the output folder; nothing else writes to it within the block.
        shared: The shared store.
    """
    over = threading.Event()

    def look() -> None:
        wait = PAUSE
        while not over.wait(wait):
            began = time.monotonic()
            try:
                collect(store, shared, over.is_set)
            except (UserError, OSError, sql.exc.SQLAlchemyError) as error:
                _log.warning("results could not be copied to %s (%s)", store.output, error)
            wait = max(PAUSE, time.monotonic() - began)

    # It may wait for a database that is away: nobody waits for it then.
    thread = threading.Thread(target=look, name="collecting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(GRACE)
