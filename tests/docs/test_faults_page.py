"""The figures of the page on faults are those that were measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

NAMES = {"writing": "writing a result", "starting": "start", "saliency": "maps"}
REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_the_figures_are_the_measured_ones():
    found = json.loads((REPOSITORY / "benchmarks/results/faults.json").read_text())
    page = (REPOSITORY / "docs/faults.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|$", page, re.MULTILINE))
    by_phase, processes = found["kills_by_phase"], found["kills_of_its_processes"]
    assert rows["kills of the driver"] == str(found["kills_of_the_driver"])
    assert found["kills_of_the_driver"] >= 100
    key = "of these in " + ", ".join(NAMES.get(phase, phase) for phase in by_phase)
    assert rows[key] == ", ".join(map(str, by_phase.values()))
    key = next(key for key in rows if key.startswith("kills of its processes"))
    assert rows[key] == f"{processes['workers']}, {processes['decoders']}"
    benchmarks = found["benchmarks_compared_with_the_undisturbed"]
    key = f"finished runs compared, in {benchmarks} benchmarks"
    assert rows[key] == str(found["finished_runs_compared"])
    assert rows["lost"] == str(len(found["lost"]))
    assert rows["done twice"] == str(len(found["duplicated"]))
    left = len(found["broken_files"]), len(found["temporary_files_left"])
    assert rows["files in part, temporary files left at the end"] == f"{left[0]}, {left[1]}"
    assert rows["benchmarks that differ from the undisturbed"] == str(len(found["differing"]))
    assert rows["largest difference of logits"] == f"{found['largest_difference_of_logits']:.1e}"


def test_every_test_that_is_named_is_there():
    for name in ("docs/faults.md", "SECURITY.md"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        named = re.findall(r"`((?:tests|benchmarks)/[\w/.]+|test_\w+\.py)`", text)
        assert len(named) > 5
        for own in named:
            folder = REPOSITORY if "/" in own else REPOSITORY / "tests" / "faults"
            assert (folder / own).exists(), own
