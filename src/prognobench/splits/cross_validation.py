"""Stratified cross-validation over patients, with an inner validation part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from prognobench.errors import UserError
from prognobench.randomness import derived_seed
from prognobench.splits.split import Split

_SEED_LIMIT = 2**32  # scikit-learn takes seeds of 32 bits


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation, before its inner part is divided.

    Attributes:
        number: Its number, from 0.
        test: The patients tested.
        rest: All other patients.
        prevalence: Share of events among ``rest``; of bands of scores, of those above the lowest.
    """

    number: int
    test: list[str]
    rest: list[str]
    prevalence: float


def make_folds(
    targets: dict[str, int],
    folds: int,
    split_seed: int,
    repeat: int = 0,
    sites: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Divide patients into stratified test folds.

    Splitting is at patient level (one row a patient), so that images of a patient can never be
    on both sides. The folds depend on the patients, their targets, ``split_seed`` and
    ``repeat``, and on nothing else: every regime, backbone and strategy meets the same ones.

    Args:
        targets: Class of every patient: 0 or 1, or the number of a band of scores.
        folds: Number of folds, at least 2.
        split_seed: Seed of the division.
        repeat: Number of the repetition.
        sites: Site of every patient, where folds shall be stratified by site as well. Within an
            outcome, sites with fewer patients than folds are put together.

    Raises:
        UserError: When a class has fewer patients than there are folds.
    """
    patients = sorted(targets)
    labels = np.array([targets[patient] for patient in patients])
    minority = int(np.unique(labels, return_counts=True)[1].min())
    if minority < folds:
        raise UserError(
            f"folds: {folds} folds need at least {folds} patients of each class, the smaller "
            f"class has {minority}: use fewer folds"
        )
    seed = derived_seed("folds", folds, split_seed, repeat) % _SEED_LIMIT
    divider = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    made = []
    strata = labels if sites is None else _strata(patients, targets, sites, folds)
    for number, (rest, test) in enumerate(divider.split(patients, strata)):
        made.append(
            Fold(
                number,
                [patients[index] for index in test],
                [patients[index] for index in rest],
                float((labels[rest] > 0).mean()),
            )
        )
    return made


def _strata(
    patients: Sequence[str], targets: Mapping[str, int], sites: Mapping[str, str], folds: int
) -> list[str]:
    """Return outcome and site of each patient as one label, rare ones put together."""
    names = [f"{targets[patient]} {sites.get(patient, '')}" for patient in patients]
    counts = Counter(names)
    # A class is told by the first letter: there are fewer than ten.
    together = [name if counts[name] >= folds else name[0] for name in names]
    left = Counter(together)
    largest = {
        outcome: max((n for n in left if n[0] == outcome), key=lambda n: (left[n], n))
        for outcome in {name[0] for name in together}
    }
    # What was put together can still be too few to be divided: it joins the largest.
    return [name if left[name] >= folds else largest[name[0]] for name in together]


def divide_validation(
    targets: Mapping[str, int],
    patients: Sequence[str],
    validation_fraction: float,
    origin: tuple[Any, ...],
) -> tuple[list[str], list[str]]:
    """Divide patients into a training and a validation part, stratified by target.

    Args:
        targets: Target (0 or 1) of every patient.
        patients: The patients outside the test part.
        validation_fraction: Share of them that validates, in (0, 1).
        origin: What the random division is derived from.

    Raises:
        UserError: When a part cannot hold both classes.
    """
    labels = [targets[patient] for patient in patients]
    try:
        train, val = train_test_split(
            list(patients),
            test_size=validation_fraction,
            stratify=labels,
            random_state=derived_seed(*origin) % _SEED_LIMIT,
        )
    except ValueError as error:
        events = sum(label > 0 for label in labels)
        raise UserError(
            f"validation_fraction: {validation_fraction} of {len(labels)} patients with "
            f"{events} events cannot hold both classes: use a larger fraction, or fewer folds"
        ) from error
    return train, val


def full_data_splits(  # noqa: PLR0917  the keys of the regime
    targets: dict[str, int],
    folds: int,
    repeats: int,
    validation_fraction: float,
    split_seed: int,
    sites: Mapping[str, str] | None = None,
) -> list[Split]:
    """Return the splits of the regime ``full_data``: one a fold and repetition.

    Args:
        targets: Target (0 or 1) of every patient.
        folds: Number of folds.
        repeats: How often the whole cross-validation is repeated with another division.
        validation_fraction: Share of the patients outside the test fold that validate, in
            (0, 1), stratified by target.
        split_seed: Seed of all divisions.
        sites: Site of every patient, where test folds shall be stratified by site as well.
    """
    splits = []
    for repeat in range(repeats):
        for fold in make_folds(targets, folds, split_seed, repeat, sites):
            origin = ("validation", folds, split_seed, repeat, fold.number)
            train, val = divide_validation(targets, fold.rest, validation_fraction, origin)
            parts = dict.fromkeys(train, "train")
            parts |= dict.fromkeys(val, "val")
            parts |= dict.fromkeys(fold.test, "test")
            splits.append(
                Split(
                    name=f"full_data-repeat{repeat}-fold{fold.number}",
                    regime="full_data",
                    parts=parts,
                    fold=fold.number,
                    repeat=repeat,
                    prevalence=fold.prevalence,
                )
            )
    return splits
