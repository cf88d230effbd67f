"""Learning curves and class imbalance: the training part is thinned, the test part never is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from typing import Literal, TypeAlias

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
    are among those of 25 %). A share that would leave a part of any fold with too few of a class is
    infeasible on every fold, so that no level is of the easier folds alone.

    Args:
        base: The splits of the full data.
        targets: Target (0 or 1) of every patient.
        fractions: Shares of the patients outside the test part that are kept, in (0, 1].
        split_seed: Seed of the draws.
    """
    drawn = [_queues(split, targets, "train_size", split_seed) for split in base]
    infeasible: dict[float, str] = {}
    for queues, fraction in itertools.product(drawn, fractions):
        if reason := _shortage(queues, _shares(queues, fraction)):
            infeasible.setdefault(fraction, reason)
    return [
        _thinned(
            split,
            ("train_size", fraction, f"{100 * fraction:g}pc"),
            queues,
            _shares(queues, fraction),
            infeasible.get(fraction),
        )
        for split, queues in zip(base, drawn, strict=True)
        for fraction in fractions
    ]


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
    parts get the rate; the test part keeps its natural prevalence. Draws are nested. A rate that
    would leave a part with too few of a class is infeasible on every fold, and the others are as
    large as they can be without it.

    Args:
        base: The splits of the full data.
        targets: Target (0 or 1) of every patient.
        event_rates: Shares of events wanted, in (0, 1).
        fixed: What stays the same over the rates: ``patients`` or ``events``.
        split_seed: Seed of the draws.
    """
    drawn = [_queues(split, targets, "imbalance", split_seed) for split in base]
    infeasible = _infeasible_rates(drawn, event_rates, fixed)
    possible = [rate for rate in event_rates if rate not in infeasible]
    splits = []
    for split, queues in zip(base, drawn, strict=True):
        for rate in event_rates:
            counts = _counts(queues, rate, possible or [rate], fixed)
            named = (f"imbalance_{fixed}", rate, f"{100 * rate:g}pc")
            splits.append(_thinned(split, named, queues, counts, infeasible.get(rate)))
    return splits


_Queues: TypeAlias = Mapping[tuple[str, int], list[str]]
"""Patients of each part and class, in the order in which they are drawn."""


def _shares(queues: _Queues, fraction: float) -> dict[tuple[str, int], int]:
    return {key: round(fraction * len(queue)) for key, queue in queues.items()}


def _shortage(queues: _Queues, counts: Mapping[tuple[str, int], int]) -> str | None:
    """Say where too few of a class are left; None where there are enough."""
    for (part, outcome), queue in queues.items():
        if counts[part, outcome] < SMALLEST_CLASS and queue:
            bands = {own for _, own in queues}
            many = f"in one of the {len(bands)} bands of scores"
            return _too_few(
                counts[part, outcome], part, many if max(bands) > 1 else _OUTCOMES[outcome]
            )
    return None


def _counts(
    queues: _Queues, rate: float, rates: Sequence[float], fixed: str
) -> dict[tuple[str, int], int]:
    """Return how many of each part and class have a rate, at what all ``rates`` have in common."""
    counts = {}
    for part in ("train", "val"):
        events, others = len(queues[part, 1]), len(queues[part, 0])
        if fixed == "patients":
            size = int(min(min(events / own, others / (1 - own)) for own in rates) + 1e-9)
            counts[part, 1] = round(rate * size)
            counts[part, 0] = size - counts[part, 1]
        else:
            kept = int(min(min(events, others * own / (1 - own)) for own in rates) + 1e-9)
            counts[part, 1] = kept
            counts[part, 0] = min(others, round(kept * (1 - rate) / rate))
    return counts


def _infeasible_rates(
    drawn: Sequence[_Queues], event_rates: Sequence[float], fixed: str
) -> dict[float, str]:
    """Return the rates that leave too few patients somewhere, each with the reason.

    The one farthest from the natural rate is given up first: what it has in common with the others
    may be all that makes them too small.
    """
    sizes = [sum(len(own[part, label]) for own in drawn for part in ("train", "val"))
             for label in (0, 1)]  # fmt: skip
    natural = log(sizes[1] / sizes[0])
    left, reasons = list(event_rates), {}
    while left:
        fewest: dict[float, tuple[int, str, int]] = {}
        for queues in drawn:
            for rate in left:
                counts = _counts(queues, rate, left, fixed)
                least = min((count, part, -label) for (part, label), count in counts.items())
                fewest[rate] = min(least, fewest.get(rate, least))
        short = [rate for rate, (count, *_) in fewest.items() if count < SMALLEST_CLASS]
        if not short:
            break
        worst = max(short, key=lambda rate: abs(log(rate / (1 - rate)) - natural))
        count, part, outcome = fewest[worst]
        reasons[worst] = _too_few(count, part, _OUTCOMES[-outcome])
        left.remove(worst)
    return reasons


_OUTCOMES = ("without the event", "with the event")


def _too_few(count: int, part: str, which: str) -> str:
    return (
        f"the {part} part would have {count} patients {which}, at least {SMALLEST_CLASS} are needed"
    )


def _queues(
    split: Split, targets: Mapping[str, int], regime: str, split_seed: int
) -> dict[tuple[str, int], list[str]]:
    """Return the patients of each part and class in the order in which they are drawn."""
    queues = {}
    for part in ("train", "val"):
        for label in sorted(set(targets.values())):
            members = [p for p in split.patients(part) if targets[p] == label]
            random = generator(regime, split_seed, split.name, part, label)
            queues[part, label] = [members[index] for index in random.permutation(len(members))]
    return queues


def _thinned(
    split: Split,
    named: tuple[str, float, str],
    queues: _Queues,
    counts: Mapping[tuple[str, int], int],
    infeasible: str | None = None,
) -> Split:
    """Return a split with the first so many of each queue and its whole test part.

    Args:
        split: The full-data split that is thinned.
        named: The regime, the level and its label in the new split's name.
        queues: Patients of each part and class, in the order in which they are drawn.
        counts: How many of each are kept.
        infeasible: Why the split cannot be made, where that is known.
    """
    parts: dict[str, str] = {}
    regime, level, label = named
    infeasible = infeasible or _shortage(queues, counts)
    for (part, outcome), queue in queues.items():
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
