"""What a benchmark file may say: the one place where defaults stand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prognobench.backbones.choice import BackboneSpec, FeatureSpec
from prognobench.cohorts.load import CohortSpec
from prognobench.errors import UserError, nearest
from prognobench.evaluation.controls import CONTROLS
from prognobench.evaluation.metrics import get_headline
from prognobench.images.options import ImagesSpec
from prognobench.plain_yaml import read_data
from prognobench.regimes import REGIMES, FullDataSpec, RegimeSpec, regime_label
from prognobench.strategies.strategy import PEFT_PREFIX, Strategy, get_strategy
from prognobench.training.presets import fill_in
from prognobench.training.recipe import Recipe

_Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EvaluationSpec(_Part):
    """How results are summed up; changing it costs no training.

    Attributes:
        metric: The headline metric, by which the leaderboard ranks; outcomes of another kind
            are ranked by ``mcc`` (binary), ``quadratic_kappa`` (ordinal) or ``c_index`` (times).
        replicates: Bootstrap replicates.
        confidence: Confidence level of the intervals, in (0, 1).
    """

    metric: str = "mcc"
    replicates: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        try:
            return get_headline(value).name
        except UserError as error:
            raise ValueError(str(error)) from error


class ReportSpec(_Part):
    """What the report shows; no part of a run's identity.

    Attributes:
        images: Whether pictures of patients are in it.
        saliency: Whether it maps where the best candidates looked: trains a fold of each again.
    """

    images: bool = True
    saliency: bool = True


class AuditSpec(_Part):
    """What is looked for in the cohorts before training; no part of a run's identity.

    Attributes:
        near_duplicates: Whether copies that were cropped, scaled or windowed otherwise are searched
            (150 ms an image on one core); equal files and pixels are always found.
    """

    near_duplicates: bool = True


@dataclass(frozen=True)
class Variant:
    """A candidate that a spec asks for.

    Attributes:
        label: Its name in results.
        grid: Its options, once for each learning rate to choose from.
    """

    label: str
    grid: tuple[dict[str, Any], ...]


class StrategySpec(BaseModel):
    """A strategy with the options the spec gives; a list of values asks for each of them.

    Attributes:
        name: Name of the strategy. ``peft: DORA`` in its place is peft's method DORA.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @model_validator(mode="before")
    @classmethod
    def _method_of_peft(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "peft" in data and "name" not in data:
            others = {key: value for key, value in data.items() if key != "peft"}
            return {"name": f"{PEFT_PREFIX}{str(data['peft']).upper()}", **others}
        return data

    def strategy(self) -> Strategy:
        """Return the strategy of that name."""
        return get_strategy(self.name)

    def variants(self) -> list[Variant]:
        """Return the candidates that are asked for: lists are expanded, all with all.

        Learning rates (``lr``) make no candidates: they are a grid, of which each candidate
        takes on each split the one that validates best. An option that is itself a list (``C``
        of ``linear``) is not expanded. The label names the options that were expanded, such as
        ``lora r=8``.
        """
        given = dict(self.model_extra or {})
        rates = given.pop("lr", None)
        several = rates if isinstance(rates, list) else [rates]
        grid = [{"lr": lr} for lr in several] if rates is not None else [{}]
        fields = self.strategy().options.model_fields
        asked = {
            key: value
            for key, value in given.items()
            if isinstance(value, list) and key in fields and not _takes_list(fields[key].annotation)
        }
        made = []
        for values in itertools.product(*asked.values()):
            chosen = dict(zip(asked, values, strict=True))
            label = " ".join([self.name, *(f"{key}={value}" for key, value in chosen.items())])
            made.append(Variant(label, tuple({**given, **chosen, **rate} for rate in grid)))
        return made

    def is_solved(self) -> bool:
        """Return whether it is a linear probe that is solved for and not trained, be it once."""
        rates = (self.model_extra or {}).get("lr")
        return self.name == "linear" and None in (rates if isinstance(rates, list) else [rates])

    def check(self) -> None:
        """Raise :class:`UserError` when an option is unknown or out of range."""
        strategy = self.strategy()
        for key, values in (self.model_extra or {}).items():
            if isinstance(values, list) and len({*map(repr, values)}) < max(1, len(values)):
                raise UserError(
                    f"strategies: {key} of {self.name} is empty or names a value twice: mend it"
                )
        for options in [one for variant in self.variants() for one in variant.grid]:
            try:
                strategy.resolve(options, "vit")
            except ValidationError as error:
                first = error.errors()[0]
                if first["type"] == "value_error":
                    cause = first["ctx"]["error"]
                    raise UserError(f"strategies: {self.name}: {cause}") from error
                key = str(first["loc"][0])
                if first["type"] == "extra_forbidden":
                    known = nearest(key, strategy.options.model_fields)
                    raise UserError(
                        f"strategies: {self.name} has no option '{key}': {known}"
                    ) from error
                message = first["msg"][0].lower() + first["msg"][1:]
                raise UserError(
                    f"strategies: {key} of {self.name}: {message}, got {first['input']!r}"
                ) from error


def _takes_list(annotation: Any) -> bool:
    if get_origin(annotation) in (tuple, list):
        return True
    return get_origin(annotation) in (Union, UnionType) and any(
        map(_takes_list, get_args(annotation))
    )


class TaskSpec(_Part):
    """Tasks on one cohort, where a benchmark has several cohorts.

    Attributes:
        cohort: The cohort.
        endpoints: Outcomes to predict.
        regimes: The regimes of these tasks; those of the benchmark by default.
        batch_size: Images a step on this cohort; that of the recipe by default.
    """

    cohort: CohortSpec
    endpoints: tuple[str, ...] = Field(min_length=1)
    regimes: tuple[RegimeSpec, ...] = ()
    batch_size: int | None = Field(default=None, ge=2)

    @field_validator("regimes", mode="before")
    @classmethod
    def _names_become_mappings(cls, value: Any) -> Any:
        return _as_mappings(value)


def _as_mappings(value: Any) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return [{"name": item} if isinstance(item, str) else item for item in value]


class BenchmarkSpec(_Part):
    """A whole benchmark.

    Attributes:
        name: Its name, shown in the report.
        cohort: The cohort.
        endpoints: Outcomes to predict.
        tasks: Instead of these two, the tasks of several cohorts.
        backbones: Backbones, by name or with options.
        strategies: Strategies, by name or with options.
        regimes: How much data, of what balance.
        seeds: Seeds of training; splits do not depend on them.
        images: How images become what the models see.
        recipe: How training goes.
        evaluation: How results are summed up.
        report: What the report shows.
        audit: What is looked for in the cohorts.
        controls: The controls that every table holds.
        save_models: Whether what each run trained is kept, in ``models/<run>`` of the output
            folder; no part of a run's identity.
    """

    name: str = Field(min_length=1)
    cohort: CohortSpec | None = None
    endpoints: tuple[str, ...] = ()
    tasks: tuple[TaskSpec, ...] = ()
    backbones: tuple[BackboneSpec, ...] = Field(min_length=1)
    strategies: tuple[StrategySpec, ...] = Field(min_length=1)
    regimes: tuple[RegimeSpec, ...] = Field(default=(FullDataSpec(),), min_length=1)
    seeds: tuple[_Seed, ...] = Field(default=(42,), min_length=1)
    images: ImagesSpec = ImagesSpec()
    recipe: Recipe = Recipe()
    evaluation: EvaluationSpec = EvaluationSpec()
    report: ReportSpec = ReportSpec()
    audit: AuditSpec = AuditSpec()
    controls: tuple[str, ...] = tuple(CONTROLS)
    save_models: bool = False

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        return fill_in(data)

    @field_validator("backbones", "strategies", "regimes", mode="before")
    @classmethod
    def _names_become_mappings(cls, value: Any) -> Any:
        return _as_mappings(value)

    @field_validator("controls")
    @classmethod
    def _known_controls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in CONTROLS:
                raise ValueError(f"unknown control '{name}': {nearest(name, CONTROLS)}")
        return tuple(dict.fromkeys(value))

    def recipe_of(self, group: TaskSpec) -> Recipe:
        """Return the recipe of one cohort's tasks."""
        if group.batch_size is None:
            return self.recipe
        return self.recipe.model_copy(update={"batch_size": group.batch_size})

    @property
    def groups(self) -> tuple[TaskSpec, ...]:
        """The tasks of each cohort, with their regimes."""
        if self.cohort is not None:
            return (TaskSpec(cohort=self.cohort, endpoints=self.endpoints, regimes=self.regimes),)
        return tuple(
            own if own.regimes else own.model_copy(update={"regimes": self.regimes})
            for own in self.tasks
        )

    @model_validator(mode="after")
    def _one_way_to_name_tasks(self) -> BenchmarkSpec:
        if self.tasks and (self.cohort is not None or self.endpoints):
            raise ValueError("give either cohort and endpoints, or tasks")
        if not self.tasks and (self.cohort is None or not self.endpoints):
            missing = "cohort" if self.cohort is None else "endpoints"
            raise ValueError(f"the key '{missing}' is missing")
        return self

    @model_validator(mode="after")
    def _no_repetitions(self) -> BenchmarkSpec:
        labels = [variant.label for part in self.strategies for variant in part.variants()]
        named: dict[str, list[Any]] = {
            "endpoints": list(self.endpoints),
            "tasks": [own.cohort.model_dump_json() for own in self.tasks],
            "backbones": [backbone.label for backbone in self.backbones],
            "strategies": labels,
            "seeds": list(self.seeds),
        }
        checked = [*named.items()]
        for group in self.groups:
            checked.append(("endpoints", list(group.endpoints)))
            checked.append(("regimes", [regime_label(regime) for regime in group.regimes]))
        for key, values in checked:
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                hint = " (variants of one strategy: give lists, such as r: [4, 8])"
                raise ValueError(
                    f"{key}: '{twice}' stands in it twice{hint if key == 'strategies' else ''}"
                )
        for part in self.strategies:
            part.check()
            if self.recipe.loss != "cross_entropy" and part.is_solved():
                raise ValueError(
                    f"recipe.loss: a solved linear probe cannot minimise the {self.recipe.loss} "
                    "loss: give linear an lr, which has it trained"
                )
        for backbone in self.backbones:
            backbone.entry()
        return self

    def as_yaml(self) -> str:
        """Return the resolved spec as YAML that :func:`load_spec` reads again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_spec(path: Path, overrides: Sequence[str] = ()) -> BenchmarkSpec:
    """Read a benchmark file.

    Args:
        path: A YAML file. Relative paths in it are relative to the working folder. It is data:
            OmegaConf's interpolations (``${...}``) are refused.
        overrides: ``key=value`` pairs that take precedence, such as ``recipe.epochs=3``.

    Raises:
        UserError: When the file is missing, is no YAML, or says something it may not; the
            sentence names the key and, for an unknown key, the nearest known one.
    """
    if not path.is_file():
        raise UserError(f"the spec {path} does not exist: name a YAML file")
    for override in overrides:
        if "=" not in override:
            raise UserError(f"'{override}' is no key=value: write for example recipe.epochs=3")
    data = read_data(path, overrides)
    if not isinstance(data, dict):
        raise UserError(f"{path} holds no mapping: write keys such as name, cohort, endpoints")
    return parse_spec(data, str(path))


def parse_spec(data: dict[Any, Any], origin: str) -> BenchmarkSpec:
    """Return the spec that plain data say.

    Args:
        data: What a benchmark file holds.
        origin: Where the data come from, to be named in errors.

    Raises:
        UserError: As :func:`load_spec`.
    """
    try:
        return BenchmarkSpec.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{origin}: {_describe(error)}") from error
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def _describe(error: ValidationError) -> str:
    """Return one sentence on the first thing that pydantic found wrong, unknown keys before all."""
    found = error.errors()
    first = next((own for own in found if own["type"] == "extra_forbidden"), found[0])
    # pydantic puts the name of the regime into the place, where the file has none.
    in_regime = "regimes" in first["loc"]
    steps = [str(step) for step in first["loc"] if not (in_regime and step in REGIMES)]
    place = ".".join(steps)
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key '{place}': {nearest(steps[-1], _known_keys(first['loc']))}"
        case "missing":
            return f"the key '{place}' is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            tag = str(first["ctx"].get("tag", ""))
            return f"{place}: unknown regime '{tag}': {nearest(tag, map(str, REGIMES))}"
        case "value_error":
            return ": ".join(filter(None, [place, str(first["ctx"]["error"])]))
    return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"


_PARTS: dict[int | str, type[BaseModel]] = {
    name: type(own.default)
    for name, own in BenchmarkSpec.model_fields.items()
    if isinstance(own.default, BaseModel)
}
_PARTS |= {"backbones": BackboneSpec, "features": FeatureSpec, "tasks": TaskSpec, **REGIMES}


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys known at the place of an unknown one."""
    models = [_PARTS[step] for step in location[:-1] if step in _PARTS]
    return list((models or [BenchmarkSpec])[-1].model_fields)
