"""The audit of one or several cohorts with their images: all that ``cohort audit`` says.

Each check is a module of its own that returns plain data; here they are put together. Warnings
are sentences without names, because the report shows them and is passed on; the data name the
images and patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prognobench.audit.balance import missing_by_group, missing_values
from prognobench.audit.concerned import under_pseudonyms
from prognobench.audit.copies import copy_groups, same_patients
from prognobench.audit.image_facts import image_facts
from prognobench.audit.images import Decoded, audited_images, image_files
from prognobench.audit.near_duplicates import near_duplicates
from prognobench.audit.tasks import AFTER_OUTCOME, audit, labels_of
from prognobench.audit.two_ids import alike_patients
from prognobench.cohorts.checks import patient_labels
from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.participant_flow import participant_flow
from prognobench.cohorts.task import Task, check_policy, select_task
from prognobench.errors import UserError

NOT_SEARCHED = (
    "copies that were cropped, scaled or windowed otherwise were not searched "
    "(audit.near_duplicates: false): `prognobench cohort audit` finds them"
)
"""What is said where only equal files and equal pixels were compared."""


@dataclass(frozen=True)
class CohortAudit:
    """What was found.

    Attributes:
        data: Data that JSON can say: by the name of each task what
            :func:`prognobench.audit.tasks.audit` says of it; ``cohorts`` by name, ``duplicates``,
            ``near_duplicates_searched``, ``two_ids`` and ``warnings`` of all cohorts together;
            ``pseudonyms``, whom the report means by ``patient 1`` and ``image 1``.
        tasks: The tasks, one an endpoint of a cohort.
        decoded: The images.
    """

    data: dict[str, Any]
    tasks: list[Task]
    decoded: Decoded


def audit_cohorts(
    cohorts: Sequence[Cohort],
    endpoint: str | None = None,
    policy: str = "first",
    progress: Callable[[int, int], None] | None = None,
) -> CohortAudit:
    """Look for what is wrong with cohorts, in each and between them.

    Copies are searched among all images of the cohorts; an endpoint is described by the images
    that a benchmark would use.

    Args:
        cohorts: The cohorts, of different names.
        endpoint: The endpoint to describe; each when None.
        policy: Which images of a patient an endpoint is described by.
        progress: Called with the numbers of decoded images and of all to decode.

    Raises:
        UserError: When two cohorts have one name, the endpoint or policy is unknown, or no image
            of a cohort can be read.
    """
    check_policy(policy)
    names = [cohort.name for cohort in cohorts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"two manifests are of a cohort named '{twice}': change the name of one of them in "
            "the provenance file beside it"
        )
    tasks, warnings = _tasks(cohorts, endpoint, policy)
    decoded = audited_images(cohorts, progress)
    for cohort in cohorts:
        own = decoded.failures[cohort.name]
        if own and len(own) == len(cohort.table):
            raise UserError(
                f"none of the {len(own)} images of the cohort '{cohort.name}' can be read, such as "
                f"{next(iter(own))} ({next(iter(own.values()))}): check root and the files under it"
            )
    return CohortAudit(audit_decoded(cohorts, tasks, decoded, warnings), tasks, decoded)


def audit_decoded(
    cohorts: Sequence[Cohort],
    tasks: Sequence[Task],
    decoded: Decoded,
    warnings: Sequence[str] = (),
    *,
    near: bool = True,
) -> dict[str, Any]:
    """Audit cohorts whose images are decoded already.

    Args:
        cohorts: The cohorts, of different names.
        tasks: Tasks of theirs.
        decoded: Their images, or those that are used.
        warnings: What is known to be wrong so far.
        near: Whether copies that were cropped, scaled or windowed otherwise are searched.

    Returns:
        The data of :class:`CohortAudit`.
    """
    found: dict[str, Any] = {}
    for cohort in cohorts:
        store = decoded.stores[cohort.name]
        facts = image_facts(image_files(cohort), store)
        for task in tasks:
            if task.cohort.name == cohort.name:
                pixels = _pixel_digests(decoded, cohort.name)
                found[task.name] = audit(task, store.digests, pixels, facts)
    groups = _groups(decoded, near=near)
    alike = [own for cohort in cohorts for own in alike_patients(cohort)]
    found["cohorts"] = {cohort.name: _about(cohort, decoded) for cohort in cohorts}
    found["duplicates"] = groups
    found["near_duplicates_searched"] = near
    found["two_ids"] = [*two_ids(groups), *alike]
    found["warnings"] = [
        *warnings,
        *(() if near else (NOT_SEARCHED,)),
        *copy_warnings(groups),
        *_label_warnings(cohorts, groups),
        *_alike_warning(alike),
    ]
    found["pseudonyms"] = under_pseudonyms(found)[1]
    return found


def _tasks(
    cohorts: Sequence[Cohort], endpoint: str | None, policy: str
) -> tuple[list[Task], list[str]]:
    tasks, warnings = [], []
    for cohort in cohorts:
        for name in [endpoint] if endpoint else cohort.endpoints:
            try:
                tasks.append(select_task(cohort, name, policy))
            except UserError as error:
                if endpoint is not None and len(cohorts) == 1:
                    raise
                # An endpoint that cannot be predicted stops no search for copies.
                warnings.append(str(error))
    return tasks, warnings


def _pixel_digests(decoded: Decoded, cohort: str) -> dict[str, str]:
    return decoded.large(cohort).pixel_digests()


def _groups(decoded: Decoded, *, near: bool) -> list[dict[str, Any]]:
    images = decoded.images
    rows = list(zip(images.cohorts, images.image_ids, strict=True))
    digests = {name: _pixel_digests(decoded, name) for name in decoded.stores}
    return copy_groups(
        images,
        near_duplicates(images) if near else (),
        files=[decoded.stores[cohort].digests[image_id] for cohort, image_id in rows],
        pixels=[digests[cohort][image_id] for cohort, image_id in rows],
    )


def _about(cohort: Cohort, decoded: Decoded) -> dict[str, Any]:
    failures = decoded.failures.get(cohort.name, {})
    labels = {endpoint: labels_of(cohort, endpoint) for endpoint in cohort.endpoints}
    named = {*failures, *(name for own in labels.values() for name in own[AFTER_OUTCOME])}
    rows = zip(cohort.table["image_id"], cohort.table["patient_id"], strict=True)
    return {
        "images": len(cohort.table),
        "patients": int(cohort.table["patient_id"].nunique()),
        "provenance": asdict(cohort.provenance),
        "flow": [asdict(step) for step in participant_flow(cohort)],
        "missing": missing_values(cohort),
        "missing_by": missing_by_group(cohort),
        "labels": labels,
        "unreadable": {
            reason: sorted(name for name, own in failures.items() if own == reason)
            for reason in sorted(set(failures.values()))
        },
        "patient_of": {str(image): str(patient) for image, patient in rows if image in named},
    }


def two_ids(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the patients that are one person by their images, as ``cohort/patient``."""
    return [
        {"patients": names, "why": "images", "radiographs": count}
        for names, count in same_patients(groups)
    ]


def copy_warnings(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what must be said of copies, without names."""
    warnings = []
    between = [group for group in groups if group["across_cohorts"]]
    if between:
        count = sum(len(group["images"]) for group in between)
        warnings.append(
            f"{_are(len(between))} in more than one of these cohorts ({count} images): a "
            "model trained on one cohort and tested on the other is tested on its training images; "
            "leave them out of one (the audit's duplicates name them)"
        )
    within = [group for group in groups if group["across_patients"] and not group["across_cohorts"]]
    if within:
        warnings.append(
            f"{_are(len(within))} filed under several patients of a cohort: one patient "
            "under two ids, or one image filed twice, would be in training and test at once (the "
            "audit's duplicates name them)"
        )
    return warnings


def _are(radiographs: int) -> str:
    return "1 radiograph is" if radiographs == 1 else f"{radiographs} radiographs are"


def _label_warnings(cohorts: Sequence[Cohort], groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each endpoint of which copies have different labels."""
    warnings = []
    for endpoint in dict.fromkeys(name for cohort in cohorts for name in cohort.endpoints):
        labels = {
            (cohort.name, str(patient)): label
            for cohort in cohorts
            if endpoint in cohort.endpoints
            for patient, label in patient_labels(cohort.table, endpoint).dropna().items()
        }
        differing = sum(
            len({labels[key] for own in group["images"] if (key := _key(own)) in labels}) > 1
            for group in groups
        )
        if differing:
            warnings.append(
                f"{_are(differing)} filed under patients with and without the outcome "
                f"'{endpoint}': one of the two labels is wrong, or they mean different things (the "
                "audit's duplicates name them)"
            )
    return warnings


def _key(image: Mapping[str, str]) -> tuple[str, str]:
    return image["cohort"], image["patient_id"]


def _alike_warning(alike: Sequence[Mapping[str, Any]]) -> list[str]:
    if not alike:
        return []
    groups = "1 group" if len(alike) == 1 else f"{len(alike)} groups"
    return [
        f"{groups} of patients who agree in all that is known of them, more than chance explains: "
        "each may be one patient under several ids (the audit's two_ids names them)"
    ]
