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

from prognobench.audit.cohorts import audit_decoded
from prognobench.audit.images import Decoded, images_of
from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import check_terms, locate, on_disk
from prognobench.cohorts.combine import MEMBER_COLUMN
from prognobench.errors import UserError
from prognobench.execution.drive import Progress
from prognobench.execution.local import execute
from prognobench.execution.prepare import Prepared
from prognobench.execution.worker import Worker
from prognobench.files import atomic_path, remove_leftovers, write_json, write_text
from prognobench.images.contact_sheet import write_contact_sheet
from prognobench.plan import ControlRun, Run
from prognobench.results.ledger import Ledger
from prognobench.results.outage import told
from prognobench.results.records import RunState
from prognobench.results.shared import SharedStore
from prognobench.results.store import ResultsStore
from prognobench.spec import BenchmarkSpec
from prognobench.splits.split import read_split, write_split

_SPEC = "benchmark.yaml"
_MANIFEST = "cohort/manifest.parquet"

GRACE = 2.0
"""Seconds in which the processes of a run that was killed let go of its output folder."""


@contextlib.contextmanager
def sole_use(output: Path) -> Iterator[None]:
    """Hold the output folder for this process alone, rid of what a killed one was writing.

    Trouble with the folder that comes later, when its disk is full or has gone, is told in a
    sentence as well: what is finished by then is kept.

    Raises:
        UserError: When another process is working on it, or it cannot be made or written to.
    """
    lock = filelock.FileLock(output / ".lock", timeout=GRACE)
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
        with told(output):
            remove_leftovers(output)
            yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            lock.release()


def keep_foreign_files(spec: BenchmarkSpec, output: Path) -> None:
    """Refuse a folder where a run would overwrite files that are of no run, before any work.

    A benchmark file written by hand has the name that its resolved form gets in the output folder.
    What a run wrote is told by the results.db that it makes first, or by saying just the same.

    Raises:
        UserError: Naming the file.
    """
    with contextlib.suppress(OSError):  # of a folder that cannot be used, sole_use tells
        if (output / "results.db").exists() or _says(output / _SPEC, spec.as_yaml()):
            return
        for own in (output / _SPEC, output / _MANIFEST):
            if own.exists():
                raise UserError(
                    f"{own} would be overwritten, and {output} holds no results.db of a run: "
                    "name another folder with --output, or move that file elsewhere"
                )


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def write_preparation(prepared: Prepared, output: Path) -> None:
    """Write spec, cohort, audit, contact sheet and splits: all that stands before training.

    The splits are read back and compared, so that what is on disk is what is trained on.

    Args:
        prepared: The benchmark.
        output: The output folder.

    Raises:
        RuntimeError: When a written split does not say what was meant.
    """
    write_text(output / _SPEC, prepared.spec.as_yaml())
    folder = output / "cohort"
    tables, about = [], []
    for own in prepared.cohorts:
        tables.append(own.cohort.table.assign(**{MEMBER_COLUMN: own.cohort.name}))
        about.append(
            {
                "name": own.cohort.name,
                "provenance": asdict(own.cohort.provenance),
                "endpoints": {
                    **own.cohort.endpoints,
                    **{name: outcome.words for name, outcome in own.cohort.others.items()},
                },
            }
        )
    with atomic_path(output / _MANIFEST) as temporary:
        _of_one_kind(pd.concat(tables, ignore_index=True)).to_parquet(temporary, index=False)
    write_json(folder / "audit.json", _audit(prepared))
    flows = {task.name: [asdict(step) for step in task.flow()] for task in prepared.tasks}
    write_json(folder / "cohort.json", {"cohorts": about, "flows": flows})
    for number, own in enumerate(prepared.cohorts):
        sheet = "contact_sheet.png" if number == 0 else f"contact_sheet_{number + 1}.png"
        write_contact_sheet(own.largest, own.tasks[0].table, folder / sheet)
    for name, splits in prepared.splits.items():
        for split in splits:
            if split.infeasible:
                continue
            path = write_split(split, output / "splits", name)
            if read_split(path) != split.parts:
                raise RuntimeError(f"the split {path} does not say what was written")


def _audit(prepared: Prepared) -> dict[str, Any]:
    cohorts = [own.cohort for own in prepared.cohorts]
    stores = {own.cohort.name: own.store for own in prepared.cohorts}
    decoded = Decoded(images_of(cohorts, stores), stores)
    near = prepared.spec.audit.near_duplicates
    return audit_decoded(cohorts, prepared.tasks, decoded, near=near)


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
    *,
    shared: SharedStore | None = None,
    on_ray: str | None = None,
) -> int:
    """Do pending runs.

    Args:
        prepared: The benchmark; :func:`write_preparation` has been called.
        pending: Those of its runs and controls that shall be done, from :func:`register`.
        store: The store of its output folder.
        device: Where to compute, on this machine.
        report: Called after each run.
        shared: A store that other drivers share, which gets the results instead of the folder's.
        on_ray: The nodes of the Ray cluster that this process is connected to compute instead, on
            the devices that this says: ``auto``, ``cuda`` or ``cpu``.

    Returns:
        How many runs failed here.

    Raises:
        UserError: When weights are missing or not known, or their terms were not accepted.
    """
    models = store.output / "models" if prepared.spec.save_models else None
    ledger: Ledger = shared or store
    entries = [run.entry for run in pending]
    if on_ray:
        require_known(entries)
        from prognobench.execution.ray import execute_on_ray

        images = prepared.images()
        return execute_on_ray(pending, images, ledger, report, device=on_ray, models=models)
    require_weights(entries)
    return execute(pending, prepared.images(), ledger, Worker(device, models), report)


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


def require_known(wanted: Iterable[BackboneEntry]) -> None:
    """Raise where other machines compute and it cannot be said here which weights they shall have.

    What a run is called and which features are its own goes by the digest of the weights, and the
    machines compare it with their files.

    Args:
        wanted: The entries of the backbones.

    Raises:
        UserError: Naming the backbones, or terms that were not accepted.
    """
    entries = {entry.name: entry for entry in wanted}
    unknown = sorted(name for name, entry in entries.items() if not entry.weights.sha256)
    if unknown:
        raise UserError(
            f"the digest of the weights of {', '.join(unknown)} is not known here, and runs are "
            f"named by it: fetch them here too with `prognobench pull {' '.join(unknown)}`, or "
            "name copies as 'weights' in the spec"
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
