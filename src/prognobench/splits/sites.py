"""Leave one site out: every site is tested by models that never saw it."""

from __future__ import annotations

from collections.abc import Mapping

from prognobench.errors import UserError
from prognobench.splits.cross_validation import divide_validation
from prognobench.splits.split import Split


def leave_one_site_out_splits(
    targets: Mapping[str, int],
    sites: Mapping[str, str],
    validation_fraction: float,
    split_seed: int,
) -> list[Split]:
    """Return the splits of the regime ``leave_one_site_out``: one a site, which it tests.

    The other sites train and validate. A site whose patients all have one outcome is tested all
    the same, because its predictions count wherever sites are pooled; metrics that need both
    outcomes are empty for it, with the reason.

    Args:
        targets: Target (0 or 1) of every patient.
        sites: Site of every patient.
        validation_fraction: Share of the patients of the other sites that validate, in (0, 1),
            stratified by target.
        split_seed: Seed of the division into training and validation.

    Raises:
        UserError: When a patient has no site, there are fewer than two sites, or the other
            sites of one cannot hold both classes.
    """
    without = [patient for patient in targets if not sites.get(patient)]
    if without:
        raise UserError(
            f"leave_one_site_out: {len(without)} of {len(targets)} patients have no site: "
            "fill the column 'site', or leave this regime out"
        )
    names = sorted({sites[patient] for patient in targets})
    if len(names) < 2:
        raise UserError(
            f"leave_one_site_out: the cohort has {len(names)} site, at least 2 are needed: "
            "leave this regime out"
        )
    splits = []
    for number, name in enumerate(names):
        test = sorted(patient for patient in targets if sites[patient] == name)
        rest = sorted(patient for patient in targets if sites[patient] != name)
        train, val = divide_validation(
            targets, rest, validation_fraction, ("site", split_seed, name)
        )
        parts = dict.fromkeys(train, "train") | dict.fromkeys(val, "val")
        splits.append(
            Split(
                name=f"leave_one_site_out-{number}",
                regime="leave_one_site_out",
                parts=parts | dict.fromkeys(test, "test"),
                fold=number,
                prevalence=sum(targets[patient] > 0 for patient in rest) / len(rest),
                held_out=name,
            )
        )
    return splits
