"""A fixed split, from a column of the cohort: who trains and who is tested was decided before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from prognobench.errors import UserError
from prognobench.splits.cross_validation import divide_validation
from prognobench.splits.split import PARTS, Split


def fixed_splits(  # noqa: PLR0917  the parts of one question
    targets: Mapping[str, int],
    column: str,
    values: Mapping[str, str],
    asked: Mapping[str, Sequence[str]],
    validation_fraction: float,
    split_seed: int,
    left_out: Collection[str] = (),
) -> list[Split]:
    """Return the one split of the regime ``fixed_split``.

    A patient whose value stands for no part is left out. Where no value stands for validation,
    a share of the training patients validates, stratified by target.

    Args:
        targets: Target (0 or 1) of every patient.
        column: Name of the column, for messages.
        values: Its value for every patient.
        asked: For each of ``train``, ``val`` and ``test`` the values that stand for it.
        validation_fraction: Share of the training patients that validates, in (0, 1), where
            ``asked["val"]`` is empty.
        split_seed: Seed of that division.
        left_out: Patients of whom one value does not say all.

    Raises:
        UserError: When a value asked for is not in the column, or is asked for twice.
    """
    present = sorted({values.get(patient, "") for patient in targets})
    part_of: dict[str, str] = {}
    for part in PARTS:
        for value in asked[part]:
            if value not in present:
                shown = ", ".join(repr(own) for own in present[:10])
                raise UserError(
                    f"fixed_split: the column '{column}' has no value '{value}' ({part}), its "
                    f"values are {shown}"
                )
            if part_of.setdefault(value, part) != part:
                raise UserError(
                    f"fixed_split: the value '{value}' of the column '{column}' is named for "
                    f"{part_of[value]} and for {part}: name it for one of them"
                )
    parts = {
        patient: part_of[values[patient]]
        for patient in sorted(targets)
        if values.get(patient) in part_of and patient not in left_out
    }
    if not asked["val"]:
        rest = [patient for patient, part in parts.items() if part == "train"]
        origin = ("fixed_split", split_seed)
        _, val = divide_validation(targets, rest, validation_fraction, origin)
        parts |= dict.fromkeys(val, "val")
    seen = [patient for patient, part in parts.items() if part != "test"]
    return [
        Split(
            name="fixed_split",
            regime="fixed_split",
            parts=parts,
            fold=0,
            prevalence=sum(targets[patient] > 0 for patient in seen) / max(len(seen), 1),
        )
    ]
