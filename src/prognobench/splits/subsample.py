"""Learning curves and class imbalance: the training part is thinned, the test part never is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from prognobench.randomness import generator
from prognobench.splits.split import Split

SMALLEST_CLASS = 2
"""With fewer patients of a class in the training or validation part nothing can be learnt."""


def train_size_splits(
    base: Sequence[Split],
    targets: Mapping[str, int],
    fractions: Sequence[float],
    split_seed: int,
) -> list[Split]:
    """Return the splits of the regime ``train_size``: one a full-data split and fraction.

    Training and validation parts are thinned alike, so that a small training part is not chosen
    by a large validation part; the share of events is kept; draws are nested (the patients of 10 %
    are among those of 25 %).

    Args:
        base: The splits of the full data.
        targets: Target (0 or 1) of every patient.
        fractions: Shares of the patients outside the test part that are kept, in (0, 1].
        split_seed: Seed of the draws.
    """
    splits = []
    for split in base:
        queues = _queues(split, targets, "train_size", split_seed)
        for fraction in fractions:
            counts = {key: round(fraction * len(queue)) for key, queue in queues.items()}
            named = ("train_size", fraction, f"{100 * fraction:g}pc")
            splits.append(_thinned(split, named, queues, counts))
    return splits


def imbalance_splits(
    base: Sequence[Split],
    targets: Mapping[str, int],
    event_rates: Sequence[float],
    fixed: Literal["patients", "events"],
    split_seed: int,
) -> list[Split]:
    """Return the splits of the regime ``imbalance``: one a full-data split and event rate.

    The number of patients (or of events) is the same at every rate, the largest that every rate
    allows, so that the effect of the balance is not that of the size. Training and validation
    parts get the rate; the test part keeps its natural prevalence. Draws are nested.

    Args:
        base: The splits of the full data.
        targets: Target (0 or 1) of every patient.
        event_rates: Shares of events wanted, in (0, 1).
        fixed: What stays the same over the rates: ``patients`` or ``events``.
        split_seed: Seed of the draws.
    """
    splits = []
    for split in base:
        queues = _queues(split, targets, "imbalance", split_seed)
        numbers = {key: len(queue) for key, queue in queues.items()}
        for rate in event_rates:
            counts: dict[tuple[str, int], int] = {}
            for part in ("train", "val"):
                events, others = numbers.get((part, 1), 0), numbers.get((part, 0), 0)
                if fixed == "patients":
                    size = int(
                        min(min(events / own, others / (1 - own)) for own in event_rates) + 1e-9
                    )
                    counts[part, 1] = round(rate * size)
                    counts[part, 0] = size - counts[part, 1]
                else:
                    kept = int(
                        min(min(events, others * own / (1 - own)) for own in event_rates) + 1e-9
                    )
                    counts[part, 1] = kept
                    counts[part, 0] = min(others, round(kept * (1 - rate) / rate))
            named = (f"imbalance_{fixed}", rate, f"{100 * rate:g}pc")
            splits.append(_thinned(split, named, queues, counts))
    return splits


def _queues(
    split: Split, targets: Mapping[str, int], regime: str, split_seed: int
) -> dict[tuple[str, int], list[str]]:
    """Return the patients of each part and class in the order in which they are drawn."""
    queues = {}
    for part in ("train", "val"):
        for label in (0, 1):
            members = [p for p in split.patients(part) if targets[p] == label]
            random = generator(regime, split_seed, split.name, part, label)
            queues[part, label] = [members[index] for index in random.permutation(len(members))]
    return queues


def _thinned(
    split: Split,
    named: tuple[str, float, str],
    queues: Mapping[tuple[str, int], list[str]],
    counts: Mapping[tuple[str, int], int],
) -> Split:
    """Return a split with the first so many of each queue and its whole test part.

    Args:
        split: The full-data split that is thinned.
        named: The regime, the level and its label in the new split's name.
        queues: Patients of each part and class, in the order in which they are drawn.
        counts: How many of each are kept.
    """
    parts: dict[str, str] = {}
    infeasible = None
    regime, level, label = named
    for (part, outcome), queue in queues.items():
        if counts[part, outcome] < SMALLEST_CLASS and queue:
            infeasible = (
                f"the {part} part would have {counts[part, outcome]} patients "
                f"{'with' if outcome else 'without'} the event, at least {SMALLEST_CLASS} are "
                "needed"
            )
        parts |= dict.fromkeys(queue[: counts[part, outcome]], part)
    parts |= dict.fromkeys(split.patients("test"), "test")
    return replace(
        split,
        name=f"{regime}-{label}-repeat{split.repeat}-fold{split.fold}",
        regime=regime,
        parts={} if infeasible else parts,
        level=level,
        infeasible=infeasible,
    )
