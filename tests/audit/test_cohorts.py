"""Cohorts audited together: leaks between them, two ids for one patient, what cannot be read."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from radiograph_copies import COPIES, radiographs
from rich.console import Console

from build_cohort import cohort_of
from prognobench.audit.cohorts import (
    NOT_SEARCHED,
    audit_cohorts,
    audit_decoded,
    copy_warnings,
)
from prognobench.audit.sheets import write_audit
from prognobench.cli.audited import print_audit
from prognobench.errors import UserError
from prognobench.report.audit_section import audit_section


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A cohort of six patients, and one that has two of its images under three ids."""
    root = tmp_path_factory.mktemp("cohorts")
    drawn = radiographs(8)

    def saved(name, rows):
        (root / name).mkdir()
        for number, (_, image) in enumerate(rows):
            Image.fromarray(image).save(root / name / f"image{number:02}.png")
        filled = [{"patient_id": patient, "icu": n % 2} for n, (patient, _) in enumerate(rows)]
        return cohort_of(filled, root / name, name=name)

    home = saved("home", [(f"h{n}", images[0]) for n, (_, images) in enumerate(drawn[:6])])
    copies = [
        ("a0", COPIES["square_and_windowed"](drawn[0][1][0])),
        ("a1", COPIES["windowed"](drawn[0][1][0])),
        ("a2", COPIES["cropped"](drawn[1][1][0])),
        *((f"a{3 + n}", images[0]) for n, (_, images) in enumerate(drawn[6:])),
    ]
    abroad = saved("abroad", copies)
    return [home, abroad]


def test_copies_between_cohorts_and_two_ids_are_named(pair, tmp_path):
    found = audit_cohorts(pair)
    names = [
        {f"{own['cohort']}/{own['image_id']}" for own in group["images"]}
        for group in found.data["duplicates"]
    ]
    assert names == [
        {"home/image00", "abroad/image00", "abroad/image01"},
        {"home/image01", "abroad/image02"},
    ]
    assert all(group["across_cohorts"] for group in found.data["duplicates"])
    assert [own["patients"] for own in found.data["two_ids"]] == [
        ["abroad/a0", "abroad/a1", "home/h0"],
        ["abroad/a2", "home/h1"],
    ]
    words = " ".join(found.data["warnings"])
    assert "2 radiographs are in more than one of these cohorts (5 images)" in words
    # Sentences go into the report, which names nobody.
    assert not any(name in words for name in ("a0", "h1", "image0"))
    assert set(found.data) >= {"home/icu", "abroad/icu", "cohorts"}
    written = write_audit(found, pair, tmp_path / "audit")
    assert {path.name for path in written} == {
        *("audit.json", "contact_sheet.png", "contact_sheet_2.png"),
        *("duplicates.csv", "duplicates.png"),
    }
    assert json.loads(written[0].read_text())["two_ids"] == found.data["two_ids"]
    meant = found.data["pseudonyms"]["patients"].values()
    assert {(own["cohort"], own["id"]) for own in meant} == {
        *(("home", name) for name in ("h0", "h1")),
        *(("abroad", name) for name in ("a0", "a1", "a2")),
    }
    assert all(path.stat().st_size > 500 for path in written if path.suffix == ".png")
    said = printed(found)
    assert "What tells the outcome without looking at the lungs" in said
    assert "copies of one radiograph (2):" in said
    assert "image00 of patient h0 (home)" in said
    assert "patient a2 (abroad), patient h1 (home) share 1 radiograph\n" in said


def test_one_of_them_is_told_as_one():
    group = {"across_cohorts": True, "across_patients": True, "images": [{}, {}]}
    assert copy_warnings([group])[0].startswith("1 radiograph is in more than one")
    assert copy_warnings([group, group])[0].startswith("2 radiographs are in more than one")


def test_where_near_copies_are_not_searched_it_is_said(pair, tmp_path):
    exact = pair[0].table[["image_id", "patient_id", "path", "icu"]].to_dict("records")
    for row in exact:
        (tmp_path / row["path"]).write_bytes((pair[0].root / row["path"]).read_bytes())
    home, twice, abroad = pair[0], cohort_of(exact[:2], tmp_path, name="twice"), pair[1]
    audited = audit_cohorts([home, twice, abroad])
    found = audit_decoded([home, twice, abroad], audited.tasks, audited.decoded, near=False)
    assert found["near_duplicates_searched"] is False
    # Those of equal files are found all the same, those that were changed are not.
    assert [{own["cohort"] for own in group["images"]} for group in found["duplicates"]] == [
        {"home", "twice"},
        {"home", "twice"},
    ]
    assert len(audited.data["duplicates"]) == 2 and NOT_SEARCHED not in audited.data["warnings"]
    assert {len(group["images"]) for group in audited.data["duplicates"]} == {4, 3}
    assert NOT_SEARCHED in found["warnings"]
    facts = dict(audit_section(found, []).copies)
    assert facts["Of all these, cropped, scaled or windowed otherwise"] == "not searched"


def printed(found):
    console = Console(file=io.StringIO(), width=300)
    print_audit(console, found)
    return console.file.getvalue()


def test_without_copies_nothing_is_said(pair):
    found = audit_cohorts(pair[:1])
    assert (found.data["duplicates"], found.data["two_ids"]) == ([], [])
    assert found.data["warnings"] == []


def test_an_image_that_cannot_be_read_is_named_and_stops_nothing(pair, tmp_path):
    rows = pair[0].table[["image_id", "patient_id", "path", "icu"]].to_dict("records")
    for row in rows:
        (tmp_path / row["path"]).write_bytes((pair[0].root / row["path"]).read_bytes())
    (tmp_path / "image03.png").write_bytes(b"no image")
    found = audit_cohorts([cohort_of(rows, tmp_path)])
    unreadable = found.data["cohorts"]["small"]["unreadable"]
    assert list(unreadable.values()) == [["image03"]]
    assert "patient h3: image03" in printed(found)
    for row in rows:
        (tmp_path / row["path"]).write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the 6 images of the cohort 'small' can be read"):
        audit_cohorts([cohort_of(rows, tmp_path)])


def test_an_endpoint_that_cannot_be_predicted_stops_no_search(tmp_path):
    random = np.random.default_rng(0)
    for number in range(4):
        noise = random.integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"image{number:02}.png")
    cohort = cohort_of([{"icu": 0}] * 4, tmp_path)
    found = audit_cohorts([cohort])
    assert "each class needs at least" in found.data["warnings"][0]
    with pytest.raises(UserError, match="each class needs at least"):
        audit_cohorts([cohort], "icu")
    with pytest.raises(UserError, match="two manifests are of a cohort named 'small'"):
        audit_cohorts([cohort, cohort])
