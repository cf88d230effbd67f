"""Synthetic patients: who they are, what their images show, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prognobench.demo.anatomy import Anatomy, Pose, draw_anatomy, draw_pose
from prognobench.demo.findings import (
    Findings,
    draw_effusions,
    draw_heart,
    draw_pattern,
    spread_extent,
)
from prognobench.demo.outcomes import OUTCOMES, draw_age, draw_extent
from prognobench.demo.radiograph import render
from prognobench.demo.scanner import SITES, Exposure, draw_exposure
from prognobench.randomness import generator

STREAM = 80
"""Which family of random streams the patients are drawn from.

A sample of 200 patients may by chance be much easier or harder than the model behind it. This
family was picked, looking at extents, ages and outcomes alone and at no image or network, so
that in the first 100 and 200 patients of seed 0 the base rates and AUROC of the truth are close
to what they are on average. Other seeds vary as chance has it.
"""

SITE_SHARES: Mapping[str, float] = {"harbour": 0.4, "hillside": 0.35, "riverside": 0.25}
"""Share of the patients at each site; the site says nothing about the outcome."""

PORTABLE = 0.45
"""Share of AP images among those taken outside intensive care."""

OUTCOME_DAYS: Mapping[str, tuple[int, int]] = {"icu": (1, 6), "mortality": (7, 25)}
"""First and last day after admission on which an outcome comes; ``icu`` precedes death."""

FOLLOW_UP_DAYS = 20
"""Last day after admission on which an image is taken."""


@dataclass(frozen=True)
class Visit:
    """One image of a patient.

    Attributes:
        day: Days since admission; the first image is of day 0.
        findings: What it shows.
        pose: The position; it says whether the view is AP or PA.
        exposure: The settings of the machine.
    """

    day: int
    findings: Findings
    pose: Pose
    exposure: Exposure

    @property
    def view(self) -> str:
        """``AP`` or ``PA``."""
        return "AP" if self.pose.anteroposterior else "PA"


@dataclass(frozen=True)
class Patient:
    """A patient with the truth behind the images and the outcomes.

    Attributes:
        patient_id: For example ``syn-0-00012``: seed and number.
        site: One of ``SITES``.
        female: The sex.
        age: Years.
        extent: Extent of the opacities in the first image; with the age it decides the odds.
        anatomy: What is the same in all images.
        outcome_days: For each endpoint the day of the outcome, None for a patient without.
        visits: The images, by day.
    """

    patient_id: str
    site: str
    female: bool
    age: int
    extent: float
    anatomy: Anatomy
    outcome_days: Mapping[str, int | None]
    visits: tuple[Visit, ...]

    def pixels(self, visit: int) -> NDArray[np.uint8]:
        """Render one image: uint8, shape [height, width] of the site's scanner."""
        seen = self.visits[visit]
        radiograph = render(seen.findings, self.anatomy, seen.pose, SITES[self.site], seen.exposure)
        return radiograph.pixels


def draw_patient(seed: int, number: int) -> Patient:
    """Draw one patient, who depends on ``seed`` and ``number`` and on nothing else.

    Args:
        seed: Seed of the cohort.
        number: Number of the patient in the cohort, from 0.
    """
    rng = generator("synthetic", STREAM, seed, number)
    extent, age = float(draw_extent(rng)), int(draw_age(rng))
    outcome_days: dict[str, int | None] = {}
    for endpoint, (first, last) in OUTCOME_DAYS.items():
        happens = rng.random() < OUTCOMES[endpoint].probability(extent, age)
        day = int(rng.integers(first, last + 1))
        outcome_days[endpoint] = day if happens else None
    site = str(rng.choice(list(SITE_SHARES), p=list(SITE_SHARES.values())))
    female = bool(rng.random() < 0.5)
    anatomy = draw_anatomy(rng, female)
    return Patient(
        patient_id=f"syn-{seed}-{number:05d}",
        site=site,
        female=female,
        age=age,
        extent=extent,
        anatomy=anatomy,
        outcome_days=outcome_days,
        visits=_draw_visits(rng, extent, outcome_days, site),
    )


def extent_on(day: int, first: float, outcome_days: Mapping[str, int | None]) -> float:
    """Return the extent of the opacities on a day, before the noise of follow-up images.

    Opacities spread until the last outcome of a patient who has one, and clear slowly in the
    others. This is what makes pictures of the outcome so easy to tell.

    Args:
        day: Days since admission.
        first: Extent on day 0, in [0, 1].
        outcome_days: The day of each outcome, or None.
    """
    days = [outcome for outcome in outcome_days.values() if outcome is not None]
    if not days:
        return first * float(np.exp(-day / 15))
    return first + 0.6 * (1 - first) * min(day / max(days), 1.0)


def _draw_visits(
    rng: np.random.Generator, extent: float, outcome_days: Mapping[str, int | None], site: str
) -> tuple[Visit, ...]:
    pattern, effusions, heart = draw_pattern(rng), draw_effusions(rng), draw_heart(rng)
    follow_ups = min(int(rng.poisson(1.3)), 4)
    later = sorted(rng.choice(np.arange(1, FOLLOW_UP_DAYS + 1), follow_ups, replace=False).tolist())
    death, intensive_care = outcome_days["mortality"], outcome_days["icu"]
    visits = []
    for day in (0, *later):
        noise = rng.normal(0, 0.03)
        portable = bool(rng.random() < PORTABLE)
        if death is not None and day > death:
            break
        shown = extent if day == 0 else extent_on(day, extent, outcome_days) + noise
        bedridden = intensive_care is not None and day >= intensive_care
        anteroposterior = portable or bedridden
        visits.append(
            Visit(
                day=day,
                findings=Findings(spread_extent(shown, pattern), effusions, heart),
                pose=draw_pose(rng, anteroposterior),
                exposure=draw_exposure(rng, SITES[site], anteroposterior),
            )
        )
    return tuple(visits)
