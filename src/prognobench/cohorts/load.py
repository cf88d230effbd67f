"""What a spec says of a cohort, and from it to the cohort."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.combine import combine
from prognobench.cohorts.manifest import read_manifest
from prognobench.cohorts.source import SourceOptions, get_source
from prognobench.cohorts.task import Policy
from prognobench.errors import UserError, nearest


class CohortSpec(BaseModel):
    """Which cohort: a source with its options, or a manifest.

    Attributes:
        source: Name of a cohort source; further keys are its options.
        combine: Cohorts that are put together, to train on some and test on another.
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
    combine: tuple[CohortSpec, ...] = ()
    name: str | None = None
    root: Path | None = None
    policy: Policy = "first"

    @model_validator(mode="after")
    def _one_origin(self) -> CohortSpec:
        given = [self.source is not None, self.manifest is not None, bool(self.combine)]
        if sum(given) != 1:
            raise ValueError("name either a source or a manifest, or cohorts to combine")
        if self.combine and (len(self.combine) == 1 or self.name is None):
            raise ValueError("combine takes at least two cohorts, and a name for the whole")
        if any("policy" in member.model_fields_set for member in self.combine):
            raise ValueError("combined cohorts have one policy: give it beside 'combine'")
        if self.source is None and self.model_extra:
            known = [*type(self).model_fields]
            key = next(iter(self.model_extra))
            raise ValueError(f"unknown key '{key}': {nearest(key, known)}")
        return self

    def settings(self) -> dict[str, Any]:
        """Return the source or manifest with its options, as a cohort is loaded by them."""
        own = {"source": self.source, "manifest": self.manifest, "root": self.root}
        given = {key: value for key, value in own.items() if value is not None}
        return {**given, **(self.model_extra or {})}


_MANIFEST_KEYS = ("manifest", "root")


def load_asked(asked: CohortSpec) -> Cohort:
    """Return the cohort that a spec asks for, under the name it has there.

    Raises:
        UserError: As :func:`load_cohort`, and when cohorts cannot be combined.
    """
    if asked.combine:
        return combine(str(asked.name), [load_asked(member) for member in asked.combine])
    cohort = load_cohort(asked.settings())
    return cohort.renamed(asked.name) if asked.name else cohort


def load_cohort(settings: Mapping[str, Any]) -> Cohort:
    """Read the cohort that ``settings`` names.

    Args:
        settings: ``{"source": NAME, ...options}`` or ``{"manifest": FILE, "root": FOLDER}``.

    Raises:
        UserError: When a key is unknown or missing, or the cohort cannot be read.
    """
    if "manifest" in settings:
        for key in settings:
            if key not in _MANIFEST_KEYS:
                raise UserError(f"unknown cohort key '{key}': {nearest(key, _MANIFEST_KEYS)}")
        root = settings.get("root")
        return read_manifest(Path(settings["manifest"]), None if root is None else Path(root))
    if "source" not in settings:
        raise UserError(
            "the cohort names neither a 'source' nor a 'manifest': give one of them, such as "
            "{source: mhh, root: FOLDER}"
        )
    name = str(settings["source"])
    source = get_source(name)
    given = {str(key): value for key, value in settings.items() if key != "source"}
    options = check_options(name, source.options, given)
    try:
        return source.read(options)
    except OSError as error:
        raise UserError(
            f"{error.filename or name} cannot be read ({error.strerror or error}): check the paths "
            "of the cohort and their permissions"
        ) from error


def paths_read(settings: Mapping[str, Any]) -> list[Path]:
    """Return the files and folders that the options of a source name.

    Args:
        settings: As :func:`load_cohort` takes them.

    Raises:
        UserError: When the source or an option is unknown.
    """
    name = str(settings["source"])
    given = {str(key): value for key, value in settings.items() if key != "source"}
    options = check_options(name, get_source(name).options, given)
    return [value for _, value in options if isinstance(value, Path)]


def check_options(
    source: str, model: type[SourceOptions], given: Mapping[str, Any]
) -> SourceOptions:
    """Return a source's options as its model.

    Raises:
        UserError: Naming the key that is unknown, missing or of the wrong kind.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            sentence = f"is unknown: {nearest(key, model.model_fields)}"
        elif first["type"] == "missing":
            sentence = f"is missing: add '{key}'"
        else:
            sentence = f"is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}".replace(
                "valid tuple", "list"
            )
        raise UserError(f"the option '{key}' of the cohort source '{source}' {sentence}") from error
