"""What a cohort source is, and how the sources at hand are found.

To add a source, add one module to ``prognobench/cohorts/sources`` that defines ``SOURCE``, or
point an entry point of the group ``prognobench.cohorts`` at one in a package of your own.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from prognobench.cohorts import sources
from prognobench.cohorts.cohort import Cohort, Provenance
from prognobench.cohorts.outcome_kinds import OtherOutcome
from prognobench.errors import UserError, nearest

ENTRY_POINT_GROUP = "prognobench.cohorts"


class SourceOptions(BaseModel):
    """Options that a source takes from the spec or the command line; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderOptions(SourceOptions):
    """Options of a source that reads a folder as it was downloaded.

    Attributes:
        root: The folder.
    """

    root: Path


@dataclass(frozen=True)
class Source:
    """A reader of one public dataset, or of one kind of table.

    Attributes:
        name: Its name in specs and on the command line.
        provenance: What it reads and where that is obtained.
        endpoints: The endpoints it gives, each with its positive class in words.
        options: The model of its options.
        read: Reads a cohort; raises :class:`UserError` naming each missing file or column.
        others: The endpoints it gives that are not binary.
    """

    name: str
    provenance: Provenance
    endpoints: Mapping[str, str]
    options: type[SourceOptions]
    read: Callable[[Any], Cohort]
    others: Mapping[str, OtherOutcome] = field(default_factory=dict)


def source_names() -> list[str]:
    """Return the names of all sources, without importing any of them."""
    built_in = [module.name for module in pkgutil.iter_modules(sources.__path__)]
    return sorted({*built_in, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_source(name: str) -> Source:
    """Return a source by its name.

    Raises:
        UserError: When there is none of that name; the sentence names the nearest.
    """
    if name not in source_names():
        raise UserError(f"unknown cohort source '{name}': {nearest(name, source_names())}")
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            found = point.load()
            break
    else:
        found = importlib.import_module(f"{sources.__name__}.{name}").SOURCE
    if not isinstance(found, Source):
        raise TypeError(f"the entry point '{name}' of {ENTRY_POINT_GROUP} is no Source")
    return found
