"""Which images and patients an audit found something about, in lines for people to read.

The terminal names them by the ids of the manifest. The report is passed on, so there they have
pseudonyms: numbers in the order of these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Namer = Callable[[str, str], str]
"""From a cohort and an id within it to the name to be shown."""


@dataclass(frozen=True)
class Concerned:
    """Who is concerned by one finding.

    Attributes:
        title: The finding.
        count: How many images, patients or groups of them it concerns.
        lines: One a patient, with the images, or one a group.
    """

    title: str
    count: int
    lines: tuple[str, ...]


def concerned(found: Mapping[str, Any], patient: Namer, image: Namer) -> list[Concerned]:
    """Return who is concerned by each finding that concerns anybody.

    Args:
        found: The data of :class:`prognobench.audit.cohorts.CohortAudit`.
        patient: How patients are named.
        image: How images are named.
    """
    cohorts: Mapping[str, Any] = found.get("cohorts", {})
    lists: list[Concerned] = []

    def add(title: str, whom: Sequence[Any], lines: Iterator[str]) -> None:
        if whom:
            lists.append(Concerned(title, len(whom), tuple(lines)))

    for name, about in cohorts.items():
        of = about.get("patient_of", {})
        for reason, images in about.get("unreadable", {}).items():
            lines = _by_patient(name, images, of, patient, image)
            add(f"{name}: images that cannot be read ({reason})", images, lines)
        for endpoint, labels in about.get("labels", {}).items():
            patients, late = labels["contradictory_patient_ids"], labels["after_outcome_image_ids"]
            title = f"{name}: patients with contradictory labels of {endpoint}"
            add(title, patients, (patient(name, own) for own in patients))
            lines = _by_patient(name, late, of, patient, image)
            add(f"{name}: images after the outcome {endpoint}", late, lines)
    copies = found.get("duplicates", ())
    add("copies of one radiograph", copies, (_copy(own, patient, image) for own in copies))
    twice = found.get("two_ids", ())
    add(
        "one patient under two ids?",
        twice,
        (_two_ids(own, patient, list(cohorts)) for own in twice),
    )
    return lists


def patient_as_is(cohort: str, patient_id: str) -> str:
    """Name a patient by the id of the manifest."""
    del cohort
    return f"patient {patient_id}"


def image_as_is(cohort: str, image_id: str) -> str:
    """Name an image by the id of the manifest."""
    del cohort
    return image_id


def under_pseudonyms(
    found: Mapping[str, Any],
) -> tuple[list[Concerned], dict[str, dict[str, dict[str, str]]]]:
    """Return who is concerned under pseudonyms, and whom these mean.

    Args:
        found: The data of :class:`prognobench.audit.cohorts.CohortAudit`.

    Returns:
        The findings, and by ``patients`` and ``images``, by pseudonym such as ``image 12``:
        ``cohort`` and ``id``.
    """
    patients, images = _Numbers("patient"), _Numbers("image")
    lists = concerned(found, patients, images)
    return lists, {"patients": patients.meant(), "images": images.meant()}


class _Numbers:
    """Gives whom it is asked for the next number, or the one it gave before."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._given: dict[tuple[str, str], str] = {}

    def __call__(self, cohort: str, name: str) -> str:
        return self._given.setdefault((cohort, name), f"{self._word} {len(self._given) + 1}")

    def meant(self) -> dict[str, dict[str, str]]:
        return {
            pseudonym: {"cohort": cohort, "id": name}
            for (cohort, name), pseudonym in self._given.items()
        }


def _by_patient(
    cohort: str, images: list[str], of: Mapping[str, str], patient: Namer, image: Namer
) -> Iterator[str]:
    """Give a line a patient, with the images."""
    listed: dict[str, list[str]] = {}
    for own in images:
        listed.setdefault(of.get(own, "unknown"), []).append(own)
    for who in sorted(listed):
        name = patient(cohort, who)
        yield f"{name}: {', '.join(image(cohort, own) for own in listed[who])}"


def _copy(group: Mapping[str, Any], patient: Namer, image: Namer) -> str:
    names = [
        f"{image(own['cohort'], own['image_id'])} of {patient(own['cohort'], own['patient_id'])} "
        f"({own['cohort']})"
        for own in group["images"]
    ]
    kinds = {pair["compared"] for pair in group["pairs"]}
    lowest = min(pair["correlation"] for pair in group["pairs"])
    how = f"correlation {lowest:.2f}" if "registration" in kinds else "equal " + kinds.pop()
    return f"{', '.join(names)}: {how}"


def _two_ids(own: Mapping[str, Any], patient: Namer, cohorts: list[str]) -> str:
    names = []
    for name in own["patients"]:
        # Names of cohorts may have a slash themselves.
        inside = [cohort for cohort in cohorts if name.startswith(f"{cohort}/")]
        cohort = max(inside, key=len, default=name.partition("/")[0])
        names.append(f"{patient(cohort, name.removeprefix(f'{cohort}/'))} ({cohort})")
    if own["why"] == "facts":
        return f"{', '.join(names)} agree in {', '.join(own['facts'])}"
    shared = own["radiographs"]
    return f"{', '.join(names)} share {shared} radiograph{'s' * (shared > 1)}"
