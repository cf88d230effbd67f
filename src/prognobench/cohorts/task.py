"""The task: a cohort with one endpoint, and the images that may predict it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from prognobench.cohorts.assemble import UNKNOWN_SITE, clinical_columns
from prognobench.cohorts.checks import (
    after_outcome,
    contradictory_patients,
    outcome_days,
    patient_labels,
)
from prognobench.cohorts.cohort import (
    STANDARD_COLUMNS,
    TARGET_COLUMN,
    Cohort,
    outcome_day_column,
)
from prognobench.cohorts.combine import MEMBER_COLUMN
from prognobench.cohorts.outcome_kinds import BINARY, Kind, OtherOutcome, strata
from prognobench.cohorts.participant_flow import FlowStep, participant_flow
from prognobench.cohorts.tables import cell_text
from prognobench.errors import UserError, nearest
from prognobench.files import identity

Policy = Literal["first", "all_before_outcome", "all"]
"""Which images of a patient are used.

``first``: of those not after the outcome the one closest to day 0, which is the admission where the
cohort knows it; ``all_before_outcome``: each that is not after the outcome; ``all``: each, those of
after the outcome included.
"""

POLICIES: tuple[str, ...] = get_args(Policy)

LEAST_PATIENTS = 2
"""Patients that each class must have: with one, it cannot be trained and tested on."""


LEAST_DAYS = 0.5
"""What an event on the day of the image counts as: it came after the image all the same."""


@dataclass(frozen=True)
class Task:
    """A cohort with one endpoint, restricted to the images that may predict it.

    Attributes:
        cohort: The cohort with the images of the task only, and all drops so far.
        endpoint: Name of the endpoint.
        policy: Which images of a patient were taken.
        positive: The positive class in words.
        warnings: What could not be checked, in sentences.
        outcome: Of what kind the endpoint is.
    """

    cohort: Cohort
    endpoint: str
    policy: str
    positive: str
    warnings: tuple[str, ...] = ()
    outcome: OtherOutcome = BINARY

    @property
    def kind(self) -> Kind:
        """The kind of the endpoint."""
        return self.outcome.kind

    @property
    def name(self) -> str:
        """The task in results: ``<cohort>/<endpoint>``."""
        return f"{self.cohort.name}/{self.endpoint}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row an image: the standard columns, ``target``, the clinical columns.

        The target is 0 or 1, or the score, or the days from the patient's first image to the
        event, negative where they are those to the end of a follow-up without it; a day that is
        none counts as half of one. Endpoints and their days are not in it: they are no predictors.
        """
        table = self.cohort.table[list(STANDARD_COLUMNS)].copy()
        if self.kind == "time_to_event":
            table[TARGET_COLUMN] = table["patient_id"].map(
                _signed_times(self.cohort.table, self.endpoint)
            )
        else:
            labels = patient_labels(self.cohort.table, self.endpoint)
            table[TARGET_COLUMN] = table["patient_id"].map(labels).astype("int64")
        for column in clinical_columns(self.cohort):
            table[column] = self.cohort.table[column]
        return table

    @cached_property
    def patients(self) -> pd.DataFrame:
        """One row a patient: ``patient_id, target, site``, sorted by ``patient_id``.

        A patient with images from several sites has that of the first by ``image_id``.
        """
        firsts = self.table.drop_duplicates("patient_id").sort_values("patient_id")
        return firsts[["patient_id", "target", "site"]].reset_index(drop=True)

    def patient_columns(self) -> dict[str, dict[str, str]]:
        """Return what is known of each patient as text, by column and ``patient_id``.

        The columns are ``site``, ``dataset`` (the cohort's name, or its member's where several
        were put together) and the clinical ones. A value that is not known, or the site
        ``unknown``, is an empty text. A patient with several values has that of the first image
        by ``image_id``.
        """
        firsts = self.table.drop_duplicates("patient_id").set_index("patient_id")
        columns = {MEMBER_COLUMN: pd.Series(self.cohort.name, index=firsts.index)}
        columns |= {name: firsts[name] for name in ("site", *clinical_columns(self.cohort))}
        texts = {
            name: values.astype(object).map(lambda cell: cell_text(cell) or "")
            for name, values in columns.items()
        }
        texts["site"] = texts["site"].replace(UNKNOWN_SITE, "")
        return {
            name: dict(zip(values.index.astype(str), values.tolist(), strict=True))
            for name, values in texts.items()
        }

    def flow(self) -> tuple[FlowStep, ...]:
        """Return the participant flow: what the source listed, each drop, what is left."""
        events = None
        if self.kind != "ordinal":
            events = int((self.patients["target"] > 0).sum())
        return participant_flow(self.cohort, events)

    def identity(self, digests: Mapping[str, str]) -> str:
        """Return the hash of everything in the task that can change a result.

        That is which images (by content), of which patients, with which targets, from which
        sites. Paths, names of the cohort and clinical columns are not part of it.

        Args:
            digests: SHA-256 of each image's file, by ``image_id``.
        """
        columns = ("image_id", "patient_id", "target", "site")
        rows = sorted(zip(*(self.table[column].tolist() for column in columns), strict=True))
        images = [[*row, digests[row[0]]] for row in rows]
        content: dict[str, Any] = {"endpoint": self.endpoint, "images": images}
        if self.kind != "binary":
            content["outcome"] = asdict(self.outcome)
        return identity(content)

    def about_images(self) -> str:
        """Return the hash of what is known of each image besides pixels and target."""
        columns = ["image_id", "site", "view", *clinical_columns(self.cohort)]
        cells = ([cell_text(cell) or "" for cell in self.table[name]] for name in columns)
        return identity({"columns": columns, "images": sorted(zip(*cells, strict=True))})


def check_policy(policy: str) -> None:
    """Raise a :class:`UserError` that names the nearest policy when there is none of a name."""
    if policy not in POLICIES:
        raise UserError(f"unknown image policy '{policy}': {nearest(policy, POLICIES)}")


def select_task(cohort: Cohort, endpoint: str, policy: str = "first") -> Task:
    """Restrict a cohort to one endpoint and to the images that may predict it.

    Left out are, in this order: patients without a label, patients with contradictory labels,
    images taken after the day of the outcome (one of that day itself stays), images of patients
    with the event of which that cannot be told, and all but a patient's image closest to admission.

    An ordinal score is that of the image, and comes with no day: images without one are left out,
    and all but a patient's first image, or under the other policies patients whose images have
    different scores.

    Of times to an event, images are left out whose patient's follow-up ended before, or is not
    known to have ended when.

    Args:
        cohort: The cohort.
        endpoint: One of its endpoints.
        policy: ``first``, ``all_before_outcome`` or ``all``, see :data:`Policy`.

    Raises:
        UserError: When the endpoint or policy is unknown, or a class has too few patients.
    """
    if endpoint not in cohort.all_endpoints:
        raise UserError(
            f"the cohort '{cohort.name}' has no endpoint '{endpoint}': "
            f"{nearest(endpoint, cohort.all_endpoints)}"
        )
    check_policy(policy)
    if endpoint in cohort.others:
        select = _select_score if cohort.others[endpoint].kind == "ordinal" else _select_time
        return select(cohort, endpoint, policy)
    positive = cohort.endpoints[endpoint]
    cohort = _labelled_by_patient(_drop_unlabelled(cohort, endpoint), endpoint)
    warnings: list[str] = []
    if policy != "all":
        cohort, warnings = _drop_by_time(cohort, endpoint)
    if policy == "first":
        cohort, more = _keep_first(cohort)
        warnings += more
    _require_both_classes(cohort, endpoint)
    return Task(cohort, endpoint, policy, positive, tuple(warnings))


def _select_score(cohort: Cohort, endpoint: str, policy: str) -> Task:
    outcome, table = cohort.others[endpoint], cohort.table
    cohort = cohort.without(
        set(table.loc[table[endpoint].isna(), "image_id"]),
        "missing_label",
        f"the image has no score '{endpoint}'",
    )
    warnings: list[str] = []
    if policy == "first":
        cohort, warnings = _keep_first(cohort)
    cohort = cohort.without(
        _images_of(cohort.table, contradictory_patients(cohort.table, endpoint)),
        "contradictory_labels",
        f"the patient's images have different scores '{endpoint}'",
    )
    scores = patient_labels(cohort.table, endpoint)
    bands = Counter[int]()
    different = len(set(scores))
    if different > 1:
        known = dict(zip(map(str, scores.index), scores.tolist(), strict=True))
        bands.update(strata(outcome.kind, known).values())
    if not bands or min(bands.values()) < LEAST_PATIENTS:
        raise UserError(
            f"the score '{endpoint}' of the cohort '{cohort.name}' leaves {len(scores)} patients "
            f"with {different} different scores, of which nothing can be learnt: choose "
            "another endpoint or image policy, or add patients"
        )
    return Task(cohort, endpoint, policy, outcome.words, tuple(warnings), outcome)


def _select_time(cohort: Cohort, endpoint: str, policy: str) -> Task:
    outcome = cohort.others[endpoint]
    cohort = _labelled_by_patient(_drop_unlabelled(cohort, endpoint), endpoint)
    ended = outcome_days(cohort.table, endpoint)
    taken = cohort.table["acquired"].astype("float64")
    warnings: list[str] = []
    for name, rows in _members(cohort):
        if taken[rows].isna().all():
            taken = taken.mask(rows, 0.0)
            warnings.append(
                f"the cohort '{name}' does not say when images were taken, so that days to "
                f"'{endpoint}' are taken for days from the image"
            )
    unknown, after = ~np.isfinite(ended - taken), taken > ended
    cohort = cohort.without(
        set(cohort.table.loc[unknown, "image_id"]),
        "unknown_timing",
        f"how long the patient was followed up after the image for '{endpoint}' is not known",
    ).without(
        set(cohort.table.loc[after, "image_id"]),
        "after_outcome",
        f"the image was taken after the day of '{endpoint}' or of the end of the follow-up",
    )
    if policy == "first":
        cohort, more = _keep_first(cohort)
        warnings += more
    _require_seen_and_unseen(cohort, endpoint)
    return Task(cohort, endpoint, policy, outcome.words, tuple(warnings), outcome)


def _signed_times(table: pd.DataFrame, endpoint: str) -> pd.Series:
    """Return each patient's time from the first image, negative where no event was seen."""
    first = table["acquired"].astype("float64").fillna(0.0).groupby(table["patient_id"]).min()
    ended = outcome_days(table, endpoint).groupby(table["patient_id"]).min()
    days = (ended - first).clip(lower=LEAST_DAYS)
    return days.where(patient_labels(table, endpoint) == 1, -days)


def _images_of(table: pd.DataFrame, patients: set[str]) -> set[str]:
    return set(table.loc[table["patient_id"].isin(patients), "image_id"])


def _drop_unlabelled(cohort: Cohort, endpoint: str) -> Cohort:
    contradictory = contradictory_patients(cohort.table, endpoint)
    labels = patient_labels(cohort.table, endpoint)
    missing = set(labels.index[labels.isna()]) - contradictory
    cohort = cohort.without(
        _images_of(cohort.table, missing),
        "missing_label",
        f"whether the patient had the outcome '{endpoint}' is not known",
    )
    return cohort.without(
        _images_of(cohort.table, contradictory),
        "contradictory_labels",
        f"the patient's images say different things about the outcome '{endpoint}'",
    )


def _labelled_by_patient(cohort: Cohort, endpoint: str) -> Cohort:
    # The image that has the label or the day may be dropped, and its patient's others may not.
    table = cohort.table
    labels = table["patient_id"].map(patient_labels(table, endpoint))
    days = {outcome_day_column(endpoint): outcome_days(table, endpoint)}
    return replace(cohort, table=table.assign(**{endpoint: labels.astype("Int64")}, **days))


def _drop_by_time(cohort: Cohort, endpoint: str) -> tuple[Cohort, list[str]]:
    table = cohort.table
    events = table["patient_id"].map(patient_labels(table, endpoint)) == 1
    untimed = events & (table["acquired"].isna() | outcome_days(table, endpoint).isna())
    warnings = []
    for name, rows in _members(cohort):
        own = events & rows
        if own.any() and bool(untimed[own].all()):
            # Without any dates the rule would take every event; the reader is told instead.
            untimed = untimed & ~rows
            warnings.append(
                f"the cohort '{name}' does not say when images and the outcome '{endpoint}' "
                "were, so that images taken after the outcome could not be left out"
            )
    late = after_outcome(table, endpoint)
    cohort = cohort.without(
        set(table.loc[late, "image_id"]),
        "after_outcome",
        f"the image was taken after the day of the outcome '{endpoint}'",
    )
    cohort = cohort.without(
        set(table.loc[untimed, "image_id"]),
        "unknown_timing",
        f"the patient had the outcome '{endpoint}', and whether the image was taken before it "
        "is not known",
    )
    return cohort, warnings


def _members(cohort: Cohort) -> Iterator[tuple[str, pd.Series]]:
    """Yield the cohorts that were put together, each with where its images are.

    What one of them says of dates is no word on another's.
    """
    table = cohort.table
    if MEMBER_COLUMN not in table:
        yield cohort.name, pd.Series(data=True, index=table.index)
        return
    for name in sorted(set(table[MEMBER_COLUMN].dropna())):
        yield str(name), table[MEMBER_COLUMN] == name


def _keep_first(cohort: Cohort) -> tuple[Cohort, list[str]]:
    # An image of long before the admission shows another illness; of two as far, the earlier.
    near = cohort.table.assign(distance=cohort.table["acquired"].abs())
    ordered = near.sort_values(["distance", "acquired", "image_id"], na_position="last")
    later = ordered.loc[ordered["patient_id"].duplicated(), "image_id"]
    several = cohort.table["patient_id"].duplicated(keep=False)
    dateless = cohort.table.loc[several & cohort.table["acquired"].isna(), "patient_id"].nunique()
    warnings = []
    if dateless:
        warnings.append(
            f"{dateless} patients of the cohort '{cohort.name}' have several images of which not "
            "all have a date, so that a dated one is taken, or without any the first by image_id"
        )
    cohort = cohort.without(set(later), "not_first", "the patient has an image closer to admission")
    return cohort, warnings


def _require_seen_and_unseen(cohort: Cohort, endpoint: str) -> None:
    seen = patient_labels(cohort.table, endpoint) == 1
    counts = int(seen.sum()), int((~seen).sum())
    if min(counts) >= LEAST_PATIENTS:
        return
    drops = {drop.rule: drop.images for drop in cohort.drops if drop.images}
    left_out = ""
    if "after_outcome" in drops:
        left_out = (
            f" ({drops['after_outcome']} images were taken after the day that is given for the "
            "event or the end of the follow-up)"
        )
    raise UserError(
        f"the endpoint '{endpoint}' of the cohort '{cohort.name}' leaves {counts[0]} patients "
        f"whose event was seen and {counts[1]} whose was not{left_out}, and at least "
        f"{LEAST_PATIENTS} of each are needed: choose another endpoint or image policy, correct "
        "the days, or add patients"
    )


def _require_both_classes(cohort: Cohort, endpoint: str) -> None:
    labels = patient_labels(cohort.table, endpoint)
    events = int((labels == 1).sum())
    others = int((labels == 0).sum())
    if min(events, others) < LEAST_PATIENTS:
        raise UserError(
            f"the endpoint '{endpoint}' of the cohort '{cohort.name}' leaves {events} patients "
            f"with the event and {others} without, and each class needs at least "
            f"{LEAST_PATIENTS}: choose another endpoint or image policy, or add patients"
        )
