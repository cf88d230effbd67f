"""The validation score: one number that says which of two states of a model is better."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from prognobench.training.job import Job
from prognobench.training.losses import expected_loss
from prognobench.training.recipe import Recipe, ScoreName

THRESHOLD = 0.5
"""Threshold on the raw probability: the paper's, and fixed before anything is trained. With a
correction for imbalance it lies at the training part's own share of events."""


def score_name(job: Job, recipe: Recipe) -> ScoreName:
    """Return what the validation part is scored by: the recipe's, for a binary outcome."""
    return recipe.validation_score if job.kind == "binary" else "loss"


def validation_score(
    job: Job, logits: npt.NDArray[np.float64], recipe: Recipe
) -> tuple[float, float]:
    """Score the validation part.

    MCC, AUROC and average precision are those of patients, whose probability is the mean of
    their images'; the loss is that of images, as in training.

    Args:
        job: The run's data; both classes are in its validation part.
        logits: float64 [V], logits of the validation part's images, in the order of
            ``job.rows["val"]``.
        recipe: Its ``validation_score``, ``loss`` and ``imbalance``.

    Returns:
        The score, of which higher is better (a loss is negated), and the loss; both are no
        number where a logit is none.
    """
    rows = job.rows["val"]
    if not np.isfinite(logits).all():
        return float("nan"), float("nan")
    objective = expected_loss(recipe, job.targets[job.rows["train"]], job.kind)
    targets = torch.as_tensor(job.targets[rows], dtype=torch.float64)
    loss = objective(torch.as_tensor(logits), targets).item()
    name = score_name(job, recipe)
    if name == "loss":
        return -loss, loss
    _, first, code = np.unique(job.patients[rows], return_index=True, return_inverse=True)
    probability = np.bincount(code, weights=expit(logits)) / np.bincount(code)
    outcome = job.targets[rows][first]
    match name:
        case "mcc":
            score = matthews_corrcoef(outcome, probability >= THRESHOLD)
        case "auroc":
            score = roc_auc_score(outcome, probability)
        case "pr_auc":
            score = average_precision_score(outcome, probability)
    return float(score), loss
