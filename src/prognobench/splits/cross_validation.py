"""Stratified cross-validation over patients, with an inner validation part."""

from __future__ import annotations

from dataclasses import dataclass

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
        prevalence: Share of events among ``rest``.
    """

    number: int
    test: list[str]
    rest: list[str]
    prevalence: float


def make_folds(targets: dict[str, int], folds: int, split_seed: int, repeat: int = 0) -> list[Fold]:
    """Divide patients into stratified test folds.

    Splitting is at patient level (one row a patient), so that images of a patient can never be
    on both sides. The folds depend on the patients, their targets, ``split_seed`` and
    ``repeat``, and on nothing else: every regime, backbone and strategy meets the same ones.

    Args:
        targets: Target (0 or 1) of every patient.
        folds: Number of folds, at least 2.
        split_seed: Seed of the division.
        repeat: Number of the repetition.

    Raises:
        UserError: When a class has fewer patients than there are folds.
    """
    patients = sorted(targets)
    labels = np.array([targets[patient] for patient in patients])
    minority = int(min(labels.sum(), len(labels) - labels.sum()))
    if minority < folds:
        raise UserError(
            f"folds: {folds} folds need at least {folds} patients of each class, the smaller "
            f"class has {minority}: use fewer folds"
        )
    seed = derived_seed("folds", folds, split_seed, repeat) % _SEED_LIMIT
    divider = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    made = []
    for number, (rest, test) in enumerate(divider.split(patients, labels)):
        made.append(
            Fold(
                number,
                [patients[index] for index in test],
                [patients[index] for index in rest],
                float(labels[rest].mean()),
            )
        )
    return made


def full_data_splits(
    targets: dict[str, int],
    folds: int,
    repeats: int,
    validation_fraction: float,
    split_seed: int,
) -> list[Split]:
    """Return the splits of the regime ``full_data``: one a fold and repetition.

    Args:
        targets: Target (0 or 1) of every patient.
        folds: Number of folds.
        repeats: How often the whole cross-validation is repeated with another division.
        validation_fraction: Share of the patients outside the test fold that validate, in
            (0, 1), stratified by target.
        split_seed: Seed of all divisions.
    """
    splits = []
    for repeat in range(repeats):
        for fold in make_folds(targets, folds, split_seed, repeat):
            labels = [targets[patient] for patient in fold.rest]
            seed = derived_seed("validation", folds, split_seed, repeat, fold.number) % _SEED_LIMIT
            try:
                train, val = train_test_split(
                    fold.rest, test_size=validation_fraction, stratify=labels, random_state=seed
                )
            except ValueError as error:
                raise UserError(
                    f"validation_fraction: {validation_fraction} of {len(labels)} patients with "
                    f"{sum(labels)} events cannot hold both classes: use fewer folds or a "
                    "larger fraction"
                ) from error
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
