"""What a benchmark file may say: the one place where defaults stand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prognobench.backbones.catalog import get_entry
from prognobench.backbones.entry import BackboneEntry
from prognobench.errors import UserError, nearest
from prognobench.evaluation.metrics import METRICS
from prognobench.strategies.strategy import Strategy, get_strategy
from prognobench.training.recipe import Recipe


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CohortSpec(BaseModel):
    """Which cohort: a source with its options, or a manifest.

    Attributes:
        source: Name of a cohort source; further keys are its options.
        manifest: A table that ``prognobench cohort build`` wrote, or one of the same form.
        name: Name of the cohort in results; the source's or manifest's own by default.
        root: Folder of the images, where it is not the source's or the manifest's own.
        policy: Which images of a patient are used. ``first``: the frontal image closest to
            admission on or before the outcome; ``all_before_outcome``: every frontal image on or
            before it; ``all``: every frontal image, those taken after the outcome too.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    source: str | None = None
    manifest: Path | None = None
    name: str | None = None
    root: Path | None = None
    policy: Literal["first", "all_before_outcome", "all"] = "first"

    @model_validator(mode="after")
    def _one_origin(self) -> CohortSpec:
        if (self.source is None) == (self.manifest is None):
            raise ValueError("name either a source or a manifest")
        if self.manifest is not None and self.model_extra:
            known = [*type(self).model_fields]
            key = next(iter(self.model_extra))
            raise ValueError(f"unknown key '{key}': {nearest(key, known)}")
        return self

    def settings(self) -> dict[str, Any]:
        """Return the source or manifest with its options, as a cohort is loaded by them."""
        own = {"source": self.source, "manifest": self.manifest, "root": self.root}
        given = {key: value for key, value in own.items() if value is not None}
        return {**given, **(self.model_extra or {})}


class BackboneSpec(_Part):
    """A backbone of the catalog.

    Attributes:
        name: Its name.
        input_size: Side of the input in pixels; the native one by default.
    """

    name: str
    input_size: int | None = Field(default=None, ge=32, le=2048)

    def entry(self) -> BackboneEntry:
        """Return its catalog entry."""
        return get_entry(self.name, self.input_size)

    @property
    def label(self) -> str:
        """The name in results: with the input size where it is not the native one."""
        native = get_entry(self.name).input_size
        size = self.input_size or native
        return self.name if size == native else f"{self.name} {size}px"


class FullDataSpec(_Part):
    """The regime ``full_data``: cross-validation with an inner validation part.

    Attributes:
        folds: Number of test folds.
        repeats: How often the whole cross-validation is repeated with another division.
        validation_fraction: Share of the patients outside the test fold that validate.
        split_seed: Seed of the divisions.
    """

    name: Literal["full_data"] = "full_data"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=1, ge=1)
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0


class FewShotSpec(_Part):
    """The regime ``few_shot``: K training patients a class, tested on whole test folds.

    Attributes:
        shots: Values of K.
        episodes: Number of draws for each K.
        folds: Number of test folds; episode e is tested on fold ``e mod folds``.
        split_seed: Seed of the division and the draws.
    """

    name: Literal["few_shot"] = "few_shot"
    shots: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    episodes: int = Field(default=20, ge=1)
    folds: int = Field(default=5, ge=2)
    split_seed: int = 0


RegimeSpec = Annotated[FullDataSpec | FewShotSpec, Field(discriminator="name")]


class RecipeSpec(_Part):
    """How training goes; see :class:`prognobench.training.recipe.Recipe` for each key."""

    epochs: int = Field(default=50, ge=1)
    few_shot_steps: int = Field(default=500, ge=1)
    batch_size: int = Field(default=32, ge=2)
    head_lr: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=10, ge=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    class_weighting: Literal["balanced", "none"] = "balanced"
    augmentation: Literal["chest", "none"] = "chest"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def resolve(self) -> Recipe:
        """Return the recipe as the engine takes it."""
        return Recipe(**self.model_dump())


class EvaluationSpec(_Part):
    """How results are summed up; changing it costs no training.

    Attributes:
        metric: The headline metric, by which the leaderboard ranks.
        replicates: Bootstrap replicates.
        confidence: Confidence level of the intervals, in (0, 1).
    """

    metric: str = "mcc"
    replicates: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(f"unknown metric '{value}': {nearest(value, METRICS)}")
        return value


class StrategySpec(BaseModel):
    """A strategy with the options the spec gives; a list of values asks for each of them.

    Attributes:
        name: Name of the strategy.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    def strategy(self) -> Strategy:
        """Return the strategy of that name."""
        return get_strategy(self.name)

    def variants(self) -> list[tuple[str, dict[str, Any]]]:
        """Return label and options of each candidate: lists are expanded, all with all.

        An option that is itself a list (``C`` of ``linear``) is not expanded. The label names the
        options that were expanded, such as ``lora r=8``.
        """
        given = dict(self.model_extra or {})
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
            made.append((label, {**given, **chosen}))
        return made

    def check(self) -> None:
        """Raise :class:`UserError` when an option is unknown or out of range."""
        strategy = self.strategy()
        for _, options in self.variants():
            try:
                strategy.resolve(options, "vit")
            except ValidationError as error:
                first = error.errors()[0]
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
    return get_origin(annotation) in (tuple, list)


class BenchmarkSpec(_Part):
    """A whole benchmark.

    Attributes:
        name: Its name, shown in the report.
        cohort: The cohort.
        endpoints: Binary outcomes to predict.
        backbones: Backbones, by name or with options.
        strategies: Strategies, by name or with options.
        regimes: How much data, of what balance.
        seeds: Seeds of training; splits do not depend on them.
        recipe: How training goes.
        evaluation: How results are summed up.
    """

    name: str = Field(min_length=1)
    cohort: CohortSpec
    endpoints: tuple[str, ...] = Field(min_length=1)
    backbones: tuple[BackboneSpec, ...] = Field(min_length=1)
    strategies: tuple[StrategySpec, ...] = Field(min_length=1)
    regimes: tuple[RegimeSpec, ...] = Field(default=(FullDataSpec(),), min_length=1)
    seeds: tuple[int, ...] = Field(default=(42,), min_length=1)
    recipe: RecipeSpec = RecipeSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    @field_validator("backbones", "strategies", "regimes", mode="before")
    @classmethod
    def _names_become_mappings(cls, value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @model_validator(mode="after")
    def _no_repetitions(self) -> BenchmarkSpec:
        regimes = [regime.name for regime in self.regimes]
        labels = [label for part in self.strategies for label, _ in part.variants()]
        named: dict[str, list[Any]] = {
            "endpoints": list(self.endpoints),
            "backbones": [backbone.label for backbone in self.backbones],
            "strategies": labels,
            "regimes": regimes,
            "seeds": list(self.seeds),
        }
        for key, values in named.items():
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                hint = " (variants of one strategy: give lists, such as r: [4, 8])"
                raise ValueError(
                    f"{key}: '{twice}' stands in it twice{hint if key == 'strategies' else ''}"
                )
        for part in self.strategies:
            part.check()
        for backbone in self.backbones:
            backbone.entry()
        return self

    def as_yaml(self) -> str:
        """Return the resolved spec as YAML that :func:`load_spec` reads again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_spec(path: Path, overrides: Sequence[str] = ()) -> BenchmarkSpec:
    """Read a benchmark file.

    Args:
        path: A YAML file. Relative paths in it are relative to the working folder.
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
    try:
        loaded = OmegaConf.load(path)
        for override in overrides:
            key = override.partition("=")[0]
            value = OmegaConf.select(OmegaConf.from_dotlist([override]), key)
            # A mapping replaces the file's: keys of another cohort source would not fit.
            OmegaConf.update(loaded, key, value, merge=False)
        data = OmegaConf.to_container(loaded, resolve=True)
    except (
        OmegaConfBaseException,
        yaml.YAMLError,
        UnicodeDecodeError,
        TypeError,
        OSError,
    ) as error:
        sentence = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as YAML: {sentence}") from error
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
    """Return one sentence on the first thing that pydantic found wrong."""
    first = error.errors()[0]
    # pydantic puts the name of the regime into the place, where the file has none.
    steps = [str(step) for step in first["loc"] if step not in _REGIMES]
    place = ".".join(steps)
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key '{place}': {nearest(steps[-1], _known_keys(first['loc']))}"
        case "missing":
            return f"the key '{place}' is missing"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{place}: unknown regime, known are {', '.join(sorted(map(str, _REGIMES)))}"
        case "value_error":
            return ": ".join(filter(None, [place, str(first["ctx"]["error"])]))
    message = first["msg"]
    return f"{place}: {message[0].lower()}{message[1:]}, got {first['input']!r}"


_REGIMES: dict[int | str, type[BaseModel]] = {"full_data": FullDataSpec, "few_shot": FewShotSpec}

_PARTS: dict[int | str, type[BaseModel]] = {
    "backbones": BackboneSpec,
    "recipe": RecipeSpec,
    "evaluation": EvaluationSpec,
    **_REGIMES,
}


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys known at the place of an unknown one."""
    models = [_PARTS[step] for step in location[:-1] if step in _PARTS]
    return list((models or [BenchmarkSpec])[-1].model_fields)
