"""Linear probing on the frozen backbone's features: solved for, or trained step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prognobench.randomness import derived_seed
from prognobench.training.classifier import Trainable
from prognobench.training.course import Course
from prognobench.training.cox import solve_cox
from prognobench.training.job import Job
from prognobench.training.lane import Lane, Trained, finish
from prognobench.training.logistic import solve_logistic
from prognobench.training.losses import class_weights, expected_loss, log_odds, score_scale
from prognobench.training.pace import Steady
from prognobench.training.passes import Passes
from prognobench.training.recipe import Recipe
from prognobench.training.ridge import solve_ridge
from prognobench.training.score import validation_score

MOMENTUM = 0.9
"""Of stochastic gradient descent, as DINOv2's linear evaluation has it (Oquab et al. 2023, arXiv
2304.07193), after which the paper's heads are made."""

SOLVERS = {"binary": solve_logistic, "ordinal": solve_ridge, "time_to_event": solve_cox}
"""What a probe is solved by, by the kind of the outcome."""

CHUNK_ELEMENTS = 2**22
"""Numbers in the training parts that are solved at once, 32 MiB of them; more is not faster."""


def solve_probe(
    job: Job,
    features: npt.NDArray[np.float32],
    strengths: tuple[float, ...],
    fixed_strength: float,
    recipe: Recipe,
) -> Trained:
    """Fit one probe: :func:`solve_probes` of one run."""
    (solved,) = solve_probes([job], features, strengths, fixed_strength, recipe)
    return solved


def solve_probes(
    jobs: Sequence[Job],
    features: npt.NDArray[np.float32],
    strengths: tuple[float, ...],
    fixed_strength: float,
    recipe: Recipe,
) -> list[Trained]:
    """Fit L2-penalised regressions on standardised features, many at once.

    They are logistic regressions; for an ordinal score, ridge regressions of the score in standard
    units (:func:`~prognobench.training.losses.score_scale`); for times, Cox regressions.

    Features are standardised by the training part alone. Where there is a validation part, the
    strength with the best validation score on it is taken (the strongest penalty among equals);
    where there is none, ``fixed_strength``.

    The optimum under balanced sampling is that under class weights. Under logit adjustment it is
    the unweighted one with its intercept lowered by the log-odds of the training part, since the
    intercept is not penalised.

    Args:
        jobs: The data of each run; their images are the same.
        features: float32 [N, D], features of every image.
        strengths: Inverse regularisation strengths (scikit-learn's ``C``) to choose from.
        fixed_strength: The one taken where there is no validation part.
        recipe: Its ``imbalance`` and ``validation_score``; its ``loss`` must be the cross-entropy.

    Returns:
        What each run's probe is, in the order of the jobs.
    """
    if recipe.loss != "cross_entropy":
        raise ValueError("a logistic regression minimises the cross-entropy and no other loss")
    began = time.perf_counter()
    tried = [(fixed_strength,) if job.fixed_steps else tuple(sorted(strengths)) for job in jobs]
    raw = features.astype(np.float64)
    solved: list[Trained] = []
    # As many at once as fit into the memory that a chunk may take.
    chunk: list[int] = []
    for number in range(len(jobs)):
        chunk.append(number)
        rows = max(len(jobs[own].rows["train"]) for own in chunk)
        size = rows * features.shape[1] * sum(len(tried[own]) for own in chunk)
        if size >= CHUNK_ELEMENTS or number == len(jobs) - 1:
            own_jobs, own_tried = [jobs[own] for own in chunk], [tried[own] for own in chunk]
            solved += _solve_chunk(own_jobs, raw, own_tried, recipe)
            chunk = []
    seconds = (time.perf_counter() - began) / len(jobs)
    return [replace(own, seconds=seconds) for own in solved]


def _solve_chunk(
    jobs: Sequence[Job],
    features: npt.NDArray[np.float64],
    tried: Sequence[tuple[float, ...]],
    recipe: Recipe,
) -> list[Trained]:
    """Solve each job with each of its strengths, and choose among them."""
    device = jobs[0].images.device
    scales = [_mean_and_scale(features[job.rows["train"]]) for job in jobs]
    problems = [(n, strength) for n, own in enumerate(tried) for strength in own]
    rows = max(len(job.rows["train"]) for job in jobs)
    inputs = np.zeros((len(jobs), rows, features.shape[1]))
    targets, weights = np.zeros((2, len(jobs), rows))
    shifts = [0.0] * len(jobs)
    for n, (job, (centre, scale)) in enumerate(zip(jobs, scales, strict=True)):
        train = job.rows["train"]
        own = job.targets[train]
        inputs[n, : len(train)] = (features[train] - centre) / scale
        targets[n, : len(train)] = own
        weights[n, : len(train)] = 1.0
        if job.kind == "ordinal":
            mean, spread = score_scale(own)
            targets[n, : len(train)] = (own - mean) / spread
        elif job.kind == "time_to_event":
            pass
        elif recipe.imbalance in ("class_weights", "balanced_sampling"):
            weights[n, : len(train)] = np.where(own == 1, *reversed(class_weights(own)))
        elif recipe.imbalance == "logit_adjustment":
            shifts[n] = log_odds(float(own.mean()))
    which = [n for n, _ in problems]
    given = (inputs[which], targets[which], weights[which], np.array([c for _, c in problems]))
    found = SOLVERS[jobs[0].kind](*(torch.from_numpy(array).to(device) for array in given))
    coefficients, intercepts = (tensor.cpu().numpy() for tensor in found)
    solved = []
    for n, (job, (centre, scale)) in enumerate(zip(jobs, scales, strict=True)):
        own = job.targets[job.rows["train"]]
        numbers = [place for place, owner in enumerate(which) if owner == n]
        weight = coefficients[numbers] / scale
        bias = intercepts[numbers] - shifts[n] - weight @ centre
        logits = features @ weight.T + bias
        best, score = 0, None
        if not job.fixed_steps:
            val = job.rows["val"]
            scores = [validation_score(job, own[val], recipe)[0] for own in logits.T]
            best = int(np.argmax(scores))
            score = scores[best]
        seen = torch.as_tensor(logits[job.rows["train"], best])
        loss = expected_loss(recipe, own, job.kind)(seen, torch.as_tensor(own, dtype=torch.float64))
        info = {
            "C": tried[n][best],
            "last_train_loss": loss.item(),
            "precision": "float32",
        }
        head = _head(weight[best : best + 1], bias[best : best + 1])
        solved.append(Trained(logits[:, best], features.shape[1] + 1, score, info, head))
    return solved


def _mean_and_scale(
    features: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of features [N, D]; 1 for one that does not vary.

    scikit-learn's ``StandardScaler`` gives the same, and takes longer to check a few dozen rows
    than a probe takes to be solved.
    """
    varies = features.max(axis=0) > features.min(axis=0)
    return features.mean(axis=0), np.where(varies, features.std(axis=0), 1.0)


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
    raw = features.astype(np.float64)
    centre, scale = _mean_and_scale(raw[job.rows["train"]])
    inputs = torch.tensor((raw - centre) / scale, dtype=torch.float32).to(job.images.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(job.run, "initialisation"))
        head = FeatureHead(features.shape[1])
    head.to(inputs.device)
    optimiser = torch.optim.SGD(head.parameters(), lr=lr, momentum=MOMENTUM)
    lane = Lane(Course(job, recipe, inputs.device), head, optimiser)
    passes = Passes([(job.run, lambda: lane)], inputs, recipe, torch.float32, Steady())
    ((_, ended),) = passes.run()
    if isinstance(ended, Exception):
        raise ended
    state = [p.detach().cpu().double().numpy() for p in (head.head.weight, head.head.bias)]
    weight = state[0] / scale
    return replace(
        finish(lane, inputs, torch.float32), head=_head(weight, state[1] - weight @ centre)
    )


def _head(weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> nn.Linear:
    """Return the head on raw features with this weight [1, D] and bias [1]."""
    head = nn.Linear(weight.shape[1], 1)
    head.weight.data = torch.tensor(weight, dtype=torch.float32)
    head.bias.data = torch.tensor(bias, dtype=torch.float32)
    return head
