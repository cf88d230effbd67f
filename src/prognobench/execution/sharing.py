"""An output folder and a database that several drivers share: what goes from one to the other."""

from __future__ import annotations

from prognobench.execution.prepare import Prepared
from prognobench.plan import ControlRun, Run
from prognobench.results.records import RunState
from prognobench.results.shared import SharedStore
from prognobench.results.store import ResultsStore


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


def collect(store: ResultsStore, shared: SharedStore) -> int:
    """Copy to the output folder what is done or failed in a shared store.

    Args:
        store: The store of the output folder, which knows the plan.
        shared: The shared store.

    Returns:
        How many runs were copied.
    """
    table = store.runs()
    copied = 0
    for outcome in shared.outcomes(table.loc[table["state"] != RunState.DONE, "run"].tolist()):
        store.take_over(outcome)
        copied += 1
    return copied
