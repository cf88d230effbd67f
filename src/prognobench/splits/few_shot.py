"""Few-shot episodes: K training patients a class, nested draws, the test fold untouched."""

from __future__ import annotations

from collections.abc import Sequence

from prognobench.randomness import generator
from prognobench.splits.cross_validation import make_folds
from prognobench.splits.split import Split


def few_shot_splits(
    targets: dict[str, int],
    shots: Sequence[int],
    episodes: int,
    folds: int,
    split_seed: int,
) -> list[Split]:
    """Return the splits of the regime ``few_shot``: one a shot size and episode.

    Episode ``e`` is tested on the whole test fold ``e mod folds`` of the same division that
    ``full_data`` uses, at its natural prevalence, and draws its K patients a class from the
    rest. Within an episode the draws are nested (K = 2 lies within K = 4), and they are the same
    for every candidate. There is no validation part: one larger than the training part would
    not be few-shot, so training takes a fixed number of steps instead.

    Where the smaller class outside some test fold has fewer than K patients, every episode of
    that K is returned as infeasible, never filled up with repetitions.

    Args:
        targets: Target (0 or 1) of every patient.
        shots: Values of K, patients a class.
        episodes: Number of draws for each K.
        folds: Number of folds of the division that gives the test parts.
        split_seed: Seed of the division and the draws.
    """
    division = make_folds(targets, folds, split_seed)
    smallest = min(
        sum(targets[patient] == label for patient in fold.rest)
        for fold in division
        for label in (0, 1)
    )
    splits = []
    for episode in range(episodes):
        fold = division[episode % folds]
        queues = {}
        for label in (0, 1):
            members = [patient for patient in fold.rest if targets[patient] == label]
            random = generator("few_shot", folds, split_seed, episode, label)
            queues[label] = [members[index] for index in random.permutation(len(members))]
        for count in shots:
            infeasible = None
            parts: dict[str, str] = {}
            if count > smallest:
                infeasible = (
                    f"{count} shots need {count} patients of each class outside the test fold, "
                    f"the smaller class has {smallest}"
                )
            else:
                chosen = [patient for queue in queues.values() for patient in queue[:count]]
                parts = dict.fromkeys(chosen, "train") | dict.fromkeys(fold.test, "test")
            splits.append(
                Split(
                    name=f"few_shot-shots{count}-episode{episode}",
                    regime="few_shot",
                    parts=parts,
                    fold=fold.number,
                    episode=episode,
                    shots=count,
                    prevalence=fold.prevalence,
                    infeasible=infeasible,
                )
            )
    return splits
