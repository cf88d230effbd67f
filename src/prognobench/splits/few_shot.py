"""Few-shot episodes: K training patients a class, nested draws, the test fold untouched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from prognobench.errors import UserError
from prognobench.randomness import generator
from prognobench.splits.cross_validation import Fold, make_folds
from prognobench.splits.split import Split

_ANYWHERE = ""


def few_shot_splits(  # noqa: PLR0917  the keys of the regime
    targets: dict[str, int],
    shots: Sequence[int],
    episodes: int,
    folds: int,
    split_seed: int,
    sites: Mapping[str, str] | None = None,
    several_sites: Collection[str] = (),
) -> list[Split]:
    """Return the splits of the regime ``few_shot``: one a shot size and episode.

    Episode ``e`` is tested on the whole test fold ``e mod folds`` of the same division that
    ``full_data`` uses, at its natural prevalence, and draws its K patients a class from the
    rest. Within an episode the draws are nested (K = 2 lies within K = 4), and they are the same
    for every candidate. There is no validation part: one larger than the training part would
    not be few-shot, so training takes a fixed number of steps instead.

    Where the smaller class outside some test fold has fewer than K patients, every episode of
    that K is returned as infeasible, never filled up with repetitions.

    With ``sites`` all K patients of each class of an episode come from one site (the regime
    ``few_shot_one_site``). On each fold the sites take turns, beginning with another one than on
    the fold before; those take part that can fill the largest K that any site can fill, so that
    the sites are the same for every K and draws stay nested. Patients with images from several
    sites are tested, as those of all sites are, and never trained on.

    Args:
        targets: Class of every patient: 0 or 1, or the number of a band of scores.
        shots: Values of K, patients a class.
        episodes: Number of draws for each K.
        folds: Number of folds of the division that gives the test parts.
        split_seed: Seed of the division and the draws.
        sites: Site of every patient, where all of an episode shall come from one.
        several_sites: Patients with images from several sites.

    Raises:
        UserError: When ``sites`` lacks a patient's site, or no patient has images from one alone.
    """
    regime = "few_shot" if sites is None else "few_shot_one_site"
    site_of = dict.fromkeys(targets, _ANYWHERE)
    if sites is not None:
        site_of = {p: sites.get(p, "") for p in targets if p not in several_sites}
        if not all(site_of.values()):
            raise UserError(
                "few_shot: not every patient has a site: fill the column 'site', or leave one_site "
                "out"
            )
        if not site_of:
            raise UserError(
                "few_shot: every patient has images from several sites: take one image of each by "
                "the policy first, or leave one_site out"
            )
    division = make_folds(targets, folds, split_seed)
    classes = sorted(set(targets.values()))
    smallest = _smallest_classes(targets, site_of, division)
    possible = [count for count in shots if count <= max(smallest.values())]
    eligible = sorted(site for site, least in smallest.items() if least >= max(possible, default=0))
    splits = []
    for episode in range(episodes):
        fold = division[episode % folds]
        site = eligible[(episode // folds + fold.number) % len(eligible)]
        queues = {}
        for label in classes:
            members = [p for p in fold.rest if targets[p] == label and site_of.get(p) == site]
            random = generator(regime, folds, split_seed, episode, label)
            queues[label] = [members[index] for index in random.permutation(len(members))]
        for count in shots:
            infeasible = None
            parts: dict[str, str] = {}
            if count not in possible:
                where = "" if sites is None else " of one site"
                infeasible = (
                    f"{count} shots need {count} patients{where} of each class outside the test "
                    f"fold, the smaller class has {max(smallest.values())}"
                )
            else:
                chosen = [patient for queue in queues.values() for patient in queue[:count]]
                parts = dict.fromkeys(chosen, "train") | dict.fromkeys(fold.test, "test")
            splits.append(
                Split(
                    name=f"{regime}-shots{count}-episode{episode}",
                    regime=regime,
                    parts=parts,
                    fold=fold.number,
                    episode=episode,
                    shots=count,
                    prevalence=fold.prevalence,
                    infeasible=infeasible,
                )
            )
    return splits


def _smallest_classes(
    targets: Mapping[str, int], site_of: Mapping[str, str], division: Sequence[Fold]
) -> dict[str, int]:
    """Return, for each site, its smaller class outside the test fold that takes most of it."""
    return {
        site: min(
            sum(targets[p] == label and site_of.get(p) == site for p in fold.rest)
            for fold in division
            for label in set(targets.values())
        )
        for site in sorted(set(site_of.values()))
    }
