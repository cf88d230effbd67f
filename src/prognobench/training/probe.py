"""Linear probing on the frozen backbone's features: solved for, or trained step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from prognobench.randomness import derived_seed
from prognobench.training.engine import Trainable, Trained, train_model
from prognobench.training.job import Job
from prognobench.training.losses import class_weights, expected_loss, log_odds
from prognobench.training.recipe import Recipe
from prognobench.training.score import validation_score

MOMENTUM = 0.9
"""Of stochastic gradient descent, as DINOv2's linear evaluation has it (Oquab et al. 2023, arXiv
2304.07193), after which the paper's heads are made."""


def solve_probe(
    job: Job,
    features: npt.NDArray[np.float32],
    strengths: tuple[float, ...],
    fixed_strength: float,
    recipe: Recipe,
) -> Trained:
    """Fit an L2-penalised logistic regression on standardised features.

    Features are standardised by the training part alone. Where there is a validation part, the
    strength with the best validation score on it is taken (the strongest penalty among equals);
    where there is none, ``fixed_strength``.

    The optimum under balanced sampling is that under class weights. Under logit adjustment it is
    the unweighted one with its intercept lowered by the log-odds of the training part, since the
    intercept is not penalised.

    Args:
        job: The run's data.
        features: float32 [N, D], features of every image.
        strengths: Inverse regularisation strengths (scikit-learn's ``C``) to choose from.
        fixed_strength: The one taken where there is no validation part.
        recipe: Its ``imbalance`` and ``validation_score``; its ``loss`` must be the cross-entropy.
    """
    if recipe.loss != "cross_entropy":
        raise ValueError("a logistic regression minimises the cross-entropy and no other loss")
    train = job.rows["train"]
    scaled = _standardised(job, features)
    own = job.targets[train]
    weights = np.ones(len(train))
    if recipe.imbalance in ("class_weights", "balanced_sampling"):
        weights = np.where(own == 1, *reversed(class_weights(own)))
    adjusts = recipe.imbalance == "logit_adjustment"
    shift = log_odds(float(own.mean())) if adjusts else 0.0

    def fit(strength: float) -> LogisticRegression:
        model = LogisticRegression(C=strength, max_iter=5000, tol=1e-6)
        model.fit(scaled[train], own, sample_weight=weights)
        model.intercept_ -= shift
        return model

    score: float | None = None
    if job.fixed_steps:
        chosen, model = fixed_strength, fit(fixed_strength)
    else:
        solved = {strength: fit(strength) for strength in sorted(strengths)}
        scores = {
            strength: validation_score(
                job, own_model.decision_function(scaled[job.rows["val"]]), recipe
            )[0]
            for strength, own_model in solved.items()
        }
        chosen = max(scores, key=lambda strength: scores[strength])
        model, score = solved[chosen], scores[chosen]
    logits = model.decision_function(scaled)
    loss = expected_loss(recipe, own)(
        torch.as_tensor(logits[train]), torch.as_tensor(own, dtype=torch.float64)
    )
    info = {"C": chosen, "last_train_loss": loss.item(), "precision": "float32"}
    head = _raw_head(job, features, model.coef_, model.intercept_)
    return Trained(logits, features.shape[1] + 1, score, info, head)


class FeatureHead(Trainable):
    """A linear head on features that gives one logit."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits [B] of standardised features [B, D]."""
        logits: torch.Tensor = self.head(features).squeeze(1)
        return logits

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return copies of weight and bias."""
        return {name: value.detach().clone() for name, value in self.state_dict().items()}


def train_probe(job: Job, features: npt.NDArray[np.float32], lr: float, recipe: Recipe) -> Trained:
    """Train a linear head by stochastic gradient descent on standardised features.

    Momentum 0.9 and no decay, as in DINOv2's linear evaluation; schedule, loss, stopping and
    everything else as the recipe says, without augmentation, since features are computed once.

    Args:
        job: The run's data.
        features: float32 [N, D], features of every image.
        lr: Peak learning rate.
        recipe: How training goes.

    Raises:
        NonFiniteLossError: When the loss or its gradient stops being finite.
    """
    scaled = torch.tensor(_standardised(job, features), dtype=torch.float32)
    inputs = scaled.to(job.images.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(job.run, "initialisation"))
        head = FeatureHead(features.shape[1])
    head.to(inputs.device)
    optimiser = torch.optim.SGD(head.parameters(), lr=lr, momentum=MOMENTUM)
    trained = train_model(job, inputs, head, optimiser, recipe)
    state = [p.detach().cpu().double().numpy() for p in (head.head.weight, head.head.bias)]
    return replace(trained, head=_raw_head(job, features, *state))


def _scaler(job: Job, features: npt.NDArray[np.float32]) -> StandardScaler:
    return StandardScaler().fit(features[job.rows["train"]])


def _standardised(job: Job, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the features with the training part's mean 0 and standard deviation 1."""
    scaled: npt.NDArray[np.float64] = _scaler(job, features).transform(features.astype(np.float64))
    return scaled


def _raw_head(
    job: Job,
    features: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
) -> nn.Linear:
    """Return the head on raw features that equals one [1, D] on standardised features."""
    scaler = _scaler(job, features)
    raw = weight / scaler.scale_
    head = nn.Linear(features.shape[1], 1)
    head.weight.data = torch.tensor(raw, dtype=torch.float32)
    head.bias.data = torch.tensor(bias - raw @ scaler.mean_, dtype=torch.float32)
    return head
