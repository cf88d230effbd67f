"""Everything that must stand before the first run: cohort, images, tasks, splits, plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prognobench.audit.images import SIDES
from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.load import load_asked
from prognobench.cohorts.outcome_kinds import strata
from prognobench.cohorts.task import Task, select_task
from prognobench.errors import UserError
from prognobench.execution.control_features import missing_controls
from prognobench.execution.lungs import LungBoxes, find_lungs
from prognobench.execution.task_images import TaskImages
from prognobench.files import cache_folder, identity
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION, Box
from prognobench.images.store import ImageStore, StoreResult, build_store
from prognobench.plan import (
    ControlRun,
    PlannedTask,
    Run,
    expand,
    expand_controls,
    make_splits,
)
from prognobench.regimes import site_note
from prognobench.spec import BenchmarkSpec, TaskSpec
from prognobench.splits.sites import patients_of_several_sites
from prognobench.splits.split import Split, check_split


def preprocessing(spec: BenchmarkSpec) -> dict[str, Any]:
    """Return how images become pixels, as plain data; part of every run's identity."""
    return {"decode": DECODE_VERSION, "geometry": GEOMETRY_VERSION, **spec.images.identity()}


@dataclass(frozen=True)
class PreparedCohort:
    """A cohort with its tasks and its decoded images.

    Attributes:
        cohort: The cohort, unreadable images taken out.
        tasks: Its tasks, one an endpoint.
        store: The decoded images of all its tasks, by size: those that models take, and those
            that the audit looks at.
        sizes: The sizes that models take.
        lungs: How many of these images are cut to the lungs.
    """

    cohort: Cohort
    tasks: list[Task]
    store: StoreResult
    sizes: tuple[int, ...]
    lungs: int = 0

    @property
    def largest(self) -> ImageStore:
        """The images at the largest size that models take."""
        return self.store.stores[max(self.sizes)]


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
        rules = preprocessing(self.spec)
        for own in self.cohorts:
            for task in own.tasks:
                ids = task.table["image_id"].tolist()
                content = [own.store.contents[image_id] for image_id in ids]
                for size in own.sizes:
                    store = own.store.stores[size]
                    found[task.name, size] = TaskImages(
                        image_ids=tuple(ids),
                        patient_ids=tuple(task.table["patient_id"]),
                        targets=task.table["target"].to_numpy(),
                        pixels=store.pixels(ids),
                        about=task.table,
                        outcome=task.outcome,
                        key=identity({"files": content, "size": size, **rules}, 64),
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
        own = _decode(spec, group, load_asked(group.cohort), sizes, progress)
        if any(other.cohort.name == own.cohort.name for other in made):
            raise UserError(
                f"two cohorts are named '{own.cohort.name}': give one another name, or its "
                "endpoints together"
            )
        made.append(own)
        for place, task in enumerate(own.tasks):
            known = dict(zip(task.patients["patient_id"], task.patients["target"], strict=True))
            targets = strata(task.kind, known)
            content = task.identity(own.store.contents)
            several = patients_of_several_sites(task.table)
            if sentence := site_note(group.regimes, several):
                own.tasks[place] = replace(task, warnings=(*task.warnings, sentence))
            plan = PlannedTask(
                own.cohort.name,
                task.endpoint,
                content,
                targets,
                task.patient_columns(),
                spec.recipe_of(group),
                task.kind,
                task.about_images(),
                several,
            )
            planned.append(plan)
            try:
                splits[task.name] = make_splits(group.regimes, plan)
            except UserError as error:
                raise UserError(f"the task {task.name}: {error}") from error
            for split in splits[task.name]:
                if not split.infeasible:
                    check_split(split, targets)
    if spec.images.lung_crop and not any(own.lungs for own in made):
        raise UserError(
            "images.lung_crop: no image has a lung box or a mask that shows lungs: give the cohort "
            "a column lung_box or lung_mask, or leave lung_crop out"
        )
    missing = {task.name: missing_controls(task.table) for own in made for task in own.tasks}
    rules = preprocessing(spec)
    return Prepared(
        spec,
        made,
        splits,
        expand(spec, planned, splits, rules),
        expand_controls(spec, planned, splits, rules, missing),
    )


def _decode(
    spec: BenchmarkSpec,
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
        boxes: Mapping[str, Box] = {}
        if spec.images.lung_crop:
            lungs = find_lungs(cohort, needed, spec.images, folder)
            if lungs.without and spec.images.without_lungs == "drop":
                cohort = _without_lungs(cohort, lungs)
                continue
            boxes = lungs.boxes
            if sentence := lungs.sentence(cohort.name):
                tasks = [replace(own, warnings=(*own.warnings, sentence)) for own in tasks]
        store = build_store(
            files,
            [*sizes, *SIDES],
            folder,
            progress,
            percentiles=spec.images.percentiles,
            boxes=boxes,
        )
        if not store.failures:
            return PreparedCohort(cohort, tasks, store, tuple(sizes), len(boxes))
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


def _without_lungs(cohort: Cohort, lungs: LungBoxes) -> Cohort:
    if not lungs.boxes:
        reason = next(iter(lungs.without.values()))
        raise UserError(
            f"images.without_lungs: drop would take every image of the cohort '{cohort.name}' out "
            f"({reason}): give the column lung_box or lung_mask, or leave it out"
        )
    for reason in sorted(set(lungs.without.values())):
        own = {image_id for image_id, why in lungs.without.items() if why == reason}
        cohort = cohort.without(own, "no_lungs", reason)
    return cohort
