"""From the ``cohort`` of a spec to a cohort: a source with its options, or a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.manifest import read_manifest
from prognobench.cohorts.source import SourceOptions, get_source
from prognobench.errors import UserError, nearest

_MANIFEST_KEYS = ("manifest", "root")


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
    return source.read(check_options(name, source.options, given))


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
            sentence = f"is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UserError(f"the option '{key}' of the cohort source '{source}' {sentence}") from error
