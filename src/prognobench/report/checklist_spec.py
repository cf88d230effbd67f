"""What a benchmark file says of its images and controls, in the words of reporting guidelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.evaluation.controls import CONTROLS
from prognobench.report import words

BEFORE: Mapping[Kind, str] = {
    "binary": "Images taken after the outcome are left out where dates are known; see the flow "
    "and the audit's warnings.",
    "ordinal": "A score is that of the image itself, so that no image is taken after it.",
    "time_to_event": "Images taken after the event or the end of the follow-up are left out where "
    "dates are known; see the flow and the audit's warnings.",
}
"""When images were taken, by the kind of the outcome."""

AFTER_TOO = (
    "Images taken after the outcome are used too; the audit counts them where dates are known."
)
"""The same where a binary outcome has every image (policy ``all``)."""


def timing(spec: Mapping[str, Any], tasks: Sequence[str], kinds: Mapping[str, Kind]) -> str:
    """Return when images were taken, by task where tasks differ; empty where it is not known.

    Args:
        spec: The benchmark file.
        tasks: All tasks, in its order.
        kinds: The kind of the outcome of those that are told of.
    """
    policies = _policies(spec, tasks)
    told: dict[str, list[str]] = {}
    for task, kind in kinds.items():
        if task in policies:
            used = kind == "binary" and policies[task] == "all"
            told.setdefault(AFTER_TOO if used else BEFORE[kind], []).append(task)
    if len(told) == 1:
        return next(iter(told))
    return " ".join(f"{words.listing(own, 12)}: {text}" for text, own in told.items())


def _policies(spec: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, str]:
    """Return which images of a patient each task uses."""
    asked = [
        (str(endpoint), str((group.get("cohort") or {}).get("policy") or "first"))
        for group in (spec.get("tasks") or [spec])
        for endpoint in group.get("endpoints") or ()
    ]
    policies = [policy for _, policy in asked]
    if len(set(policies)) == 1:
        return dict.fromkeys(tasks, policies[0])
    if [task.rpartition("/")[2] for task in tasks] == [endpoint for endpoint, _ in asked]:
        return dict(zip(tasks, policies, strict=True))
    return {}


def preprocessing(spec: Mapping[str, Any]) -> str:
    """Return how files become what a model sees."""
    images = spec.get("images") or {}
    steps = ["becomes 8-bit grey"]
    if images.get("percentiles"):
        low, high = images["percentiles"]
        steps[0] += (
            f" with black and white at the percentiles {low:g} and {high:g} of its own values"
        )
    if images.get("lung_crop"):
        margin = f"{100 * float(images.get('lung_margin', 0.05)):g}\u00a0%"
        without = "left out" if images.get("without_lungs") == "drop" else "shown whole"
        steps.append(
            f"is cut to the square around the lungs with a margin of {margin} of their size "
            f"(where lungs are not known it is {without})"
        )
    steps.append("is padded to a square and resized once to the backbone's input")
    return f"Every image {', '.join(steps)}; the backbone's own normalisation follows."


def predictors(spec: Mapping[str, Any]) -> str:
    """Return what models predict from."""
    controls = _controls(spec)
    read = ["projection", "site"] if "view_and_site" in controls else []
    if "clinical" in controls:
        read.append("clinical columns")
    elif "age_and_sex" in controls:
        read += ["age", "sex"]
    if not read:
        return "The image alone."
    return f"The image alone; {words.listing(read)} are used by the controls only."


def missing(spec: Mapping[str, Any]) -> str:
    """Return what becomes of values that are missing."""
    controls = _controls(spec)
    filled = ["missing words are a category of their own"]
    if {"clinical", "age_and_sex"} & set(controls):
        filled.insert(0, "numbers are filled by the training part's median")
    elif "view_and_site" not in controls:
        return "Counted by column in the audit; no model reads such columns."
    return (
        "Counted by column in the audit; only controls read such columns, where "
        f"{words.listing(filled)}."
    )


def robustness(spec: Mapping[str, Any]) -> str:
    """Return what shows whether models read the disease."""
    names = [name.replace("_", " ") for name in _controls(spec)]
    if not names:
        return "The benchmark has no controls; the audit looks for shortcuts."
    return (
        f"Controls stand in every table ({words.listing(names, 12)}); the audit looks for "
        "shortcuts."
    )


def _controls(spec: Mapping[str, Any]) -> Sequence[str]:
    named = spec.get("controls")
    return tuple(CONTROLS if named is None else map(str, named))
