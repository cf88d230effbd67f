import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from fake_benchmark import fake_content
from PIL import Image

from prognobench.report.answer import answers
from prognobench.report.content import ReportContent, cells
from prognobench.report.figures import cost, forest, heatmap
from prognobench.report.page import LARGEST_SHEET, render, write_report

EVIL = "<script>alert(1)</script>"
BOLD = "<b>bold</b>"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return fake_content(tmp_path_factory.mktemp("fake"), shots=(2, 8))


@pytest.fixture(scope="module")
def page(content):
    return render(content)


class Reader(HTMLParser):
    """Collects elements, the text outside of scripts and styles, and the scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.scripts, self.silent = [], "", [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.silent = tag in ("script", "style")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.silent = False

    def handle_data(self, data):
        if not self.silent:
            self.text += data
        elif self.scripts:
            self.scripts[-1] += data

    def figures(self):
        places = [a for t, a in self.elements if t == "script"]
        kinds = [attrs.get("type") == "application/json" for attrs in places]
        return [json.loads(s) for s, kind in zip(self.scripts, kinds, strict=True) if kind]


def small(content, **changes):
    return ReportContent(**{**vars(content), **changes})


def renamed(table, column, name):
    return table.assign(**{column: table[column].replace("mhh", name).replace("lora", name)})


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path, content):
    path = write_report(tmp_path, content)
    assert path == tmp_path / "report" / "index.html"
    assert path.stat().st_size < 8e6
    page = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    for tag, attrs in Reader(page).elements:
        for name in ("src", "href", "action", "data", "srcset"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:image/")), (tag, name, value[:60])
    assert page.count("plotly.js v") == 1


def test_no_patient_or_image_is_named(page):
    assert "SECRET" not in page
    assert "HIDDEN" not in page


def test_the_answer_is_said_with_intervals_and_limits(content, page):
    text = Reader(page).text
    best = content.leaderboard.query("regime == 'full_data' and rank == 1").iloc[0]
    assert f"{best['backbone']} with {best['strategy']}: MCC {best['estimate']:.2f} (95" in text
    assert "200 patients tested, 40 with the event (admitted to intensive care): 20\xa0%." in text
    assert "Few events: 40 patients with the event were tested" in text
    assert "cannot be told apart" in text
    assert "For research only" in text
    assert "AUROC 0.71 from AP or PA alone" in text.split("Results")[1]
    assert text.index("AUROC 0.71 from AP or PA alone") < text.index("Participant flow")


def test_the_flow_shows_what_each_rule_dropped(page):
    rows = re.findall(r'<tr class="(total|drop)"><th scope="row">(.*?)</th>(.*)</tr>', page)
    counts = [(kind, reason, re.findall(r">([^<]+)</td>", cells)) for kind, reason, cells in rows]
    assert counts[0] == ("total", "listed by the source", ["321", "230", "–"])
    assert counts[1][1:] == ("taken after admission to intensive care", ["−61", "−12", "−12"])
    assert counts[-1] == ("total", "in the task", ["200", "200", "40"])


def test_failures_are_listed_with_their_reasons(page):
    text = Reader(page).text
    assert "VeRA needs linear layers" in text
    assert "the loss became infinite at step 12" in text
    assert "Collapsed runs" in text


def test_every_figure_is_valid_described_and_drawn_once_a_cell(content, page):
    reader = Reader(page)
    figures = reader.figures()
    assert len(figures) == 3 * len(cells(content)) + 1
    for figure in figures:
        go.Figure(figure)  # refuses unknown properties and values
    plots = [a for t, a in reader.elements if t == "div" and a.get("class") == "plot"]
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in plots)
    images = [attrs for tag, attrs in reader.elements if tag == "img"]
    assert all(attrs["alt"] for attrs in images)


@pytest.mark.parametrize("name", [EVIL, BOLD])
def test_names_are_text_in_the_page_and_in_the_figures(content, name):
    evil = small(
        content,
        title=name,
        leaderboard=renamed(renamed(content.leaderboard, "dataset", name), "strategy", name),
        results=renamed(content.results, "dataset", name),
        runs=renamed(content.runs, "dataset", name).assign(reason=name),
        spec=f"name: {name}",
        flows={name: [{"reason": name, "images": 1, "patients": 1}]},
        audits={name: {"warnings": [name], name: name}},
        environment={name: name},
        provenance={"title": name},
        outcomes={f"{name}/icu": name},
        backbones=pd.DataFrame({name: [name]}),
    )
    page = render(evil)
    assert name not in page
    reader = Reader(page)
    assert name in reader.text
    texts = json.dumps(reader.figures())
    assert name not in texts
    assert name.replace("<", "&lt;").replace(">", "&gt;") in texts


def test_numbers_in_the_leaderboard_never_stand_without_their_interval(page):
    cells = re.findall(r'<td class="number" data-metric="[^"]*"[^>]*>([^<]*)</td>', page)
    assert len(cells) > 100
    for text in cells:
        assert text in ("–", "best estimate") or re.fullmatch(
            r"−?\d\.\d+ \((no interval|−?\d\.\d+ to −?\d\.\d+)\)", text
        ), text


def test_a_figure_draws_the_interval_it_was_given(content):
    cell = cells(content)[0]
    figure = forest(cell).data["data"][0]
    row = cell.best[0]
    assert figure["x"][0] + figure["error_x"]["array"][0] == pytest.approx(row["ci_high"])
    assert figure["x"][0] - figure["error_x"]["arrayminus"][0] == pytest.approx(row["ci_low"])
    assert heatmap(cell).data["layout"]["annotations"][0]["text"] == "n/a"
    assert "Best estimate" in forest(cell).alternative


def test_nothing_done_is_a_page_too(content):
    nothing = content.leaderboard.iloc[:0]
    page = render(small(content, leaderboard=nothing, results=content.results.iloc[:0]))
    assert "There are no results yet" in page
    assert len(page) < 200_000
    # Planned and failed throughout: cells without a single number.
    board = content.leaderboard
    empty = board[board["estimate"].isna()]
    assert "No candidate has a result" in render(small(content, leaderboard=empty))
    cell = cells(small(content, leaderboard=empty))[0]
    assert forest(cell) is heatmap(cell) is cost(cell) is None


def test_one_candidate_and_undecided_ones_are_said_so(content):
    board = content.leaderboard.query("regime == 'full_data' and rank <= 2").copy()
    two = small(content, leaderboard=board.assign(best_group=True))
    found = answers(two, cells(two))[0].findings[0]
    assert found.comparison == "These data cannot tell any of the 2 candidates apart."
    assert found.undecided
    one = small(content, leaderboard=board.iloc[:1])
    found = answers(one, cells(one))[0].findings[0]
    assert found.comparison == "It is the only candidate with a result."
    tied = small(content, leaderboard=board.assign(best_group=True, rank=1))
    assert "(the same estimate)" in answers(tied, cells(tied))[0].findings[0].headline
    chance = small(content, leaderboard=board.assign(ci_low=-0.1))
    assert any("chance" in limit for limit in answers(chance, cells(chance))[0].limits)


def test_a_large_contact_sheet_is_made_smaller(tmp_path, content):
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2500), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > LARGEST_SHEET
    page = render(small(content, contact_sheet=tmp_path / "sheet.png"))
    found = re.search(r"data:image/jpeg;base64,([^\"]*)", page)
    assert len(base64.b64decode(found[1])) < LARGEST_SHEET
