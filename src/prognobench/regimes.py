"""The regimes: how much data, of what balance, and who is tested; from keys to splits.

To add a regime, add its keys here and the drawing of its splits to ``splits/``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from prognobench.cohorts.outcome_kinds import Kind
from prognobench.cohorts.tables import cell_text
from prognobench.errors import UserError, nearest
from prognobench.splits.cross_validation import full_data_splits
from prognobench.splits.few_shot import few_shot_splits
from prognobench.splits.fixed import fixed_splits
from prognobench.splits.sites import leave_one_site_out_splits
from prognobench.splits.split import PARTS, Split
from prognobench.splits.subsample import imbalance_splits, train_size_splits


class _Regime(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _no_value_twice(self) -> Self:
        for key in ("shots", "fractions", "event_rates"):
            values = getattr(self, key, ())
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: a value stands in it twice")
        return self


class _CrossValidation(_Regime):
    """Cross-validation, of which a regime may vary the training part.

    Attributes:
        folds: Number of test folds.
        repeats: How often the whole cross-validation is repeated with another division.
        validation_fraction: Share of the patients outside the test fold that validate.
        by_site: Whether folds are stratified by site besides the endpoint.
        split_seed: Seed of the divisions.
    """

    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=1, ge=1)
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    by_site: bool = False
    split_seed: int = 0


class FullDataSpec(_CrossValidation):
    """The regime ``full_data``: cross-validation with an inner validation part."""

    name: Literal["full_data"] = "full_data"


class LeaveOneSiteOutSpec(_Regime):
    """The regime ``leave_one_site_out``: each site is tested by models that never saw it.

    Patients with images from several sites are left out.

    Attributes:
        validation_fraction: Share of the patients of the other sites that validate.
        split_seed: Seed of the division into training and validation.
    """

    name: Literal["leave_one_site_out"] = "leave_one_site_out"
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0


class FixedSplitSpec(_Regime):
    """The regime ``fixed_split``: a column of the cohort says who trains and who is tested.

    Attributes:
        column: The column; ``dataset`` for the cohort's name where several are put together. By
            ``site``, patients with images from several sites are left out.
        train: Its values that train.
        val: Its values that validate; when empty, a share of the training patients does.
        test: Its values that are tested.
        validation_fraction: That share.
        split_seed: Seed of that division.
    """

    name: Literal["fixed_split"] = "fixed_split"
    column: str = "split"
    train: tuple[str, ...] = Field(default=("train",), min_length=1)
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = Field(default=("test",), min_length=1)
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0

    @field_validator("train", "val", "test", mode="before")
    @classmethod
    def _words(cls, values: Any) -> Any:
        """Take numbers, such as years, for the text that they are in the column."""
        if not isinstance(values, list | tuple):
            return values
        return [cell_text(own) if isinstance(own, int | float) else own for own in values]


class TrainSizeSpec(_CrossValidation):
    """The regime ``train_size``: learning curves over nested shares of the training patients.

    Attributes:
        fractions: Shares of the patients outside the test fold that are kept.
    """

    name: Literal["train_size"] = "train_size"
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.1, 0.25, 0.5, 1.0), min_length=1
    )


class ImbalanceSpec(_CrossValidation):
    """The regime ``imbalance``: other shares of events in training, the test fold untouched.

    Attributes:
        event_rates: Shares of events among the training patients.
        fixed: What is the same at every rate, the number of ``patients`` or of ``events``.
    """

    name: Literal["imbalance"] = "imbalance"
    event_rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.5, 0.25, 0.1, 0.05), min_length=1
    )
    fixed: Literal["patients", "events"] = "patients"


class FewShotSpec(_Regime):
    """The regime ``few_shot``: K training patients a class, tested on whole test folds.

    The classes are those with and without the event; for times, those whose event was seen and
    those whose was not; for scores, the bands that splits are stratified by.

    Attributes:
        shots: Values of K.
        episodes: Number of draws for each K.
        folds: Number of test folds; episode e is tested on fold ``e mod folds``.
        one_site: Whether all training patients of an episode come from one site.
        split_seed: Seed of the division and the draws.
    """

    name: Literal["few_shot"] = "few_shot"
    one_site: bool = False
    shots: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32), min_length=1
    )
    episodes: int = Field(default=20, ge=1)
    folds: int = Field(default=5, ge=2)
    split_seed: int = 0


RegimeSpec = Annotated[
    FullDataSpec
    | FewShotSpec
    | LeaveOneSiteOutSpec
    | FixedSplitSpec
    | TrainSizeSpec
    | ImbalanceSpec,
    Field(discriminator="name"),
]


def regime_label(regime: RegimeSpec) -> str:
    """Return what tells a regime from the others of a spec, as it stands in results."""
    match regime:
        case ImbalanceSpec():
            return f"imbalance_{regime.fixed}"
        case FewShotSpec(one_site=True):
            return "few_shot_one_site"
    return regime.name


REGIMES: dict[int | str, type[BaseModel]] = {
    "full_data": FullDataSpec,
    "few_shot": FewShotSpec,
    "leave_one_site_out": LeaveOneSiteOutSpec,
    "fixed_split": FixedSplitSpec,
    "train_size": TrainSizeSpec,
    "imbalance": ImbalanceSpec,
}
"""The keys of each regime, by its name in a spec."""


def make_splits(
    regime: RegimeSpec,
    targets: Mapping[str, int],
    columns: Mapping[str, Mapping[str, str]],
    kind: Kind = "binary",
    several_sites: Collection[str] = (),
) -> list[Split]:
    """Return every split that a regime asks of a task.

    Args:
        regime: The regime.
        targets: Class of every patient: 0 or 1, or the number of a band of scores.
        columns: What else is known of every patient, by column and patient: at least ``site``;
            an empty text where it is not known.
        kind: The kind of the outcome. ``imbalance`` is for binary ones.
        several_sites: Patients with images from several sites, whom regimes that divide by site
            leave out.

    Raises:
        UserError: When the task has too few patients of a class, or not the column asked for.
    """
    if kind != "binary" and isinstance(regime, ImbalanceSpec):
        return _not_applicable(regime, kind)
    return _drawn(regime, targets, columns, several_sites)


def site_note(asked: Sequence[RegimeSpec], several_sites: Collection[str]) -> str | None:
    """Say how many patients regimes leave out because their images come from several sites.

    Args:
        asked: The regimes.
        several_sites: Those patients.
    """
    told = []
    for regime in asked:
        match regime:
            case FewShotSpec(one_site=True):
                told.append(f"{regime_label(regime)} does not train on them")
            case LeaveOneSiteOutSpec() | FixedSplitSpec(column="site"):
                told.append(f"{regime_label(regime)} leaves them out")
    if not told or not several_sites:
        return None
    count = len(several_sites)
    return (
        f"{count} {'patients have' if count > 1 else 'patient has'} images from several sites, of "
        f"which one that is not known counts as one: {', '.join(told)}"
    )


def _drawn(
    regime: RegimeSpec,
    targets: Mapping[str, int],
    columns: Mapping[str, Mapping[str, str]],
    several: Collection[str],
) -> list[Split]:
    own, seed, sites = dict(targets), regime.split_seed, columns["site"]
    match regime:
        case FewShotSpec():
            where = sites if regime.one_site else None
            size = regime.shots, regime.episodes, regime.folds
            return few_shot_splits(own, *size, seed, where, several)
        case LeaveOneSiteOutSpec():
            fraction = regime.validation_fraction
            return leave_one_site_out_splits(own, sites, fraction, seed, several)
        case FixedSplitSpec():
            if regime.column not in columns:
                raise UserError(
                    f"fixed_split: the cohort has no column '{regime.column}': "
                    f"{nearest(regime.column, columns)}"
                )
            asked = dict(zip(PARTS, (regime.train, regime.val, regime.test), strict=True))
            values, fraction = columns[regime.column], regime.validation_fraction
            left_out = several if regime.column == "site" else ()
            return fixed_splits(own, regime.column, values, asked, fraction, seed, left_out)
    base = full_data_splits(
        own,
        regime.folds,
        regime.repeats,
        regime.validation_fraction,
        seed,
        sites if regime.by_site else None,
    )
    match regime:
        case TrainSizeSpec():
            return train_size_splits(base, own, regime.fractions, seed)
        case ImbalanceSpec():
            return imbalance_splits(base, own, regime.event_rates, regime.fixed, seed)
    return base


_WITHOUT_SHARES = {
    "ordinal": "a score has no events",
    "time_to_event": "how many events are seen depends on how long patients are followed up",
}


def _not_applicable(regime: ImbalanceSpec, kind: Kind) -> list[Split]:
    """Return a split in name for each share of events."""
    label = regime_label(regime)
    blank = Split(
        label,
        label,
        {},
        fold=0,
        prevalence=0.5,
        infeasible=f"imbalance varies the share of events, and {_WITHOUT_SHARES[kind]}",
        applies=False,
    )
    return [
        replace(blank, name=f"{label}-{100 * rate:g}pc", level=rate) for rate in regime.event_rates
    ]
