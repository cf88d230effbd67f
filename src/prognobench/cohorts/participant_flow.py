"""The participant flow: what a source listed, what each rule took out, what is left."""

from __future__ import annotations

from dataclasses import dataclass

from prognobench.cohorts.cohort import Cohort


@dataclass(frozen=True)
class FlowStep:
    """One line of the participant flow.

    Attributes:
        step: ``source``, the rule of a drop, or ``task``.
        reason: The line in words.
        images: Images listed, taken out, or left.
        patients: Patients listed, taken out, or left.
        events: Patients with the event; known for the last line only.
    """

    step: str
    reason: str
    images: int
    patients: int
    events: int | None = None


def participant_flow(cohort: Cohort, events: int | None = None) -> tuple[FlowStep, ...]:
    """Return the lines of a cohort's participant flow.

    Args:
        cohort: The cohort, with its drops.
        events: How many of the patients left had the event, if one endpoint is meant.
    """
    table = cohort.table
    start = FlowStep("source", "listed by the source", cohort.source_images, cohort.source_patients)
    drops = (FlowStep(drop.rule, drop.reason, drop.images, drop.patients) for drop in cohort.drops)
    step = "cohort" if events is None else "task"
    end = FlowStep(step, "left", len(table), table["patient_id"].nunique(), events)
    return (start, *drops, end)
