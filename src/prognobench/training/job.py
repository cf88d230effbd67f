"""What the engine is handed: images, targets and who is in which part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.training.losses import log_odds


@dataclass(frozen=True)
class Job:
    """The data of one run.

    Attributes:
        run: Id of the run; every random stream of its training is derived from it.
        images: uint8 [N, 1, S, S], all images of the task, on the device where they fit; runs
            share it.
        targets: [N], the target of each image's patient: int64, 0 or 1, or a score; or float64,
            the time of an event, negative where no event was seen until then.
        patients: int64 [N], a number for each image's patient.
        rows: For each of the parts ``train``, ``val`` and ``test``, indices of its images.
        prevalence: Share of events among all patients outside the test part, in (0, 1).
        kind: The kind of the outcome. Where it is no binary one, the model's output is called a
            logit all the same; see :func:`score_scale`.
    """

    run: str
    images: torch.Tensor
    targets: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    rows: dict[str, npt.NDArray[np.int64]]
    prevalence: float
    kind: Kind = "binary"

    @property
    def fixed_steps(self) -> bool:
        """Whether training takes a fixed number of steps, for want of a validation part."""
        return len(self.rows["val"]) == 0


def prior_logit_shift(job: Job, imbalance: str) -> float:
    """Return what the training's own share of events adds to the logit.

    A model trained on classes weighted or sampled to equal shares, or with adjusted logits,
    learns the logit at a share of one half; the difference to the logit of the true share is
    constant (prior correction, Saerens et al. 2002, Neural Computation 14:21). It is exact for
    the cross-entropy; the focal loss bends probabilities beyond it.

    Of times it is what a few-shot draw of as many patients with the event as without does; other
    draws keep their shares.

    Args:
        job: The run's data.
        imbalance: As :class:`prognobench.training.recipe.Recipe` has it.

    Returns:
        logit(share in training) - logit(prevalence); subtract it from a predicted logit.
    """
    own = job.targets[job.rows["train"]]
    if job.kind == "time_to_event" and job.fixed_steps:
        return log_odds(float((own > 0).mean())) - log_odds(job.prevalence)
    if job.kind != "binary":
        return 0.0
    trained = own.mean() if imbalance == "none" else 0.5
    return log_odds(float(trained)) - log_odds(job.prevalence)
