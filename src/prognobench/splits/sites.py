"""Leave one site out: every site is tested by models that never saw it.

A patient whose images come from several sites belongs to none of them: images of the held-out site
would be trained on, or images of a site that was trained on would be tested.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from prognobench.errors import UserError
from prognobench.splits.cross_validation import divide_validation
from prognobench.splits.split import Split


def patients_of_several_sites(images: pd.DataFrame) -> frozenset[str]:
    """Return the patients whose images come from several sites; one not known counts as a site.

    Args:
        images: One row an image, with at least ``patient_id`` and ``site``.
    """
    counts = images.groupby("patient_id")["site"].nunique(dropna=False)
    return frozenset(counts.index[counts > 1].astype(str))


def leave_one_site_out_splits(
    targets: Mapping[str, int],
    sites: Mapping[str, str],
    validation_fraction: float,
    split_seed: int,
    several_sites: Collection[str] = (),
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
        several_sites: Patients with images from several sites, who are left out.

    Raises:
        UserError: When a patient has no site, there are fewer than two sites, one has no patient
            with images from it alone, or the other sites of one cannot hold both classes.
    """
    own = {patient for patient in targets if patient not in several_sites}
    without = [patient for patient in own if not sites.get(patient)]
    if without:
        raise UserError(
            f"leave_one_site_out: {len(without)} of {len(targets)} patients have no site: "
            "fill the column 'site', or leave this regime out"
        )
    names = sorted({sites[patient] for patient in targets if sites.get(patient)})
    if len(names) < 2:
        raise UserError(
            f"leave_one_site_out: the cohort has {len(names)} site, at least 2 are needed: "
            "leave this regime out"
        )
    alone = {sites[patient] for patient in own}
    if shared := [name for name in names if name not in alone]:
        raise UserError(
            f"leave_one_site_out: the site '{shared[0]}' has no patient without images from other "
            "sites: take one image of each patient by the policy first, or leave this regime out"
        )
    splits = []
    for number, name in enumerate(names):
        test = sorted(patient for patient in own if sites[patient] == name)
        rest = sorted(patient for patient in own if sites[patient] != name)
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
