"""What a reader has beside a page before following it: small cohorts under the names it uses."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from blocks import REPOSITORY
from PIL import Image

sys.path.insert(0, str(REPOSITORY / "tests" / "cohorts"))

from dicom_fixtures import radiograph, write_dicom

PATIENTS = 24
SHIM = """#!/bin/sh
# The command of the page; training is cut to a few runs, since pages describe whole studies, and
# maps, which train a fold anew, are left to the page on the demonstration, which speaks of them.
set -e
verb=$1
case "$verb" in
  run) set -- "$@" --limit 3 report.saliency=false evaluation.replicates=100 ;;
  demo) set -- "$@" --limit 5 ;;
esac
exec "{python}" -m prognobench "$@"
"""


def shims(folder: Path) -> Path:
    """Write the commands that pages call beside those of the system; return their folder."""
    folder.mkdir()
    for name, text in {"prognobench": SHIM.format(python=sys.executable)}.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def own_table(workspace: Path) -> None:
    """Write ``my_cohort.csv`` with its images, as the README describes it."""
    (workspace / "images").mkdir()
    rows = [["patient_id", "path", "icu", "acquired", "icu_day", "site", "view"]]
    for number in range(PATIENTS):
        event = number % 3 == 0
        grey = (radiograph(number, event) >> 4).astype(np.uint8)
        Image.fromarray(grey).save(workspace / "images" / f"{number}.png")
        day = 3 if event else ""
        rows.append([number, f"images/{number}.png", int(event), 0, day, "AB"[number % 2], "AP"])
    with (workspace / "my_cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def hospital(workspace: Path) -> None:
    """Write ``hospital/export`` and ``hospital/outcomes.csv``, as the tutorial describes them."""
    export = workspace / "hospital" / "export"
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
    with (workspace / "hospital" / "outcomes.csv").open("w", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def images_to_predict(workspace: Path) -> None:
    """Write the images, and the patients they belong to, that the page on predicting names."""
    folder = workspace / "more_images"
    folder.mkdir()
    write_dicom(workspace / "chest.dcm", "P1", day=date(2021, 3, 1), pixels=radiograph(1, False))
    rows = [["patient_id", "path"], ["P1", "chest.dcm"]]
    for number, name in enumerate(("a.png", "b.jpg")):
        grey = (radiograph(number, True) >> 4).astype(np.uint8)
        Image.fromarray(grey).save(folder / name)
        rows.append(["P2", f"more_images/{name}"])
    with (workspace / "patients.csv").open("w", encoding="utf-8", newline="") as stream:
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


def results(workspace: Path) -> None:
    """Run a small benchmark into ``results/demo``, for pages that begin after one."""
    (workspace / "demo.yaml").write_text(SMALL, encoding="utf-8")
    command = [sys.executable, "-m", "prognobench", "run", "demo.yaml"]
    subprocess.run(command, cwd=workspace, check=True, capture_output=True)


def benchmark(workspace: Path) -> None:
    """Write the ``benchmark.yaml`` that a page speaks of."""
    (workspace / "benchmark.yaml").write_text(SMALL, encoding="utf-8")


def checkout(workspace: Path) -> None:
    """Lay the repository's benchmarks beside the page, and the test data where it looks."""
    (workspace / "benchmarks").symlink_to(REPOSITORY / "benchmarks")


def real_data() -> Path:
    """Return the folder of real radiographs, which may be missing."""
    return Path(os.environ.get("PROGNOBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


PREPARED: dict[str, tuple[Callable[[Path], None], ...]] = {
    "README.md": (own_table, checkout),
    "docs/how_to/clusters.md": (benchmark,),
    "docs/how_to/trackers.md": (benchmark,),
    "docs/predict.md": (images_to_predict,),
    "docs/report.md": (results,),
    "docs/tutorials/own_dicom_folder.md": (hospital,),
}
"""What stands beside each page; nothing beside the others."""
