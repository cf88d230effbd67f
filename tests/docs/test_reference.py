"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location(
        "write_reference", REPOSITORY / "tools" / "write_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tool, tmp_path, monkeypatch):
    """The pages as they are committed, in a folder that a test may change."""
    for name in tool.PAGES:
        (tmp_path / name).write_bytes((tool.FOLDER / name).read_bytes())
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    return tmp_path


def test_the_committed_pages_are_up_to_date(tool, copy, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


def test_an_altered_page_is_named_and_written_again(tool, copy, capsys):
    page = copy / "metrics.md"
    meant = page.read_text(encoding="utf-8")
    page.write_text(meant.replace("Brier 1950", "Brier 1905"), encoding="utf-8")
    assert tool.main(["--check"]) == 1
    assert "metrics.md" in capsys.readouterr().out
    assert tool.main([]) == 0
    assert page.read_text(encoding="utf-8") == meant


def test_every_key_and_column_has_its_meaning(tool):
    for make in (tool.spec_page, tool.results_page, tool.metrics_page):
        rows = [line for line in make().splitlines() if line.startswith("| `")]
        assert len(rows) > 20
        meaning = 3 if make is tool.spec_page else 1
        for row in rows:
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            if make is tool.spec_page and len(cells) < 4:
                continue  # a table of defaults
            assert cells[meaning], row
