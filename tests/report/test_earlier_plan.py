"""What an earlier plan left in the output folder is no part of the report."""

from __future__ import annotations

import json
import shutil

import pytest
from small_benchmark import done

from prognobench.report import build as building
from prognobench.report.content import ReportContent
from prognobench.results.store import ResultsStore
from prognobench.saliency.folder import DESCRIPTION, task_folder


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return done(tmp_path_factory.mktemp("earlier") / "out")


@pytest.fixture
def reported(output, monkeypatch):
    def report() -> ReportContent:
        seen = []
        monkeypatch.setattr(
            building, "write_report", lambda folder, content: seen.append(content) or folder
        )
        store = ResultsStore(output)
        building.build_report(output, store)
        store.close()
        return seen[0]

    return report


def maps(output, task):
    folder = task_folder(output, task)
    folder.mkdir(parents=True)
    folder.joinpath(DESCRIPTION).write_text(json.dumps({"task": task, "examples": []}))


def test_maps_splits_and_sheets_of_an_earlier_plan_are_not_shown(output, reported):
    (task,) = json.loads((output / "cohort" / "cohort.json").read_text())["flows"]
    maps(output, task)
    before = reported()
    splits = sorted((output / "splits").glob("*.csv"))
    assert any(name.startswith(f"splits ({len(splits)} files") for name in before.digests)
    maps(output, "other/mortality")
    for path in splits:
        shutil.copy(path, path.with_name(f"other-mortality-{path.name}"))
    shutil.copy(splits[0], splits[0].with_stem(f"{splits[0].stem}9"))
    sheet = output / "cohort" / "contact_sheet.png"
    shutil.copy(sheet, sheet.with_name("contact_sheet_2.png"))
    after = reported()
    assert [own.task for own in before.saliency] == [own.task for own in after.saliency] == [task]
    assert after.digests == before.digests
    assert list(after.contact_sheets) == list(before.contact_sheets) == [sheet]
