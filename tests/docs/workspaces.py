"""What a reader has beside a page before following it: small cohorts under the names it uses."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from blocks import REPOSITORY
from machines import (
    clone,
    environments,
    gpu_tests,
    new_python,
    postgres,
    quick_tests,
    ray_cluster,
    slurm,
    small_scripts,
)
from model_hub import carried_weights, hub, own_weights, several_models
from page_workspace import Workspace, program
from PIL import Image

sys.path.insert(0, str(REPOSITORY / "tests" / "cohorts"))

from dicom_fixtures import radiograph, write_dicom
from table_fixtures import write_brixia

PATIENTS = 24

LIMIT = 3
SHIM = """#!/bin/sh
# The command of the page; training is cut to a few runs, since pages describe whole studies, and
# maps, which train a fold anew, are left to the page on the demonstration, which speaks of them.
set -e
verb=$1
case "$verb" in
  run) set -- "$@" --limit {limit} report.saliency=false evaluation.replicates=100 ;;
  demo) set -- "$@" --limit 5 ;;
esac
exec "{python}" -m prognobench "$@"
"""


def own_table(here: Workspace) -> None:
    """Write ``my_cohort.csv`` with its images, as the README describes it."""
    (here.folder / "images").mkdir()
    rows = [["patient_id", "path", "icu", "acquired", "icu_day", "site", "view"]]
    for number in range(PATIENTS):
        event = number % 3 == 0
        grey = (radiograph(number, event) >> 4).astype(np.uint8)
        Image.fromarray(grey).save(here.folder / "images" / f"{number}.png")
        day = 3 if event else ""
        rows.append([number, f"images/{number}.png", int(event), 0, day, "AB"[number % 2], "AP"])
    with (here.folder / "my_cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def hospital(here: Workspace) -> None:
    """Write ``hospital/export`` and ``hospital/outcomes.csv``, as the tutorial describes them."""
    export = here.folder / "hospital" / "export"
    rows = [["MRN", "Admitted", "ICU", "ICU from", "Age", "Sex"]]
    for number in range(PATIENTS):
        event = number % 3 == 0
        admitted = date(2021, 3, 1) + timedelta(days=number)
        patient = f"P{number:04}"
        file = export / f"{number:03}" / "image"
        write_dicom(file, patient, day=admitted, pixels=radiograph(number, event))
        day = (admitted + timedelta(days=2)).isoformat() if event else ""
        outcome = "transferred" if event else "ward"
        rows.append([patient, admitted.isoformat(), outcome, day, 40 + number, "FM"[number % 2]])
    with (here.folder / "hospital" / "outcomes.csv").open("w", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def images_to_predict(here: Workspace) -> None:
    """Write the images, and the patients they belong to, that the page on predicting names."""
    folder = here.folder / "more_images"
    folder.mkdir()
    write_dicom(here.folder / "chest.dcm", "P1", day=date(2021, 3, 1), pixels=radiograph(1, False))
    rows = [["patient_id", "path"], ["P1", "chest.dcm"]]
    for number, name in enumerate(("a.png", "b.jpg")):
        grey = (radiograph(number, True) >> 4).astype(np.uint8)
        Image.fromarray(grey).save(folder / name)
        rows.append(["P2", f"more_images/{name}"])
    with (here.folder / "patients.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


SMALL = """name: demo
cohort: {source: synthetic, patients: 40}
endpoints: [mortality]
backbones: [demo_vit]
strategies: [linear]
regimes: [{name: full_data, folds: 2}]
evaluation: {replicates: 100}
report: {saliency: false}
"""


def results(here: Workspace) -> None:
    """Run a small benchmark into ``results/demo``, for pages that begin after one."""
    (here.folder / "demo.yaml").write_text(SMALL, encoding="utf-8")
    command = [sys.executable, "-m", "prognobench", "run", "demo.yaml"]
    subprocess.run(command, cwd=here.folder, check=True, capture_output=True)


def benchmark(here: Workspace) -> None:
    """Write the ``benchmark.yaml`` that a page speaks of."""
    (here.folder / "benchmark.yaml").write_text(SMALL, encoding="utf-8")


def longer_benchmark(here: Workspace) -> None:
    """Write a ``benchmark.yaml`` that several commands, cut to a few runs each, do a part of."""
    longer = SMALL.replace("[linear]", "[linear, bitfit]").replace("folds: 2", "folds: 5")
    (here.folder / "benchmark.yaml").write_text(longer, encoding="utf-8")

    def each_did_its_part() -> None:
        done = {own.name: len(list(own.glob("predictions/*.parquet"))) for own in outputs.iterdir()}
        # The first go of an output also fits the controls, which are as many in both.
        assert done["demo"] - done["mine"] == 2 * LIMIT, done

    outputs = here.folder / "results"
    here.afterwards.append(each_did_its_part)


def checkout(here: Workspace) -> None:
    """Lay the repository's benchmarks beside the page."""
    (here.folder / "benchmarks").symlink_to(REPOSITORY / "benchmarks")


def real_data() -> Path:
    """Return the folder of real radiographs, which may be missing."""
    return Path(os.environ.get("PROGNOBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def downloads(here: Workspace) -> None:
    """Lay the datasets beside the page, under the names of their downloads."""
    names = {"COVID-19-IMAGE-REPOSITORY": "mhh", "COVID-CHESTXRAY-DATASET": "cohen"}
    for name, own in (names | {"ANNOTATIONS": "brixia"}).items():
        (here.folder / name).symlink_to(real_data() / own)


def brescia(here: Workspace) -> None:
    """Write ``BRIXIA``, in the layout of the dataset of Brescia."""
    write_brixia(here.folder / "BRIXIA")


PREPARED: dict[str, tuple[Callable[[Workspace], None], ...]] = {
    "CONTRIBUTING.md, network, slow": (clone, quick_tests),
    "README.md": (own_table,),
    "README.md, radiographs": (checkout,),
    "README.md, network, slow": (clone, new_python, quick_tests),
    "docs/audit.md, radiographs, slow": (downloads,),
    "docs/backbones.md, slow": (own_table, hub, several_models),
    "docs/cohorts.md": (brescia,),
    "docs/cohorts.md, radiographs": (downloads,),
    "docs/engine.md, slow": (clone, small_scripts),
    "docs/engine.md, gpu, network": (clone, gpu_tests),
    "docs/how_to/air_gapped.md": (own_weights,),
    "docs/how_to/air_gapped.md, slow": (hub, carried_weights),
    "docs/how_to/clusters.md, network, slow": (environments,),
    "docs/how_to/clusters.md, postgres": (benchmark, postgres),
    "docs/how_to/clusters.md, ray": (benchmark,),
    "docs/how_to/clusters.md, ray, slow": (longer_benchmark, ray_cluster, slurm),
    "docs/how_to/trackers.md, mlflow, wandb": (benchmark,),
    "docs/how_to/trackers.md, network, slow": (environments,),
    "docs/predict.md": (images_to_predict,),
    "docs/report.md": (results,),
    "docs/tutorials/own_dicom_folder.md": (hospital,),
}
"""What stands beside a page's blocks that need the same; nothing beside the others."""


@contextmanager
def prepared(name: str, beside: Path, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """Yield the workspace for the blocks of a page that need the same, and clear up after them."""
    folder, programs = beside / "work", beside / "bin"
    for own in (folder, programs):
        own.mkdir()
    if real_data().is_dir():
        (beside / "shared").mkdir()
        (beside / "shared" / "data").symlink_to(real_data())
    program(programs / "prognobench", SHIM.format(python=sys.executable, limit=LIMIT))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    here = Workspace(folder, beside, environment, fixture=request.getfixturevalue)
    here.first_in_path(programs)
    with here.closing:
        for prepare in PREPARED.get(name, ()):
            prepare(here)
        yield here
