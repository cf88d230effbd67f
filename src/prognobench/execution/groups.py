"""Which runs are done together: those that share a backbone, images and all that shapes a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prognobench.execution.task_images import TaskImages
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
    for run in pending:
        groups.setdefault(_shared(run, images), []).append(run)
    return [tuple(group) for group in groups.values()]


def _shared(run: Run | ControlRun, images: Mapping[tuple[str, int], TaskImages]) -> str:
    options = run.options if isinstance(run, Run) else None
    own = images[run.task.name, run.entry.image_size]
    shared = {
        "entry": run.entry.identity(),
        "images": own.key,
        "task": run.task.name,
        "strategy": run.strategy,
        "recipe": run.recipe.identity(),
    }
    if isinstance(options, LinearOptions) and options.lr is None:
        return identity({**shared, "options": options.model_dump(mode="json")})
    trains = isinstance(run, Run) and isinstance(options, GradientOptions)
    if isinstance(run, ControlRun) or not trains or not run.method.trains_together(options):
        return run.id
    parts = run.split.parts
    trained = sum(parts.get(patient) == "train" for patient in own.patient_ids)
    kept = options.model_dump(mode="json", exclude={"lr", "weight_decay"}) if options else {}
    batch = min(run.recipe.batch_size, trained)
    return identity({**shared, "options": kept, "batch": batch})
