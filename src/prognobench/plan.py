"""From a spec to its runs, each with its identity."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prognobench import regimes
from prognobench.backbones.entry import BackboneEntry
from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError
from prognobench.evaluation.controls import CONTROL
from prognobench.files import identity
from prognobench.regimes import RegimeSpec
from prognobench.results.records import RunState
from prognobench.spec import BenchmarkSpec
from prognobench.splits.split import Split
from prognobench.strategies.linear import LinearOptions
from prognobench.strategies.strategy import Strategy, StrategyOptions
from prognobench.training.recipe import Recipe

PROTOCOL_VERSION = 4
"""Raised when a change of the code changes results: runs done before are then done anew."""


@dataclass(frozen=True)
class PlannedTask:
    """What the plan needs to know of a task.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        identity: Hash of everything in the task that can change a result.
        targets: What splits are stratified by, for every patient: the target itself (0 or 1), or
            the band of scores that it lies in.
        columns: What is known of every patient besides, by column and patient: ``site``, and the
            columns that regimes divide by; empty where it is not known.
        recipe: How its runs are trained.
        kind: The kind of the endpoint.
        about_images: Hash of what controls may read of the images besides their pixels: sites,
            views and clinical columns, which are not all part of ``identity``.
        several_sites: The patients with images from several sites.
    """

    dataset: str
    endpoint: str
    identity: str
    targets: Mapping[str, int]
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    kind: Kind = "binary"
    about_images: str = ""
    several_sites: frozenset[str] = frozenset()

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
        return {**_described(self), "lr": getattr(self.options, "lr", None)}

    def info(self) -> dict[str, Any]:
        """Return what identifies it, as plain data."""
        return {
            "task": self.task.identity,
            "backbone": self.entry.identity(),
            "strategy": self.method.name,
            "options": self.options.model_dump(mode="json"),
            "recipe": self.recipe.identity(),
            "split": self.split.identity(),
            "seed": self.seed,
        }


@dataclass(frozen=True)
class ControlRun:
    """A control on one task, split and seed; it is stored and evaluated like a run.

    Attributes:
        id: Hash of everything that can change the result.
        task: The task.
        entry: The first backbone of the benchmark, at whose size the images are taken, and whose
            features the control with permuted outcomes has.
        control: Which control, of :data:`prognobench.evaluation.controls.CONTROLS`.
        split: The split.
        seed: Seed of the runs that it is compared with.
        recipe: The recipe, of which the weighting of classes is taken.
        state: As a run's.
        reason: Why it cannot be.
    """

    id: str
    task: PlannedTask
    entry: BackboneEntry
    control: str
    split: Split
    seed: int
    recipe: Recipe
    state: RunState = RunState.PENDING
    reason: str | None = None

    @property
    def backbone(self) -> str:
        """What stands for the backbone in tables."""
        return CONTROL

    @property
    def strategy(self) -> str:
        """Its name, as tables have it."""
        return self.control

    def record(self) -> dict[str, Any]:
        """Return the columns that describe it in the store of results."""
        return {**_described(self), "lr": None}

    def info(self) -> dict[str, Any]:
        """Return what identifies it, as plain data."""
        return {
            "task": self.task.identity,
            "control": self.control,
            "split": self.split.identity(),
            "seed": self.seed,
        }


def _described(run: Run | ControlRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "dataset": run.task.dataset,
        "endpoint": run.task.endpoint,
        "kind": run.task.kind,
        "backbone": run.backbone,
        "strategy": run.strategy,
        "regime": run.split.regime,
        "shots": run.split.shots,
        "level": run.split.level,
        "split": run.split.name,
        "fold": run.split.fold,
        "repeat": run.split.repeat,
        "episode": run.split.episode,
        "seed": run.seed,
        "state": run.state,
        "reason": run.reason,
    }


def make_splits(asked: Sequence[RegimeSpec], task: PlannedTask) -> list[Split]:
    """Return every split that regimes ask of a task.

    Raises:
        UserError: When the task has too few patients of a class for them.
    """
    return [
        split
        for regime in asked
        for split in regimes.make_splits(
            regime, task.targets, task.columns, task.kind, task.several_sites
        )
    ]


_Tried = tuple[StrategyOptions, str]
"""Options with one learning rate, and the hash of the candidate that they make."""


def _fixed(grid: Sequence[_Tried]) -> _Tried:
    """Return what is tried of a learning-rate grid where there is no validation part.

    It is the middle one (of an even number the smaller), fixed before any data are seen: a
    choice among a few shots would be made on noise, or on the patients it is trained on.
    """
    ordered = sorted(grid, key=lambda tried: getattr(tried[0], "lr", None) or 0.0)
    return ordered[(len(ordered) - 1) // 2]


def search_note(spec: BenchmarkSpec) -> str | None:
    """Say how many settings each strategy may choose from, where the numbers differ.

    Settings are learning rates, and the penalties of a solved linear probe. Where no regime has
    a validation part nothing is chosen, and there is nothing to say.
    """
    asked = [regime for group in spec.groups for regime in group.regimes]
    if all(isinstance(regime, regimes.FewShotSpec) for regime in asked):
        return None
    budgets: dict[int, list[str]] = {}
    for part in spec.strategies:
        for variant in part.variants():
            options = part.strategy().resolve(variant.grid[0], "vit")
            size = len(variant.grid)
            if isinstance(options, LinearOptions) and options.lr is None:
                size = len(options.C)
            budgets.setdefault(size, []).append(variant.label)
    if len(budgets) == 1:
        return None
    listed = "; ".join(
        f"{size} for {', '.join(labels)}" for size, labels in sorted(budgets.items(), reverse=True)
    )
    return f"The strategies chose among different numbers of settings on validation data: {listed}."


def expand(
    spec: BenchmarkSpec,
    tasks: Sequence[PlannedTask],
    splits: Mapping[str, Sequence[Split]],
    preprocessing: Mapping[str, Any],
) -> list[Run]:
    """Return all runs of a benchmark, those that share a backbone and a strategy side by side.

    Each learning rate of a grid is a run of its own where the split has a validation part.

    Args:
        spec: The benchmark.
        tasks: Its tasks.
        splits: The splits of each task, by the task's name.
        preprocessing: How images become pixels, as plain data; part of every run's identity.

    Raises:
        UserError: When two of its candidates are the same.
    """
    split_hashes = {
        (name, split.name): split.identity() for name, own in splits.items() for split in own
    }
    validated = {
        (name, split.name)
        for name, own in splits.items()
        for split in own
        if "val" in split.parts.values()
    }
    runs = []
    for backbone in spec.backbones:
        entry, label = backbone.entry(), backbone.label
        for part in spec.strategies:
            method = part.strategy()
            for variant in part.variants():
                grid = []
                for given in variant.grid:
                    options = method.resolve(given, entry.kind)
                    shared = {
                        "protocol": PROTOCOL_VERSION,
                        "preprocessing": dict(preprocessing),
                        "backbone": entry.identity(),
                        "strategy": method.name,
                        "options": options.model_dump(mode="json"),
                    }
                    grid.append((options, shared))
                unsuitable = method.unsuitable(entry, grid[0][0])
                for task in tasks:
                    recipe = {"recipe": task.recipe.identity()}
                    candidates = [
                        (options, identity({**shared, **recipe}, 64)) for options, shared in grid
                    ]
                    fixed = [_fixed(candidates)]
                    for split in splits[task.name]:
                        state, reason = RunState.PENDING, unsuitable
                        if unsuitable:
                            state = RunState.NOT_APPLICABLE
                        elif not split.applies:
                            state, reason = RunState.NOT_APPLICABLE, split.infeasible
                        elif split.infeasible:
                            state, reason = RunState.NOT_FEASIBLE, split.infeasible
                        place = (task.name, split.name)
                        searched = state == RunState.PENDING and place in validated
                        tried = candidates if searched else fixed
                        for seed, (options, candidate) in itertools.product(spec.seeds, tried):
                            own = {
                                "candidate": candidate,
                                "task": task.identity,
                                "split": split_hashes[place],
                                # Names tell apart cells that cannot be made, which share a hash.
                                "split_name": split.name,
                                "seed": seed,
                            }
                            runs.append(
                                Run(
                                    id=identity(own),
                                    task=task,
                                    backbone=label,
                                    entry=entry,
                                    strategy=variant.label,
                                    method=method,
                                    options=options,
                                    split=split,
                                    seed=seed,
                                    recipe=task.recipe,
                                    state=state,
                                    reason=reason,
                                )
                            )
    _require_different(runs)
    return runs


def _require_different(runs: Sequence[Run]) -> None:
    """Raise :class:`UserError` where two labels stand for one and the same run."""
    known: dict[str, Run] = {}
    for run in runs:
        other = known.setdefault(run.id, run)
        if other is not run:
            labels = [f"'{own.strategy}' on '{own.backbone}'" for own in (other, run)]
            raise UserError(
                f"{labels[0]} and {labels[1]} are one and the same candidate: options that are "
                "written out may be the defaults; leave one of them out"
            )


def expand_controls(
    spec: BenchmarkSpec,
    tasks: Sequence[PlannedTask],
    splits: Mapping[str, Sequence[Split]],
    preprocessing: Mapping[str, Any],
    missing: Mapping[str, Mapping[str, str]],
) -> list[ControlRun]:
    """Return the controls of a benchmark, one on each split and seed of its runs.

    Args:
        spec: The benchmark.
        tasks: Its tasks.
        splits: The splits of each task, by the task's name.
        preprocessing: How images become pixels, as plain data.
        missing: Per task, why a control cannot be, by the control's name.
    """
    entry = spec.backbones[0].entry()
    shared = {
        "protocol": PROTOCOL_VERSION,
        "preprocessing": dict(preprocessing),
        "backbone": entry.identity(),
    }
    found = []
    for control, task in itertools.product(spec.controls, tasks):
        for split, seed in itertools.product(splits[task.name], spec.seeds):
            reason = missing[task.name].get(control)
            state = RunState.NOT_APPLICABLE if reason else RunState.PENDING
            if split.infeasible:
                kind = RunState.NOT_FEASIBLE if split.applies else RunState.NOT_APPLICABLE
                state, reason = kind, split.infeasible
            own = {
                **shared,
                "recipe": task.recipe.identity(),
                "control": control,
                "task": task.identity,
                "about_images": task.about_images,
                "split": split.identity(),
                "split_name": split.name,
                "seed": seed,
            }
            found.append(
                ControlRun(
                    id=identity(own),
                    task=task,
                    entry=entry,
                    control=control,
                    split=split,
                    seed=seed,
                    recipe=task.recipe,
                    state=state,
                    reason=reason,
                )
            )
    return found
