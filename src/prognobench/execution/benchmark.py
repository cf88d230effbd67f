"""A benchmark in an output folder: what is written before training, and the training itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import torch

from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import check_terms, locate, on_disk
from prognobench.cohorts.audit import audit
from prognobench.cohorts.combine import MEMBER_COLUMN
from prognobench.errors import UserError
from prognobench.execution.local import Progress, execute
from prognobench.execution.prepare import Prepared
from prognobench.files import atomic_path, write_json, write_text
from prognobench.images.contact_sheet import write_contact_sheet
from prognobench.plan import ControlRun, Run
from prognobench.results.records import RunState
from prognobench.results.store import ResultsStore
from prognobench.splits.split import read_split, write_split


@contextlib.contextmanager
def sole_use(output: Path) -> Iterator[None]:
    """Hold the output folder for this process alone.

    Raises:
        UserError: When another process is working on it, or it cannot be made.
    """
    lock = filelock.FileLock(output / ".lock", timeout=0)
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(
            f"another run is working on {output}: wait for it, or name another folder with --output"
        ) from error
    except OSError as error:
        raise UserError(
            f"the output folder {output} cannot be used ({error.strerror}): "
            "name another with --output"
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_preparation(prepared: Prepared, output: Path) -> None:
    """Write spec, cohort, audit, contact sheet and splits: all that stands before training.

    The splits are read back and compared, so that what is on disk is what is trained on.

    Args:
        prepared: The benchmark.
        output: The output folder.

    Raises:
        RuntimeError: When a written split does not say what was meant.
    """
    write_text(output / "benchmark.yaml", prepared.spec.as_yaml())
    folder = output / "cohort"
    tables, about = [], []
    audits: dict[str, Any] = {}
    for own in prepared.cohorts:
        tables.append(own.cohort.table.assign(**{MEMBER_COLUMN: own.cohort.name}))
        largest = own.store.stores[max(own.store.stores)]
        pixels = largest.pixel_digests()
        audits |= {task.name: audit(task, own.store.digests, pixels) for task in own.tasks}
        about.append(
            {
                "name": own.cohort.name,
                "provenance": asdict(own.cohort.provenance),
                "endpoints": dict(own.cohort.endpoints),
            }
        )
    with atomic_path(folder / "manifest.parquet") as temporary:
        _of_one_kind(pd.concat(tables, ignore_index=True)).to_parquet(temporary, index=False)
    write_json(folder / "audit.json", audits)
    flows = {task.name: [asdict(step) for step in task.flow()] for task in prepared.tasks}
    write_json(folder / "cohort.json", {"cohorts": about, "flows": flows})
    for number, own in enumerate(prepared.cohorts):
        largest = own.store.stores[max(own.store.stores)]
        sheet = "contact_sheet.png" if number == 0 else f"contact_sheet_{number + 1}.png"
        write_contact_sheet(largest, own.tasks[0].table, folder / sheet)
    for name, splits in prepared.splits.items():
        for split in splits:
            if split.infeasible:
                continue
            path = write_split(split, output / "splits", name)
            if read_split(path) != split.parts:
                raise RuntimeError(f"the split {path} does not say what was written")


def _of_one_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of numbers in one cohort and words in another are all words."""
    mixed = [
        name
        for name in table.columns[[pd.api.types.is_object_dtype(kind) for kind in table.dtypes]]
        if len({type(value) for value in table[name].dropna()}) > 1
    ]
    table = table.copy()
    for name in mixed:
        table[name] = table[name].map(str, na_action="ignore").astype("string")
    return table


def run_benchmark(
    prepared: Prepared,
    pending: Sequence[Run | ControlRun],
    store: ResultsStore,
    device: torch.device,
    report: Callable[[Progress], None],
) -> int:
    """Do pending runs.

    Args:
        prepared: The benchmark; :func:`write_preparation` has been called.
        pending: Those of its runs and controls that shall be done, from :func:`register`.
        store: The store of its output folder.
        device: Where to compute.
        report: Called after each run.

    Returns:
        How many runs failed.
    """
    keep = prepared.spec.save_models
    require_weights([run.entry for run in pending])
    return execute(pending, prepared.images(), store, device, report, save_models=keep)


def require_weights(wanted: Iterable[BackboneEntry]) -> None:
    """Raise before anything is trained when weights are missing, naming all of them.

    Args:
        wanted: The entries of the backbones.

    Raises:
        UserError: Naming the backbones without weights, or terms that were not accepted.
    """
    entries = {entry.name: entry for entry in wanted}
    missing = sorted(name for name, entry in entries.items() if not on_disk(entry))
    if len(missing) == 1:
        locate(entries[missing[0]])
    if missing:
        raise UserError(
            f"the weights of {', '.join(missing)} are not on this machine: fetch them with "
            f"`prognobench pull {' '.join(missing)}`, or name copies as 'weights' in the spec"
        )
    for entry in entries.values():
        check_terms(entry)


def register(prepared: Prepared, store: ResultsStore) -> list[Run | ControlRun]:
    """Make the plan known to the store and return what is still to be done, controls first."""
    planned: list[Run | ControlRun] = [*prepared.controls, *prepared.runs]
    store.register([run.record() for run in planned], [run.info() for run in planned])
    store.verify()
    table = store.runs()
    todo = set(table.loc[table["state"] == RunState.PENDING, "run"])
    return [run for run in planned if run.id in todo]
