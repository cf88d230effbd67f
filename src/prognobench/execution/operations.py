"""What a plan costs before anything of it was run: floating-point operations, at most."""

from __future__ import annotations

from collections.abc import Container

from prognobench.backbones.counting import count_cost
from prognobench.execution.prepare import Prepared
from prognobench.plan import Run
from prognobench.strategies.linear import LinearOptions

ASSUMED_RATE = 50e12
"""Operations a second that training is assumed to sustain: about a seventh of what an H100 does in
dense bfloat16 matrix products as measured, and a third of an A40's peak."""

BACKWARD_OF_INPUTS = 1
"""A backward pass that carries the gradient through frozen layers, in forward passes."""

BACKWARD_OF_WEIGHTS = 1
"""The gradients of all weights besides, in forward passes."""


def operations(prepared: Prepared, pending: Container[str]) -> float:
    """Return the floating-point operations of pending runs, when none of them stops early.

    A linear probe needs the features of every image once, which all of its kind share. Other
    runs pass forward and backward over the training part in every epoch (or step, in few-shot),
    and forward over the validation part; frozen weights need no gradient of their own. The test
    part is predicted once.

    Args:
        prepared: The benchmark.
        pending: Ids of the runs that are still to be done.
    """
    images = {task.name: task.table["patient_id"].value_counts() for task in prepared.tasks}
    total = 0.0
    featured: set[tuple[str, str]] = set()
    for run in prepared.runs:
        if run.id not in pending:
            continue
        counts = images[run.task.name]
        forward = float(count_cost(run.entry).flops)
        if isinstance(run.options, LinearOptions):
            if (run.backbone, run.task.name) not in featured:
                featured.add((run.backbone, run.task.name))
                total += forward * float(counts.sum())
            continue
        passes = 1 + BACKWARD_OF_INPUTS + BACKWARD_OF_WEIGHTS * (run.method.name == "full")
        total += forward * _image_passes(run, {str(k): int(n) for k, n in counts.items()}, passes)
    return total


def sustained_seconds(count: float) -> float:
    """Return how long operations take at :data:`ASSUMED_RATE`."""
    return count / ASSUMED_RATE


def _image_passes(run: Run, images: dict[str, int], passes: int) -> float:
    """Return how many forward passes of an image a run costs, its backward passes among them."""
    sizes = dict.fromkeys(("train", "val", "test"), 0)
    for patient, part in run.split.parts.items():
        if part in sizes:
            sizes[part] += images.get(patient, 0)
    if sizes["val"]:
        trained = run.recipe.epochs * sizes["train"]
        validated = run.recipe.epochs * sizes["val"]
    else:
        batch = min(run.recipe.batch_size, sizes["train"])
        trained, validated = run.recipe.few_shot_steps * batch, 0
    return float(passes * trained + validated + sizes["test"])
