"""Everything that must stand before the first run: cohort, images, tasks, splits, plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.task import Task, select_task
from prognobench.errors import UserError
from prognobench.execution.worker import TaskImages
from prognobench.files import cache_folder, identity
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION
from prognobench.images.store import StoreResult, build_store
from prognobench.plan import PlannedTask, Run, expand, make_splits
from prognobench.spec import BenchmarkSpec
from prognobench.splits.split import Split, check_split

PREPROCESSING = {"decode": DECODE_VERSION, "geometry": GEOMETRY_VERSION}
"""How images become pixels; part of every run's identity."""


@dataclass(frozen=True)
class Prepared:
    """A benchmark that is ready to run.

    Attributes:
        spec: The benchmark.
        cohort: The cohort, unreadable images taken out.
        tasks: Its tasks, one an endpoint.
        store: The decoded images of all tasks, by input size.
        splits: The splits of each task, by the task's name.
        runs: All runs, in the order in which they are done.
    """

    spec: BenchmarkSpec
    cohort: Cohort
    tasks: list[Task]
    store: StoreResult
    splits: dict[str, list[Split]]
    runs: list[Run]

    def images(self) -> dict[tuple[str, int], TaskImages]:
        """Return the images of each task at each input size."""
        found = {}
        for task in self.tasks:
            ids = task.table["image_id"].tolist()
            for size, store in self.store.stores.items():
                content = [self.store.digests[image_id] for image_id in ids]
                found[task.name, size] = TaskImages(
                    image_ids=tuple(ids),
                    patient_ids=tuple(task.table["patient_id"]),
                    targets=task.table["target"].to_numpy(dtype="int64"),
                    pixels=store.images[store.index_of(ids)],
                    key=identity({"files": content, "size": size, **PREPROCESSING}, 64),
                )
        return found


def prepare(spec: BenchmarkSpec, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Read the cohort, decode its images, choose tasks and splits, and expand the plan.

    Nothing is trained. Images that cannot be read are taken out of the cohort with their reason,
    and a patient whose first image was one of them is represented by the next.

    Args:
        spec: The benchmark.
        progress: Called with the numbers of decoded images and of all images to decode.

    Raises:
        UserError: When the cohort, an endpoint or a regime cannot be as the spec says.
    """
    cohort = load_cohort(spec.cohort.settings())
    if spec.cohort.name:
        cohort = cohort.renamed(spec.cohort.name)
    sizes = sorted({backbone.entry().input_size for backbone in spec.backbones})
    cohort, tasks, store = _decode(spec, cohort, sizes, progress)
    planned, splits = [], {}
    for task in tasks:
        targets = dict(zip(task.patients["patient_id"], task.patients["target"], strict=True))
        own = PlannedTask(cohort.name, task.endpoint, task.identity(store.digests), targets)
        planned.append(own)
        splits[task.name] = make_splits(spec, own)
        for split in splits[task.name]:
            if not split.infeasible:
                check_split(split, targets)
    runs = expand(spec, planned, splits, PREPROCESSING)
    return Prepared(spec, cohort, tasks, store, splits, runs)


def _decode(
    spec: BenchmarkSpec,
    cohort: Cohort,
    sizes: list[int],
    progress: Callable[[int, int], None] | None,
) -> tuple[Cohort, list[Task], StoreResult]:
    """Decode what the tasks need; take out what cannot be read; choose again until all can."""
    folder = cache_folder("images")
    while True:
        tasks = [select_task(cohort, name, spec.cohort.policy) for name in spec.endpoints]
        needed = sorted({image_id for task in tasks for image_id in task.table["image_id"]})
        rows = cohort.table.set_index("image_id")["path"]
        files = {image_id: cohort.root / rows[image_id] for image_id in needed}
        store = build_store(files, sizes, folder, progress)
        if not store.failures:
            return cohort, tasks, store
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
