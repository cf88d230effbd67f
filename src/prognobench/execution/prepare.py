"""Everything that must stand before the first run: cohort, images, tasks, splits, plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.load import load_asked
from prognobench.cohorts.task import Task, select_task
from prognobench.errors import UserError
from prognobench.execution.control_features import missing_controls
from prognobench.execution.task_images import TaskImages
from prognobench.files import cache_folder, identity
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION
from prognobench.images.store import StoreResult, build_store
from prognobench.plan import (
    ControlRun,
    PlannedTask,
    Run,
    expand,
    expand_controls,
    make_splits,
)
from prognobench.spec import BenchmarkSpec, TaskSpec
from prognobench.splits.split import Split, check_split

PREPROCESSING = {"decode": DECODE_VERSION, "geometry": GEOMETRY_VERSION}
"""How images become pixels; part of every run's identity."""


@dataclass(frozen=True)
class PreparedCohort:
    """A cohort with its tasks and its decoded images.

    Attributes:
        cohort: The cohort, unreadable images taken out.
        tasks: Its tasks, one an endpoint.
        store: The decoded images of all its tasks, by input size.
    """

    cohort: Cohort
    tasks: list[Task]
    store: StoreResult


@dataclass(frozen=True)
class Prepared:
    """A benchmark that is ready to run.

    Attributes:
        spec: The benchmark.
        cohorts: Its cohorts.
        splits: The splits of each task, by the task's name.
        runs: All runs, in the order in which they are done.
        controls: The controls on the same splits.
    """

    spec: BenchmarkSpec
    cohorts: list[PreparedCohort]
    splits: dict[str, list[Split]]
    runs: list[Run]
    controls: list[ControlRun]

    @property
    def tasks(self) -> list[Task]:
        """The tasks of all cohorts."""
        return [task for own in self.cohorts for task in own.tasks]

    def images(self) -> dict[tuple[str, int], TaskImages]:
        """Return the images of each task at each input size."""
        found = {}
        for own in self.cohorts:
            for task in own.tasks:
                ids = task.table["image_id"].tolist()
                content = [own.store.digests[image_id] for image_id in ids]
                for size, store in own.store.stores.items():
                    found[task.name, size] = TaskImages(
                        image_ids=tuple(ids),
                        patient_ids=tuple(task.table["patient_id"]),
                        targets=task.table["target"].to_numpy(dtype="int64"),
                        pixels=store.images[store.index_of(ids)],
                        about=task.table,
                        key=identity({"files": content, "size": size, **PREPROCESSING}, 64),
                    )
        return found


def prepare(spec: BenchmarkSpec, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Read the cohorts, decode their images, choose tasks and splits, and expand the plan.

    Nothing is trained. Images that cannot be read are taken out of the cohort with their reason,
    and a patient whose first image was one of them is represented by the next.

    Args:
        spec: The benchmark.
        progress: Called with the numbers of decoded images and of all images to decode.

    Raises:
        UserError: When a cohort, an endpoint or a regime cannot be as the spec says.
    """
    sizes = sorted({backbone.entry().image_size for backbone in spec.backbones})
    made: list[PreparedCohort] = []
    planned: list[PlannedTask] = []
    splits: dict[str, list[Split]] = {}
    for group in spec.groups:
        own = _decode(group, load_asked(group.cohort), sizes, progress)
        if any(other.cohort.name == own.cohort.name for other in made):
            raise UserError(
                f"two cohorts are named '{own.cohort.name}': give one another name, or its "
                "endpoints together"
            )
        made.append(own)
        for task in own.tasks:
            targets = dict(zip(task.patients["patient_id"], task.patients["target"], strict=True))
            content, columns = task.identity(own.store.digests), task.patient_columns()
            plan = PlannedTask(
                own.cohort.name, task.endpoint, content, targets, columns, spec.recipe_of(group)
            )
            planned.append(plan)
            try:
                splits[task.name] = make_splits(group.regimes, plan)
            except UserError as error:
                raise UserError(f"the task {task.name}: {error}") from error
            for split in splits[task.name]:
                if not split.infeasible:
                    check_split(split, targets)
    missing = {task.name: missing_controls(task.table) for own in made for task in own.tasks}
    return Prepared(
        spec,
        made,
        splits,
        expand(spec, planned, splits, PREPROCESSING),
        expand_controls(spec, planned, splits, PREPROCESSING, missing),
    )


def _decode(
    group: TaskSpec,
    cohort: Cohort,
    sizes: list[int],
    progress: Callable[[int, int], None] | None,
) -> PreparedCohort:
    """Decode what the tasks need; take out what cannot be read; choose again until all can."""
    folder = cache_folder("images")
    while True:
        tasks = [select_task(cohort, name, group.cohort.policy) for name in group.endpoints]
        needed = sorted({image_id for task in tasks for image_id in task.table["image_id"]})
        rows = cohort.table.set_index("image_id")["path"]
        files = {image_id: cohort.root / rows[image_id] for image_id in needed}
        store = build_store(files, sizes, folder, progress)
        if not store.failures:
            return PreparedCohort(cohort, tasks, store)
        if len(store.failures) == len(files):
            image_id, reason = next(iter(store.failures.items()))
            raise UserError(
                f"none of the {len(files)} images of the cohort '{cohort.name}' can be read, such "
                f"as {rows[image_id]} ({reason}): check root and the files under it"
            )
        for reason in sorted(set(store.failures.values())):
            failed = {image_id for image_id, own in store.failures.items() if own == reason}
            cohort = cohort.without(
                failed, "unreadable_image", f"the image cannot be read: {reason}"
            )
