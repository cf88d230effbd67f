"""From a spec to its runs, each with its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prognobench.backbones.entry import BackboneEntry
from prognobench.files import identity
from prognobench.results.records import RunState
from prognobench.spec import BenchmarkSpec, FewShotSpec
from prognobench.splits.cross_validation import full_data_splits
from prognobench.splits.few_shot import few_shot_splits
from prognobench.splits.split import Split
from prognobench.strategies.strategy import Strategy, StrategyOptions
from prognobench.training.recipe import Recipe

PROTOCOL_VERSION = 1
"""Raised when a change of the code changes results: runs done before are then done anew."""


@dataclass(frozen=True)
class PlannedTask:
    """What the plan needs to know of a task.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        identity: Hash of everything in the task that can change a result.
        targets: Target (0 or 1) of every patient.
    """

    dataset: str
    endpoint: str
    identity: str
    targets: Mapping[str, int]

    @property
    def name(self) -> str:
        """Name of the task, ``<dataset>/<endpoint>``."""
        return f"{self.dataset}/{self.endpoint}"


@dataclass(frozen=True)
class Run:
    """The unit of work: one task x backbone x strategy x regime x split x seed.

    Attributes:
        id: Hash of everything that can change the result; the only key of storage and resuming.
        task: The task.
        backbone: Label of the backbone.
        entry: Its catalog entry.
        strategy: Label of the strategy, with the options that tell it from others of its name.
        method: The strategy.
        options: Its resolved options.
        split: The split.
        seed: Seed of training.
        recipe: The recipe.
        state: ``pending``, or the state of a cell that cannot be: ``not_applicable``,
            ``not_feasible``.
        reason: Why it cannot be.
    """

    id: str
    task: PlannedTask
    backbone: str
    entry: BackboneEntry
    strategy: str
    method: Strategy
    options: StrategyOptions
    split: Split
    seed: int
    recipe: Recipe
    state: RunState = RunState.PENDING
    reason: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the columns that describe the run in the store of results."""
        return {
            "run": self.id,
            "dataset": self.task.dataset,
            "endpoint": self.task.endpoint,
            "backbone": self.backbone,
            "strategy": self.strategy,
            "regime": self.split.regime,
            "shots": self.split.shots,
            "split": self.split.name,
            "fold": self.split.fold,
            "repeat": self.split.repeat,
            "episode": self.split.episode,
            "seed": self.seed,
            "state": self.state,
            "reason": self.reason,
        }


def make_splits(spec: BenchmarkSpec, task: PlannedTask) -> list[Split]:
    """Return every split that the spec's regimes ask of a task.

    Raises:
        UserError: When the task has too few patients of a class for them.
    """
    targets = dict(task.targets)
    splits = []
    for regime in spec.regimes:
        if isinstance(regime, FewShotSpec):
            splits += few_shot_splits(
                targets, regime.shots, regime.episodes, regime.folds, regime.split_seed
            )
        else:
            splits += full_data_splits(
                targets,
                regime.folds,
                regime.repeats,
                regime.validation_fraction,
                regime.split_seed,
            )
    return splits


def expand(
    spec: BenchmarkSpec,
    tasks: Sequence[PlannedTask],
    splits: Mapping[str, Sequence[Split]],
    preprocessing: Mapping[str, Any],
) -> list[Run]:
    """Return all runs of a benchmark, those that share a backbone and a strategy side by side.

    Args:
        spec: The benchmark.
        tasks: Its tasks.
        splits: The splits of each task, by the task's name.
        preprocessing: How images become pixels, as plain data; part of every run's identity.
    """
    recipe = spec.recipe.resolve()
    split_hashes = {
        (name, split.name): split.identity() for name, own in splits.items() for split in own
    }
    runs = []
    for backbone in spec.backbones:
        entry = backbone.entry()
        for part in spec.strategies:
            method = part.strategy()
            unsuitable = method.unsuitable(entry)
            for label, given in part.variants():
                options = method.resolve(given, entry.kind)
                shared = {
                    "protocol": PROTOCOL_VERSION,
                    "preprocessing": dict(preprocessing),
                    "backbone": entry.identity(),
                    "strategy": method.name,
                    "options": options.model_dump(mode="json"),
                    "recipe": recipe.identity(),
                }
                candidate = identity(shared, 64)
                for task in tasks:
                    for split in splits[task.name]:
                        state, reason = RunState.PENDING, unsuitable
                        if unsuitable:
                            state = RunState.NOT_APPLICABLE
                        elif split.infeasible:
                            state, reason = RunState.NOT_FEASIBLE, split.infeasible
                        for seed in spec.seeds:
                            own = {
                                "candidate": candidate,
                                "task": task.identity,
                                "split": split_hashes[task.name, split.name],
                                # Names tell apart cells that cannot be made, which share a hash.
                                "split_name": split.name,
                                "seed": seed,
                            }
                            runs.append(
                                Run(
                                    id=identity(own),
                                    task=task,
                                    backbone=backbone.label,
                                    entry=entry,
                                    strategy=label,
                                    method=method,
                                    options=options,
                                    split=split,
                                    seed=seed,
                                    recipe=recipe,
                                    state=state,
                                    reason=reason,
                                )
                            )
    return runs
