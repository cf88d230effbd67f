"""A tiny benchmark, and how it ends when nothing disturbs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prognobench.cli.options import Device
from prognobench.cli.run import run_spec
from prognobench.report import build
from prognobench.spec import parse_spec
from watched import Driver, differences

PATIENTS = 24

TINY = {
    "name": "tiny",
    "cohort": {"source": "synthetic", "patients": PATIENTS, "seed": 3},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear", "bitfit"],
    "regimes": [{"name": "full_data", "folds": 3}],
    "recipe": {"epochs": 1, "batch_size": 8, "precision": "float32"},
    "evaluation": {"replicates": 100},
    "controls": [],
    "report": {"saliency": False},
}
RUNS = 6


def without_figures(patch=None):
    """Write no page and no figures."""
    (patch or pytest.MonkeyPatch()).setattr(build, "write_report", lambda output, _: output)


class Tiny:
    """The tiny benchmark.

    Attributes:
        spec: It.
        file: It as a file.
        undisturbed: The output folder of a run that nothing disturbed.
    """

    def __init__(self, folder: Path) -> None:
        self.spec = parse_spec(TINY, "tiny")
        self.file, self.undisturbed = folder / "tiny.yaml", folder / "undisturbed"
        self.file.write_text(self.spec.as_yaml())
        self.run(self.undisturbed)

    def run(self, output: Path) -> None:
        """Run it in this process, to the tables; drawing figures takes longer than all the rest."""
        with pytest.MonkeyPatch.context() as patch:
            without_figures(patch)
            run_spec(self.spec, output, None, Device.CPU)

    def drive(self, output: Path, before=without_figures, *changes, **environment) -> Driver:
        """Run it in a process of its own, by the command line."""
        arguments = ["run", str(self.file), *changes, "--output", str(output), "--device", "cpu"]
        return Driver(arguments, output.parent / "log", environment, before)

    def check(self, output: Path) -> None:
        """Compare the results in a folder with those that nothing disturbed."""
        differing, _ = differences(output, self.undisturbed)
        assert not differing, differing
