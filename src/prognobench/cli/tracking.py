"""What ``--sink`` gives to experiment trackers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prognobench.files import identity, write_text
from prognobench.report.build import Evaluated, build_report
from prognobench.results.store import ResultsStore
from prognobench.sinks.records import Benchmark, Ended, records
from prognobench.spec import BenchmarkSpec

TABLES = ("results.csv", "leaderboard.csv")


def about(spec: BenchmarkSpec, output: Path) -> Benchmark:
    """Return what a tracker shows of a benchmark; the folder is told as a digest only."""
    place = {"name": spec.name, "output": str(output.resolve())}
    asked: dict[str, list[Any]] = {
        "endpoints": [own for group in spec.groups for own in group.endpoints],
        "backbones": [backbone.label for backbone in spec.backbones],
        "strategies": [own.label for one in spec.strategies for own in one.variants()],
        "regimes": [regime.name for regime in spec.regimes],
        "seeds": list(spec.seeds),
        "metric": [spec.evaluation.metric],
        "epochs": [spec.recipe.epochs],
    }
    words = {key: ", ".join(map(str, values)) for key, values in asked.items()}
    return Benchmark(spec.name, identity(place, 32), words)


@contextlib.contextmanager
def outcome(output: Path, store: ResultsStore, made: Evaluated) -> Iterator[Ended]:
    """Give what a benchmark came to, its report without pictures of patients, for the block.

    The report in the output folder has to be written anew after it.
    """
    plain = build_report(output, store, evaluated=made, images=False)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_text(page, plain.page.read_text(encoding="utf-8"))
        files = [page, *(output / name for name in TABLES)]
        yield Ended(records(made.runs, made.results), files)
