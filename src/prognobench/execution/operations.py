"""What a plan costs before anything of it was run: floating-point operations, at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from prognobench.backbones.catalog.costs import cost_of
from prognobench.execution.prepare import Prepared
from prognobench.plan import ControlRun, Run
from prognobench.splits.split import PARTS, Split
from prognobench.strategies.linear import LinearOptions

ASSUMED_RATE = 50e12
"""Operations a second that training is assumed to sustain: about a seventh of what an H100 does in
dense bfloat16 matrix products as measured, and a third of an A40's peak."""

BACKWARD_OF_INPUTS = 1
"""A backward pass that carries the gradient through frozen layers, in forward passes."""

BACKWARD_OF_WEIGHTS = 1
"""The gradients of all weights besides, in forward passes."""

USUAL_FLOPS = 10e9
"""Operations of one image, forward, of a backbone that was not counted."""

SOLVING = 1e9
"""Operations that solving a linear probe or a control stands for."""


@dataclass(frozen=True)
class Operations:
    """Floating-point operations.

    Attributes:
        training: Of passes forward and backward.
        watching: Of passes forward that compute as training does: the validation part between
            epochs, and the training part in the end.
        predicting: Of passes forward that compute in float32.
    """

    training: float
    watching: float
    predicting: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.training + self.watching + self.predicting


def operations(prepared: Prepared, pending: Container[str]) -> Operations:
    """Return the floating-point operations of pending runs, when none of them stops early.

    A linear probe needs the features of every image once, which all of its kind share. Other
    runs pass forward and backward over the training part in every epoch (or step, in few-shot),
    and forward over the validation part; frozen weights need no gradient of their own. In the end
    the parts are predicted once.

    Args:
        prepared: The benchmark.
        pending: Ids of the runs that are still to be done.
    """
    from prognobench.backbones.counting import count_cost

    images = {task.name: Counter(task.table["patient_id"]) for task in prepared.tasks}
    training = watching = predicting = 0.0
    featured: set[tuple[str, str]] = set()
    sizes: dict[tuple[str, str], dict[str, int]] = {}
    for run in prepared.runs:
        if run.id not in pending:
            continue
        task = run.task.name
        forward = float(count_cost(run.entry).flops)
        if isinstance(run.options, LinearOptions):
            if (run.backbone, task) not in featured:
                featured.add((run.backbone, task))
                predicting += forward * images[task].total()
            continue
        # Thousands of runs share a split, and counting its images takes longer than all the rest.
        split = (task, run.split.name)
        if split not in sizes:
            sizes[split] = _part_sizes(run.split, images[task])
        passes = _image_passes(run, sizes[split])
        training += forward * passes.training
        watching += forward * passes.watching
        predicting += forward * passes.predicting
    return Operations(training, watching, predicting)


def expected_cost(run: Run | ControlRun, patient_ids: Sequence[str], together: int) -> float:
    """Return the floating-point operations of a run, roughly: what schedulers start from.

    No network is made: backbones that the catalog does not know count as :data:`USUAL_FLOPS`.

    Args:
        run: The run.
        patient_ids: The patient of each image of its task.
        together: Number of runs that share the features of a linear probe.
    """
    known = cost_of(run.entry.name)
    forward = float(known.flops if known else USUAL_FLOPS)
    if not isinstance(run, Run) or isinstance(run.options, LinearOptions):
        return forward * len(patient_ids) / together + SOLVING
    return forward * _image_passes(run, _part_sizes(run.split, Counter(patient_ids))).total


def sustained_seconds(count: float) -> float:
    """Return how long operations take at :data:`ASSUMED_RATE`."""
    return count / ASSUMED_RATE


def _part_sizes(split: Split, images: Mapping[str, int]) -> dict[str, int]:
    sizes = dict.fromkeys(PARTS, 0)
    for patient, part in split.parts.items():
        sizes[part] += images.get(patient, 0)
    return sizes


def _image_passes(run: Run, sizes: Mapping[str, int]) -> Operations:
    """Return how many forward passes of an image a run costs, its backward passes among them."""
    passes = 1 + BACKWARD_OF_INPUTS + BACKWARD_OF_WEIGHTS * (run.method.name == "full")
    batch = min(run.recipe.batch_size, sizes["train"])
    if sizes["val"]:
        # The last batch of an epoch is as large as the others.
        trained = run.recipe.epochs * -(-sizes["train"] // max(batch, 1)) * batch
        validated = run.recipe.epochs * sizes["val"]
    else:
        trained, validated = run.recipe.few_shot_steps * batch, 0
    judged = sizes["val"] + sizes["test"]
    return Operations(passes * trained, validated + sizes["train"], judged)
