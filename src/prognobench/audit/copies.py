"""Radiographs that are there more than once, as groups that name their images and patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prognobench.audit.images import AuditedImages
from prognobench.audit.near_duplicates import NearDuplicate


def copy_groups(
    images: AuditedImages,
    near: Sequence[NearDuplicate],
    files: Sequence[str] | None = None,
    pixels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the radiographs that several images show.

    Args:
        images: The images.
        near: Pairs of them that were laid over each other.
        files: The digest of each image's file; equal ones are one group whatever ``near`` says.
        pixels: The digest of each image's pixels, likewise.

    Returns:
        One mapping a group, those across cohorts and patients first: ``images`` (``cohort``,
        ``patient_id``, ``image_id``), ``pairs`` (places in ``images``, what was ``compared``,
        ``correlation``, ``overlap``, ``scale``), ``across_cohorts`` and ``across_patients``.
    """
    pairs: dict[tuple[int, int], dict[str, Any]] = {}
    for pair in near:
        pairs[pair.first, pair.second] = {
            "compared": "registration",
            "correlation": pair.correlation,
            "overlap": pair.overlap,
            "scale": pair.scale,
        }
    for compared, digests in (("pixels", pixels), ("file", files)):
        for key in _equal(digests or ()):
            pairs[key] = {"compared": compared, "correlation": 1.0, "overlap": 1.0, "scale": 1.0}
    found = []
    for rows in _joined(pairs):
        places = {row: place for place, row in enumerate(rows)}
        members = [
            {
                "cohort": images.cohorts[row],
                "patient_id": images.patients[row],
                "image_id": images.image_ids[row],
            }
            for row in rows
        ]
        found.append(
            {
                "images": members,
                "pairs": [
                    {"first": places[first], "second": places[second], **about}
                    for (first, second), about in sorted(pairs.items())
                    if first in places
                ],
                "across_cohorts": len({own["cohort"] for own in members}) > 1,
                "across_patients": len({(own["cohort"], own["patient_id"]) for own in members}) > 1,
            }
        )
    return sorted(found, key=lambda own: (not own["across_cohorts"], not own["across_patients"]))


def same_patients(groups: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], int]]:
    """Return the patients that share radiographs, as ``cohort/patient``, and how many of them.

    Who shares one with the same other is the same as well.
    """
    shared = [
        sorted({f"{own['cohort']}/{own['patient_id']}" for own in g["images"]}) for g in groups
    ]
    numbers = {name: place for place, name in enumerate(sorted({n for own in shared for n in own}))}
    names = list(numbers)
    pairs = [(numbers[own[0]], numbers[other]) for own in shared for other in own[1:]]
    found = [[names[place] for place in places] for places in _joined(pairs)]
    return [(own, sum(set(other) <= set(own) for other in shared)) for own in found]


def _equal(digests: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Give equal ones as a chain of pairs."""
    last: dict[str, int] = {}
    for row, digest in enumerate(digests):
        if digest in last:
            yield last[digest], row
        last[digest] = row


def _joined(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return what pairs connect, each sorted."""
    leader: dict[int, int] = {}

    def lead(row: int) -> int:
        while leader.setdefault(row, row) != row:
            row = leader[row]
        return row

    for first, second in pairs:
        one, other = sorted((lead(first), lead(second)))
        leader[other] = one
    groups: dict[int, list[int]] = {}
    for row in sorted(leader):
        groups.setdefault(lead(row), []).append(row)
    return sorted(groups.values())
