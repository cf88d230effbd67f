"""The site is built from the repository, without a broken link or a page that nothing leads to."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from blocks import REPOSITORY

pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")


def build(folder, target):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    """What the site is made from, in a folder that a test may change."""
    folder = tmp_path / "repository"
    (folder / "docs").mkdir(parents=True)
    (folder / "mkdocs.yml").write_bytes((REPOSITORY / "mkdocs.yml").read_bytes())
    for page in (REPOSITORY / "docs").rglob("*"):
        place = folder / page.relative_to(REPOSITORY)
        if page.is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(page.read_bytes())
    return folder


def test_the_site_is_built_and_its_pages_fetch_nothing(tmp_path):
    site = tmp_path / "site"
    done = build(REPOSITORY, site)
    assert done.returncode == 0, done.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        fetched = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?:[^\" >]+)", page.read_text("utf-8")
        )
        assert not fetched, f"{page.relative_to(site)} fetches {fetched}"


def test_a_broken_link_would_be_found(copy, tmp_path):
    page = copy / "docs" / "index.md"
    page.write_text(page.read_text("utf-8") + "\n[gone](nowhere.md)\n", encoding="utf-8")
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
