"""One split: which patients train, validate and are tested; how it is checked, written and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prognobench.errors import UserError
from prognobench.files import atomic_path, file_name, identity

PARTS = ("train", "val", "test")
"""The parts a patient can belong to; a patient in none of them is left out of the split."""


@dataclass(frozen=True)
class Split:
    """An assignment of patients to parts.

    Attributes:
        name: Its name within a task, such as ``full_data-repeat0-fold3``.
        regime: The regime that asked for it, such as ``full_data`` or ``few_shot``.
        parts: Part of each patient, by ``patient_id``; patients left out do not appear.
        fold: Number of the test fold.
        repeat: Number of the repetition of the cross-validation.
        episode: Number of the few-shot draw; None in other regimes.
        shots: Training patients a class; None in other regimes.
        prevalence: Share of events among all patients outside the test part, in (0, 1). The
            share in the training part differs from it where the draw was balanced.
        infeasible: Why the split cannot be made (then ``parts`` is empty); None when it can.
        level: Where a regime varies the training part: the share of patients kept
            (``train_size``) or the share of events (``imbalance``); None in other regimes.
        held_out: The site that is tested; None in other regimes.
        applies: Whether the regime makes sense for the kind of the outcome; where it does not,
            ``infeasible`` says why.
    """

    name: str
    regime: str
    parts: dict[str, str]
    fold: int
    prevalence: float
    repeat: int = 0
    episode: int | None = None
    shots: int | None = None
    infeasible: str | None = None
    level: float | None = None
    held_out: str | None = None
    applies: bool = True

    def patients(self, part: str) -> list[str]:
        """Return the patients of a part, sorted."""
        return sorted(patient for patient, own in self.parts.items() if own == part)

    def identity(self) -> str:
        """Return a hash of who is in which part: equal assignments have equal hashes."""
        return identity({"parts": self.parts, "infeasible": self.infeasible})


def check_split(split: Split, targets: dict[str, int]) -> None:
    """Raise when a split could mislead: a part without patients or without one of the classes.

    That patients never cross parts holds by construction here (a patient has one part) and is
    asserted again on the written file by :func:`read_split`.

    Args:
        split: The split.
        targets: Class (0 or 1, or the band of scores) of every patient of the task.

    Raises:
        UserError: When the test or training part is empty or of one class, or the validation
            part, where there is one, is of one class.
    """
    strangers = set(split.parts) - set(targets)
    if strangers:
        raise UserError(f"the split {split.name} names {len(strangers)} patients not in the task")
    for part in PARTS:
        members = split.patients(part)
        if part == "val" and not members:
            continue
        advice = "use fewer folds"
        if split.regime == "fixed_split":
            advice = "name other values of the column"
        elif part == "val":
            advice = "use a larger validation_fraction"
        events = sum(targets[patient] for patient in members)
        if part == "test" and members and split.held_out is not None:
            continue  # a site has the patients it has
        classes = {targets[patient] for patient in members}
        if len(classes) < 2 and max(targets.values()) > 1:
            raise UserError(
                f"the {part} part of the split {split.name} has {len(members)} patients whose "
                f"scores are all of one band, at least two are needed: {advice}"
            )
        if len(classes) < 2:
            raise UserError(
                f"the {part} part of the split {split.name} has {events} events among "
                f"{len(members)} patients, both classes are needed: {advice}"
            )


def write_split(split: Split, folder: Path, task_name: str) -> Path:
    """Write a split to ``folder`` as ``<endpoint>-<name>.csv`` (patient_id, part), atomically.

    Args:
        split: The split; it must be feasible.
        folder: The ``splits`` folder of the output.
        task_name: Name of the task, put before the split's name.

    Returns:
        The file's path.
    """
    table = pd.DataFrame(sorted(split.parts.items()), columns=["patient_id", "part"])
    target = split_path(folder, task_name, split.name)
    with atomic_path(target) as temporary:
        table.to_csv(temporary, index=False)
    return target


def split_path(folder: Path, task_name: str, split_name: str) -> Path:
    """Return where a split of a task is written."""
    return folder / f"{file_name(task_name)}-{split_name}.csv"


def read_split(path: Path) -> dict[str, str]:
    """Read the parts of a written split.

    Args:
        path: A file that :func:`write_split` wrote, or one of the same form.

    Returns:
        Part of each patient.

    Raises:
        UserError: When a patient stands in it twice, or a part is not one of :data:`PARTS`.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != ["patient_id", "part"]:
        raise UserError(f"{path}: expected the columns patient_id and part")
    twice = table["patient_id"][table["patient_id"].duplicated()]
    if len(twice):
        raise UserError(f"{path}: patient {twice.iloc[0]} stands in it twice")
    unknown = set(table["part"]) - set(PARTS)
    if unknown:
        raise UserError(f"{path}: unknown part '{min(unknown)}', expected {', '.join(PARTS)}")
    return dict(zip(table["patient_id"], table["part"], strict=True))
