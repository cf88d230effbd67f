"""The audit in the report: counted, escaped, everybody under a pseudonym."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_benchmark import fake_audit, fake_content

from prognobench.audit.concerned import under_pseudonyms
from prognobench.report.audit_section import MOST_CONCERNED, audit_section, most_missing
from prognobench.report.page import render


def test_the_section_counts_and_judges():
    found = audit_section(fake_audit("home/icu"), ["home/icu", "absent/icu"])
    assert dict(found.copies)["Radiographs in several cohorts"] == "1"
    assert dict(found.copies)["Persons under several ids, by their images"] == "1"
    (task,) = found.tasks
    assert task.shortcuts.rows == (
        ("view", "0.83 (0.72 to 0.92)", "beats chance"),
        ("site", "0.52 (0.40 to 0.60)", "not told apart from chance"),
        ("file format", "–", "all patients have the same value"),
    )
    assert task.balance.rows == (("site: <b>hill</b>", "30", "9", "30\u00a0%"),)
    assert found.missing[0].headings == ("Group", "crp")
    assert [row[1] for row in found.missing[0].rows] == ["25\u00a0%"] * 2
    assert audit_section({}, ["home/icu"]) is None


@pytest.mark.parametrize("images", [True, False])
def test_the_page_shows_it_escaped_and_names_nobody(tmp_path, images):
    content = fake_content(tmp_path, ("home",), 40, replicates=20, shots=(2,), episodes=1)
    (task,) = content.audits
    page = render(replace(content, audit=fake_audit(task), images=images))
    start = page.index('id="audit"')
    section = page[start : page.index("</section>", start)]
    assert "0.83 (0.72 to 0.92)" in section
    assert "1\u202f234" in section
    assert "&lt;b&gt;hill&lt;/b&gt;" in section
    assert "<b>hill" not in page
    assert "SECRET" not in page
    assert "HIDDEN" not in page
    assert "image 2 of patient 2 (home)" in section
    assert "<i>broken" not in page
    assert "in more than one of these cohorts" in page[: page.index('id="leaderboard"')]
    assert ("data:image" in section) == images
    assert ("Pictures of patients are left out" in section) != images


def test_who_is_concerned_has_a_pseudonym_that_the_audit_tells():
    audit = fake_audit("home/icu")
    listed = {own.title: own.lines for own in audit_section(audit, ["home/icu"]).concerned}
    assert listed == {
        "home: images that cannot be read (the image is <i>broken</i>) (1)": (
            "patient 1: image 1",
        ),
        "home: patients with contradictory labels of icu (1)": ("patient 2",),
        "home: images after the outcome icu (2)": ("patient 2: image 2", "patient 1: image 3"),
        "copies of one radiograph (2)": (
            "image 2 of patient 2 (home), image 4 of patient 3 (abroad): correlation 0.91",
        )
        * 2,
        "one patient under two ids? (1)": (
            "patient 2 (home), patient 3 (abroad) share 2 radiographs",
        ),
    }
    assert audit["pseudonyms"]["patients"]["patient 3"] == {"cohort": "abroad", "id": "SECRET2"}
    assert audit["pseudonyms"]["images"]["image 3"] == {"cohort": "home", "id": "HIDDEN3"}


def test_which_columns_lack_values_and_among_whom_most():
    about = fake_audit("home/icu")["cohorts"]["home"]
    about["missing_by"]["site"]["valley"] = {"images": 20, "missing": {"crp": 8}}
    assert most_missing("home", about).rows == (("crp", "25\u00a0%", "site: valley (40\u00a0%)"),)
    about["missing_by"] = {}
    assert most_missing("home", about).rows == (("crp", "25\u00a0%", ""),)


def test_long_lists_of_who_is_concerned_end():
    audit = fake_audit("home/icu")
    late = audit["cohorts"]["home"]["labels"]["icu"]["after_outcome_image_ids"]
    more = {f"more{number}": f"p{number}" for number in range(1200)}
    late += more
    audit["cohorts"]["home"]["patient_of"] |= more
    assert audit_section(audit, ["home/icu"]).concerned == ()  # who is meant is told of others
    audit["pseudonyms"] = under_pseudonyms(audit)[1]
    (own,) = (own for own in audit_section(audit, ["home/icu"]).concerned if "after" in own.title)
    assert own.title.endswith("(1\u202f202)")
    assert len(own.lines) == MOST_CONCERNED + 1
    assert own.lines[-1] == "and 1\u202f002 lines more, in audit.json"


def test_a_report_of_an_audit_without_copies_says_less(tmp_path):
    older = fake_audit("home/icu")
    del older["duplicates"], older["cohorts"], older["two_ids"], older["warnings"]
    del older["pseudonyms"]
    found = audit_section(older, ["home/icu"])
    assert (found.copies, found.missing, found.warnings, found.concerned) == ((), (), (), ())
