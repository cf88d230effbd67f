"""Several cohorts as one, to train on some and test on another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from prognobench.cohorts import lungs
from prognobench.cohorts.assemble import UNKNOWN_SITE
from prognobench.cohorts.cohort import LUNG_MASK, Cohort, Drop, Provenance
from prognobench.errors import UserError

MEMBER_COLUMN = "dataset"
"""The column that says which cohort a patient came from."""


def combine(name: str, members: Sequence[Cohort]) -> Cohort:
    """Put cohorts together into one, with the endpoints that all of them have.

    Ids get the member's name in front, so that equal ids stay different patients; the column
    ``dataset`` holds the member's name; sites that are known get it in front as well.

    Args:
        name: Name of the whole.
        members: The cohorts, each with a name of its own.

    Raises:
        UserError: When names repeat, or no endpoint is in all of them.
    """
    names = [member.name for member in members]
    twice = next((own for own in names if names.count(own) > 1), None)
    if twice is not None:
        raise UserError(f"two combined cohorts are named '{twice}': give one another name")
    endpoints = {
        endpoint: words
        for endpoint, words in members[0].endpoints.items()
        if all(endpoint in member.endpoints for member in members)
    }
    scores = {
        endpoint: outcome
        for endpoint, outcome in members[0].others.items()
        if all(member.others.get(endpoint) == outcome for member in members)
    }
    if not endpoints and not scores:
        raise UserError(
            f"the cohorts {', '.join(names)} have no endpoint in common: combine others"
        )
    root = Path(os.path.commonpath([member.root.resolve() for member in members]))
    tables, drops = [], []
    for member in members:
        below = member.root.resolve().relative_to(root)
        own = member.table.copy()
        for column in ("image_id", "patient_id"):
            own[column] = member.name + "/" + own[column].astype(str)
        # A site that is not known stays so, under whatever name.
        own["site"] = own["site"].mask(own["site"] != UNKNOWN_SITE, member.name + "/" + own["site"])
        own["path"] = [(below / path).as_posix() for path in own["path"]]
        if LUNG_MASK in own:
            own[LUNG_MASK] = own[LUNG_MASK].map(partial(lungs.below, below), na_action="ignore")
        own[MEMBER_COLUMN] = member.name
        tables.append(own)
        drops += [_renamed(drop, member.name) for drop in member.drops]
    table = pd.concat(tables, ignore_index=True).sort_values("image_id", ignore_index=True)
    whole = Cohort(
        name=name,
        table=table,
        root=root,
        endpoints=endpoints,
        provenance=_provenance(members),
        drops=tuple(drops),
        source_images=sum(member.source_images for member in members),
        source_patients=sum(member.source_patients for member in members),
        others=scores,
    )
    told = [
        column
        for column in table.columns
        if any(member.tells_any_outcome(str(column)) for member in members)
        and not whole.tells_any_outcome(str(column))
    ]
    return replace(whole, table=table.drop(columns=told))


def _renamed(drop: Drop, name: str) -> Drop:
    ids = tuple(f"{name}/{image_id}" for image_id in drop.image_ids)
    return replace(drop, reason=f"{name}: {drop.reason}", image_ids=ids)


def _provenance(members: Sequence[Cohort]) -> Provenance:
    known = [member.provenance for member in members]

    def joined(field: str) -> str:
        values = dict.fromkeys(str(getattr(own, field)) for own in known)
        return "; ".join(value for value in values if value)

    return Provenance(
        **{
            field: joined(field)
            for field in ("source", "title", "version", "licence", "citation", "url", "access")
        }
    )
