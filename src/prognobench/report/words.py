"""Numbers and names as a reader wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.controls import CONTROLS
from prognobench.evaluation.metric import Metric

MISSING = "–"

CLASSES: Mapping[Kind, str] = {
    "binary": "a class",
    "ordinal": "a band of scores",
    "time_to_event": "with the event seen, and as many without",
}
"""What few-shot draws are of, by the kind of the outcome."""


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a fixed number of decimals and a true minus sign."""
    if value is None:
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return an interval as ``0.12 to 0.45``; a dash where there is none."""
    if low is None or high is None:
        return "no interval"
    return f"{number(low, digits)} to {number(high, digits)}"


def count(value: float | None) -> str:
    """Return a whole number with thin spaces between thousands."""
    return MISSING if value is None else f"{int(value):,}".replace(",", "\u202f")


def seconds(value: float | None) -> str:
    """Return a duration with the unit that suits it."""
    if value is None:
        return MISSING
    if value < 0.1:
        return "under 0.1\u00a0s"
    if value < 120:
        return f"{value:.1f}\u00a0s" if value < 10 else f"{value:.0f}\u00a0s"
    return f"{value / 60:.0f}\u00a0min" if value < 7200 else f"{value / 3600:.1f}\u00a0h"


def percent(share: float) -> str:
    """Return a share as a percentage, with a decimal only where it matters."""
    value = 100.0 * share
    return f"{value:.1f}\u00a0%" if value < 10 else f"{value:.0f}\u00a0%"


def level(confidence: float) -> str:
    """Return the confidence of an interval, such as ``95 %``."""
    return f"{100.0 * confidence:.10g}\u00a0%"


def candidate(row: Mapping[str, Any]) -> str:
    """Return a candidate's name."""
    return f"{row['backbone']} with {row['strategy']}"


def control(name: str) -> str:
    """Return a control in words."""
    return CONTROLS.get(name, name)


def metric_columns(metric: Metric, headline: Metric) -> tuple[str, str, str]:
    """Return the leaderboard columns that hold a metric and the ends of its interval."""
    if metric.name == headline.name:
        return "estimate", "ci_low", "ci_high"
    return metric.name, f"{metric.name}_ci_low", f"{metric.name}_ci_high"


def value_with_interval(row: Mapping[str, Any], metric: Metric, headline: Metric) -> str:
    """Return a metric of a candidate, never without its interval."""
    value, low, high = (row.get(name) for name in metric_columns(metric, headline))
    if value is None:
        return MISSING
    digits = 3 if "brier" in metric.name else 2
    return f"{number(value, digits)} ({interval(low, high, digits)})"


def difference(row: Mapping[str, Any], value: str, low: str, high: str) -> str:
    """Return a difference with its interval, a dash where there is none."""
    if row.get(value) is None:
        return MISSING
    return f"{number(row[value])} ({interval(row[low], row[high])})"


def chance_words(metric: Metric, row: Mapping[str, Any], headline: Metric) -> str:
    """Return what a metric's value in a row is to be read against, or an empty text."""
    own = "chance" if metric.name == headline.name else f"{metric.name}_chance"
    level_of_chance = row.get(own)
    if metric.ideal is not None:
        return f"ideal {metric.ideal:g}"
    if level_of_chance is None:
        return ""
    if metric.name.startswith("brier"):
        return f"uninformed {number(level_of_chance, 3)}"
    text = number(level_of_chance)
    return f"chance {text.rstrip('0').rstrip('.') if '.' in text else text}"


def listing(names: Iterable[str], most: int = 6) -> str:
    """Return names as ``a, b and c``, the rest counted when there are more than ``most``."""
    known = list(names)
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most} more"
    if len(known) < 2:
        return "".join(known)
    return f"{', '.join(known[:-1])} and {known[-1]}"


def slug(text: str) -> str:
    """Return text as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "task"


def distinct(names: Sequence[str]) -> list[str]:
    """Return names of which no two are equal, numbers added where they were."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return made


def stems(names: Iterable[str]) -> list[str]:
    """Return names as parts of file names, of which no two are equal."""
    return distinct([slug(name) for name in names])


def plural(amount: int, noun: str, ending: str = "s") -> str:
    """Return an amount with its noun, such as ``1 run``, ``3 runs`` or ``2 strategies``.

    Args:
        amount: How many.
        noun: The noun for one.
        ending: Of the plural; ``ies`` takes the place of a last y.
    """
    if amount == 1:
        return f"1 {noun}"
    return f"{count(amount)} {noun.removesuffix('y') if ending == 'ies' else noun}{ending}"
