"""What ``export.json`` says of a model, checked before anything of it is used."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from prognobench.backbones.choice import BackboneSpec
from prognobench.cohorts.outcome_kinds import Kind
from prognobench.errors import UserError
from prognobench.evaluation.recalibration import Method
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION
from prognobench.images.options import ImagesSpec

FORMAT = 1
"""Version of the folder's form."""

LARGEST_OPTION = 4096
"""Numbers of a strategy's options, such as ranks, that are believed."""

_NAME = re.compile(r"[A-Za-z0-9_][\w.:@/ -]{0,199}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskDescription(_Part):
    """What is predicted.

    Attributes:
        dataset: Name of the cohort.
        endpoint: Name of the endpoint.
        positive: The positive class in words.
        policy: Which images of a patient were used.
    """

    dataset: str
    endpoint: str
    positive: str
    policy: str


class OutcomeDescription(_Part):
    """Of what kind the outcome is, and how what the model gives becomes a prediction of it.

    Attributes:
        kind: Its kind.
        highest: The highest level of a score.
        score_mean: What a score is where the model gives 0.
        score_deviation: By how much a score rises where that rises by 1.
        log_hazard_mean: What the model gave for its training images on average: log hazards are
            what it gives less this.
        horizon: The time that the probability of an event is given for; None where there was none.
        baseline_hazard: The cumulative hazard until then of one whose log hazard is 0.
    """

    kind: Kind = "binary"
    highest: int = Field(default=0, ge=0)
    score_mean: float = 0.0
    score_deviation: float = 1.0
    log_hazard_mean: float = 0.0
    horizon: float | None = Field(default=None, gt=0)
    baseline_hazard: float = Field(default=0.0, ge=0)


class BackboneDescription(_Part):
    """The backbone, by its name and by what it is.

    Attributes:
        spec: As a benchmark file names it, without a path.
        identity: What identifies its features, the SHA-256 of its weights among it.
        license: Licence of its weights.
        origin: Where its weights come from, in words.
        included: Whether its weights lie in the folder.
    """

    spec: BackboneSpec
    identity: dict[str, Any]
    license: str
    origin: str
    included: bool

    @field_validator("spec")
    @classmethod
    def _plain_name(cls, spec: BackboneSpec) -> BackboneSpec:
        if not _NAME.fullmatch(spec.name) or ".." in spec.name or spec.weights is not None:
            raise ValueError("the backbone must be named as in `prognobench ls backbones`")
        return spec


class StrategyDescription(_Part):
    """How the backbone was adapted.

    Attributes:
        name: Name of the strategy.
        label: Its name in results.
        options: Its resolved options; numbers, words and lists of them only.
    """

    name: str = Field(max_length=100)
    label: str
    options: dict[str, Any]

    @field_validator("options")
    @classmethod
    def _plain_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, value in options.items():
            parts = value if isinstance(value, list) else [value]
            if len(parts) > 100 or not all(_is_plain(part) for part in parts):
                raise ValueError(f"the option {key} is not what a model can be exported with")
        return options


def _is_plain(value: Any) -> bool:
    """Say whether a value of an option is one that names nothing outside: no path, no module."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return abs(value) <= LARGEST_OPTION or isinstance(value, float)
    return isinstance(value, str) and re.fullmatch(r"[a-z_]{1,30}", value) is not None


class Preprocessing(_Part):
    """How an image file becomes the backbone's input.

    Attributes:
        decode: Version of the rule from a file to 8-bit grey.
        geometry: Version of the rule from there to a square.
        percentiles: The percentiles of an image's values that become black and white, if any.
        image_size: Side of the square in pixels.
        input_size: Side that the network sees.
        mean: What is subtracted, a channel each, on the scale of 0 to 1.
        std: What it is divided by, likewise.
    """

    decode: int
    geometry: int
    percentiles: tuple[float, float] | None = None
    image_size: int = Field(ge=16, le=4096)
    input_size: int = Field(ge=16, le=4096)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @field_validator("percentiles")
    @classmethod
    def _percentiles(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        return ImagesSpec(percentiles=value).percentiles

    @field_validator("decode", "geometry")
    @classmethod
    def _same_rules(cls, value: int, info: Any) -> int:
        own = {"decode": DECODE_VERSION, "geometry": GEOMETRY_VERSION}[info.field_name]
        if value != own:
            raise ValueError(
                f"the model was trained on images read by version {value} of the rule "
                f"'{info.field_name}', and this prognobench has version {own}: install the one "
                "that is named under 'origin'"
            )
        return value


class Thresholds(_Part):
    """Thresholds on the raw probability, fixed before any test part was seen.

    Attributes:
        fixed: The benchmark's own.
        validated: The one with the highest MCC on the validation part.
        sensitive: The highest that finds 90 % of the validation part's events.
    """

    fixed: float = Field(ge=0, le=1)
    validated: float | None = None
    sensitive: float | None = None


class Calibration(_Part):
    """From the model's logit to a calibrated probability.

    Attributes:
        prior_logit_shift: What the handling of imbalance in training added to every logit.
        method: ``none``, ``intercept`` or ``logistic``.
        intercept: See :class:`~prognobench.evaluation.recalibration.Recalibration`.
        slope: Likewise.
        about: What it was fitted to and how it was judged.
    """

    prior_logit_shift: float
    method: Method
    intercept: float
    slope: float = Field(gt=0)
    about: dict[str, Any] = {}


class ModelDescription(_Part):
    """Everything that a model is, but its tensors.

    Attributes:
        format: Version of the form.
        task: What is predicted.
        outcome: Of what kind it is.
        backbone: The backbone.
        strategy: How it was adapted.
        preprocessing: How images are read.
        thresholds: From which probability on a patient is called positive; None where the outcome
            is no event that happens or not, and so is ``calibration``.
        calibration: From logits to calibrated probabilities.
        training: What it was trained on and how, for readers.
        performance: What was measured, for readers.
        origin: Versions, run and benchmark, for readers.
    """

    format: Literal[1]
    task: TaskDescription
    backbone: BackboneDescription
    strategy: StrategyDescription
    preprocessing: Preprocessing
    outcome: OutcomeDescription = OutcomeDescription()
    thresholds: Thresholds | None = None
    calibration: Calibration | None = None
    training: dict[str, Any]
    performance: dict[str, Any]
    origin: dict[str, Any]

    @model_validator(mode="after")
    def _whole(self) -> ModelDescription:
        events = self.outcome.kind == "binary"
        if events != (self.thresholds is not None) or events != (self.calibration is not None):
            raise ValueError(
                "a model of an event that happens or not has thresholds and calibration, another "
                "has none"
            )
        return self


def describe(data: dict[str, Any], origin: str) -> ModelDescription:
    """Return the checked description.

    Args:
        data: What ``export.json`` holds.
        origin: Its path, to be named in errors.

    Raises:
        UserError: Naming the key that is wrong.
    """
    if data.get("format") != FORMAT:
        raise UserError(
            f"{origin} is of the form {data.get('format')!r}, and this prognobench reads {FORMAT}: "
            "install the version that wrote it"
        )
    try:
        return ModelDescription.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        words = str(cause) if cause is not None else first["msg"][:1].lower() + first["msg"][1:]
        place = ".".join(str(step) for step in first["loc"])
        raise UserError(f"{origin}: {place}: {words}") from error
