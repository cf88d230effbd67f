"""The synthetic cohort of the demo: radiographs of nobody, with outcomes of a known model."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from prognobench.cohorts.cohort import Cohort
from prognobench.cohorts.source import Source, SourceOptions
from prognobench.demo.cohort import ENDPOINTS, PROVENANCE, synthetic_cohort
from prognobench.demo.radiograph import GENERATOR_VERSION
from prognobench.files import cache_folder, identity


class SyntheticOptions(SourceOptions):
    """Options of the synthetic cohort.

    Attributes:
        patients: Number of patients; fewer are the beginning of more.
        seed: Seed of the cohort.
        root: Folder to write the images to; by default one in the cache.
    """

    patients: int = Field(default=200, ge=10, le=100_000)
    seed: int = Field(default=0, ge=0)
    root: Path | None = None


def read(options: SyntheticOptions) -> Cohort:
    """Return the synthetic cohort, rendering the images that are not there yet.

    Raises:
        UserError: When the folder holds another synthetic cohort or cannot be written to.
    """
    content = [options.patients, options.seed, GENERATOR_VERSION]
    folder = options.root or cache_folder("synthetic", identity(content))
    return synthetic_cohort(options.patients, options.seed, folder)


SOURCE = Source(
    name=PROVENANCE.source,
    provenance=PROVENANCE,
    endpoints=ENDPOINTS,
    options=SyntheticOptions,
    read=read,
)
