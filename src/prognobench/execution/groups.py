"""Which runs are done together: those that share a backbone, images and all that shapes a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prognobench.execution.operations import expected_cost
from prognobench.execution.task_images import TaskImages
from prognobench.execution.workload import Batch
from prognobench.files import identity
from prognobench.plan import ControlRun, Run
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.strategy import GradientOptions

Group = tuple[Run | ControlRun, ...]
"""Runs that are handed to a worker at once."""


def grouped(
    pending: Sequence[Run | ControlRun], images: Mapping[tuple[str, int], TaskImages]
) -> list[Group]:
    """Return runs in groups, in the order of the first run of each.

    Linear probes are together when backbone, images, options and recipe are the same. Runs trained
    by gradient descent may differ in learning rate and decay besides, and need batches of the same
    size. Everything else is a group of one.

    Args:
        pending: The runs, in the order of the plan.
        images: Images of each task by its name and the input size.
    """
    groups: dict[str, list[Run | ControlRun]] = {}
    hashes: dict[tuple[Any, ...], str] = {}
    counts: dict[tuple[Any, ...], int] = {}
    for run in pending:
        groups.setdefault(_shared(run, images, hashes, counts), []).append(run)
    return [tuple(group) for group in groups.values()]


def is_trained(run: Run | ControlRun) -> bool:
    """Return whether a run goes through its backbone in every step, so that it takes long."""
    return isinstance(run, Run) and isinstance(run.options, GradientOptions)


def _shared(
    run: Run | ControlRun,
    images: Mapping[tuple[str, int], TaskImages],
    hashes: dict[tuple[Any, ...], str],
    counts: dict[tuple[Any, ...], int],
) -> str:
    """Return what a run has in common with others of its group; its id when it stands alone.

    Thousands of runs share an entry, options, a recipe and a split: what takes long is kept by
    these objects, which live as long as the runs do.
    """
    options = run.options if isinstance(run, Run) else None
    own = images[run.task.name, run.entry.image_size]
    solved = isinstance(options, LinearOptions) and options.lr is None
    trains = isinstance(run, Run) and isinstance(options, GradientOptions)
    batch = 0
    if not solved:
        if isinstance(run, ControlRun) or not trains or not run.method.trains_together(options):
            return run.id
        counted = (id(run.split), id(own))
        if counted not in counts:
            parts = run.split.parts
            counts[counted] = sum(parts.get(patient) == "train" for patient in own.patient_ids)
        batch = min(run.recipe.batch_size, counts[counted])
    key = (id(run.entry), id(own), id(run.recipe), id(options), run.task.name, run.strategy, batch)
    if key not in hashes:
        left_out = set() if solved else {"lr", "weight_decay"}
        hashes[key] = identity(
            {
                "entry": run.entry.identity(),
                "images": own.key,
                "task": run.task.name,
                "strategy": run.strategy,
                "recipe": run.recipe.identity(),
                "options": options.model_dump(mode="json", exclude=left_out) if options else {},
                "batch": batch,
            }
        )
    return hashes[key]


def as_batches(
    groups: Sequence[Group], images: Mapping[tuple[str, int], TaskImages]
) -> list[Batch]:
    """Return groups as the scheduler sees them.

    Args:
        groups: From :func:`grouped`.
        images: Images of each task by its name and the input size.
    """
    homes: dict[tuple[str, str, int], str] = {}
    batches = []
    for group in groups:
        first = group[0]
        size = first.entry.image_size
        own = images[first.task.name, size]
        place = (first.entry.name, first.task.name, size)
        if place not in homes:
            homes[place] = identity({"backbone": first.entry.identity(), "images": own.key})
        home = homes[place]
        varied = f"{first.split.shots} {first.split.level}"
        kind = f"{home} {first.backbone} {first.strategy} {first.split.regime} {varied}"
        cost = expected_cost(first, own.patient_ids, len(group))
        batches.append(Batch(tuple(run.id for run in group), home, kind, cost))
    return batches
