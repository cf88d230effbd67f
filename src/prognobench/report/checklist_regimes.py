"""What the regimes of a benchmark say of training and testing, in the words of the guidelines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prognobench.report import words

FEW_SHOT = frozenset({"few_shot", "few_shot_one_site"})
SITES = "leave_one_site_out"
FIXED = "fixed_split"

PLACES: Mapping[str, str] = {"site": "other sites", "dataset": "another data set"}
"""Columns of ``fixed_split`` whose values are places, and whom they then test."""


def split_columns(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns by which a benchmark file divides patients itself (``fixed_split``)."""
    regimes = [
        one for own in (spec, *(spec.get("tasks") or ())) for one in own.get("regimes") or ()
    ]
    asked = [one for one in regimes if isinstance(one, Mapping) and one.get("name") == FIXED]
    return tuple(dict.fromkeys(str(one.get("column")) for one in asked))


def only_internal(regimes: Collection[str]) -> bool:
    """Say whether all that is tested is of what was trained on, by cross-validation."""
    return not set(regimes) & {SITES, FIXED}


def of_unknown_kind(regimes: Collection[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that name the test patients without saying whether they are elsewhere."""
    return [name for name in columns if name not in PLACES] if FIXED in regimes else []


def testing(regimes: Collection[str], columns: Sequence[str]) -> str:
    """Return how candidates were tested.

    Args:
        regimes: Names of the regimes, as in the results.
        columns: Of :func:`split_columns`.
    """
    told = ["internal testing"] if set(regimes) - {SITES, FIXED} else []
    if SITES in regimes:
        told.append("testing at each site by models of the others")
    if FIXED in regimes:
        told += [f"testing on patients of {PLACES[name]}" for name in columns if name in PLACES]
        own = of_unknown_kind(regimes, columns)
        if own:
            told.append(f"testing on patients named by {words.listing(own)}")
    return words.listing(told)


def difference(regimes: Collection[str], columns: Sequence[str]) -> str:
    """Return how the patients who were tested differ from those who were trained on."""
    internal = (
        "development and test patients are of the same cohort, and there was no external test."
    )
    if only_internal(regimes):
        return f"None: {internal}"
    told = []
    if SITES in regimes:
        told.append("Tested on patients of a site that was not trained on.")
    if FIXED in regimes:
        told += [f"Tested on patients of {PLACES[name]}." for name in columns if name in PLACES]
        own = of_unknown_kind(regimes, columns)
        if own:
            told.append(
                f"Tested on the patients that the column {words.listing(own)} names; whether these "
                "are of another place or time is for the authors to say."
            )
    if set(regimes) - {SITES, FIXED}:
        told.append("In the other settings none: both are of the same cohort.")
    return " ".join(told)


def choice(regimes: Collection[str]) -> str:
    """Return by what learning rates, the end of training and candidates were chosen."""
    told = []
    if set(regimes) - FEW_SHOT:
        told.append("Learning rates and early stopping by the validation part alone.")
    if set(regimes) & FEW_SHOT:
        told.append(
            "Few-shot training has no validation part: its learning rates and number of steps were "
            "fixed beforehand."
        )
    told.append("Candidates are compared, and those that cannot be told apart are named together.")
    return " ".join(told)


def training(regimes: Collection[str], recipe: Mapping[str, Any]) -> str:
    """Return what the recipe says of the training that the regimes have."""
    keys = ["batch_size", "augmentation", "schedule"]
    if set(regimes) - FEW_SHOT:
        keys += ["epochs", "patience"]
    if set(regimes) & FEW_SHOT:
        keys.append("few_shot_steps")
    trained = [f"{key.replace('_', ' ')} {recipe[key]}" for key in keys if key in recipe]
    return f"Recipe: {', '.join(trained)}; the rest is in the spec." if trained else ""


def imbalance(regimes: Collection[str], asked: str) -> str:
    """Return what was done about a rare class of a binary outcome."""
    drawn = [
        *(
            ["few-shot draws have as many patients of either class"]
            if set(regimes) & FEW_SHOT
            else []
        ),
        *(["regimes of imbalance draw the shares that they name"] if _drawn(regimes) else []),
    ]
    corrected = "probabilities are corrected for it in calibration, Brier score and net benefit."
    if asked == "none":
        if not drawn:
            return "Nothing was done about it in training."
        return f"Nothing was done about it in training; {words.listing(drawn)}, and {corrected}"
    return f"{asked.replace('_', ' ').capitalize()} in training; {corrected}"


def _drawn(regimes: Collection[str]) -> bool:
    return any(name.startswith("imbalance") for name in regimes)
