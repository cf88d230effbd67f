"""The linear probe: the optimum of a penalised logistic regression on frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from prognobench.training.job import Job
from prognobench.training.losses import class_weights


@dataclass(frozen=True)
class Probe:
    """A solved probe.

    Attributes:
        logits: float64 [N], logit of every image.
        parameters: Number of fitted parameters.
        chosen_c: The inverse regularisation strength that was taken.
        train_loss: Class-weighted log-loss on the training part.
    """

    logits: npt.NDArray[np.float64]
    parameters: int
    chosen_c: float
    train_loss: float


def solve_probe(
    job: Job,
    features: npt.NDArray[np.float32],
    strengths: tuple[float, ...],
    fixed_strength: float,
    class_weighting: str,
) -> Probe:
    """Fit a class-weighted, L2-penalised logistic regression on standardised features.

    Features are standardised by the training part alone. Where there is a validation part, the
    strength with the lowest class-weighted log-loss on it is taken (the strongest penalty among
    equals); where there is none, ``fixed_strength``.

    Args:
        job: The run's data.
        features: float32 [N, D], features of every image.
        strengths: Inverse regularisation strengths (scikit-learn's ``C``) to choose from.
        fixed_strength: The one taken where there is no validation part.
        class_weighting: ``balanced`` or ``none``.
    """
    train, val = job.rows["train"], job.rows["val"]
    scaled = StandardScaler().fit(features[train]).transform(features.astype(np.float64))
    low, high = class_weights(job.targets[train], class_weighting)
    weights = np.where(job.targets == 1, high, low)

    def fit(strength: float) -> tuple[npt.NDArray[np.float64], float]:
        model = LogisticRegression(C=strength, max_iter=5000, tol=1e-6)
        model.fit(scaled[train], job.targets[train], sample_weight=weights[train])
        logits = model.decision_function(scaled)
        judged = val if len(val) else train
        loss = log_loss(
            job.targets[judged],
            1 / (1 + np.exp(-logits[judged])),
            sample_weight=weights[judged],
            labels=[0, 1],
        )
        return logits, float(loss)

    candidates = sorted(strengths) if len(val) else [fixed_strength]
    solved = {strength: fit(strength) for strength in candidates}
    chosen = min(candidates, key=lambda strength: solved[strength][1])
    logits = solved[chosen][0]
    loss = log_loss(
        job.targets[train],
        1 / (1 + np.exp(-logits[train])),
        sample_weight=weights[train],
        labels=[0, 1],
    )
    return Probe(logits, features.shape[1] + 1, chosen, float(loss))
