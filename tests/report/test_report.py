"""The page: its words, its tables, what it must not hold."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from fake_benchmark import fake_audit
from PIL import Image

from prognobench.evaluation.metrics import METRICS
from prognobench.report import gallery as gallery_module
from prognobench.report import words
from prognobench.report.answer import answers
from prognobench.report.audit_section import audit_section
from prognobench.report.checklist import checklists, facts
from prognobench.report.checklist_items import GUIDELINES
from prognobench.report.content import ReportContent, Saliency, cells
from prognobench.report.drawing import Figure
from prognobench.report.files import as_csv, markdown, write_figures, write_tables
from prognobench.report.gallery import Placed
from prognobench.report.latex import latex
from prognobench.report.limits import limits
from prognobench.report.page import build, render, write_report
from prognobench.report.pictures import LARGEST_SHEET
from prognobench.report.tables import guidelines, plain
from prognobench.report.view import collapsed, rankings, undefined

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def built(content):
    return build(content)


@pytest.fixture(scope="module")
def page(built):
    return built.page


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


def small(content, **changes):
    """The content with changes, and without what takes long to draw."""
    return ReportContent(**{**vars(content), **changes})


def renamed(table, column, name):
    named = {"mhh": name, "lora": name, "biomedclip": name}
    return table.assign(**{column: table[column].replace(named)})


def renamed_all(table, name):
    """Name dataset, backbone and strategy so."""
    for column in ("dataset", "backbone", "strategy"):
        table = renamed(table, column, name)
    return table


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path, content, built, monkeypatch):
    monkeypatch.setattr("prognobench.report.page.build", lambda content: built)
    older = tmp_path / "report" / "figures" / "older.svg"
    older.parent.mkdir(parents=True)
    older.touch()
    path = write_report(tmp_path, content)
    assert path == tmp_path / "report" / "index.html"
    assert path.stat().st_size < 8e6
    page = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    for tag, attrs in Reader(page).elements:
        for name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            value = attrs.get(name) or "#"
            beside = tag == "a" and re.fullmatch(r"(figures|tables)/[a-z0-9-]+\.[a-z]+", value)
            assert value.startswith(("#", "data:image/")) or beside, (tag, name, value[:60])
            if beside:
                assert (path.parent / value).is_file()
    assert not older.exists()
    for placed in built.figures:
        found = pd.read_csv(path.parent / "figures" / f"{placed.stem}.csv")
        assert list(found.columns) == list(placed.figure.data.columns)
        assert len(found) == len(placed.figure.data)
        drawing = (path.parent / "figures" / f"{placed.stem}.svg").read_text(encoding="utf-8")
        assert "var(--" not in drawing and "<title>" in drawing
    suffixes = {own.suffix for own in (path.parent / "tables").iterdir()}
    assert suffixes == {".csv", ".md", ".tex"}


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
    assert "AUROC 0.71 from AP or PA alone" in text.split("The answer")[2]
    assert text.index("AUROC 0.71 from AP or PA alone") < text.index("Participant flow")


def test_the_flow_shows_what_each_rule_dropped(page):
    rows = re.findall(r'<tr class="(total|drop)"><th scope="row">(.*?)</th>(.*)</tr>', page)
    counts = [(kind, reason, re.findall(r">([^<]+)</td>", cells)) for kind, reason, cells in rows]
    assert counts[0] == ("total", "listed by the source", ["321", "230", "–"])
    assert counts[1][1:] == ("taken after admission to intensive care", ["−61", "−12", "−12"])
    assert counts[-1] == ("total", "in the task", ["200", "200", "40"])


def test_every_table_of_the_page_is_a_file_too(built, content):
    named = {own.name for own in built.tables}
    whole = re.findall(r"<table.*?</table>", built.page, flags=re.DOTALL)
    elsewhere = [one for one in whole if 'href="tables/' not in one]
    # The leaderboard and the mean ranks name their files above them.
    assert len(elsewhere) == 1 + len(rankings(content))
    assert elsewhere[0].startswith('<table class="board')
    linked = set(re.findall(r'href="tables/([a-z0-9-]+)\.tex"', built.page))
    assert linked == named
    flow = next(own for own in built.tables if own.name == "flow-mhh-icu")
    assert flow.data["patients"].tolist() == [230, 12, 0, 18, 200]
    assert flow.shown["With the event"].tolist() == ["–", "−12", "0", "–", "40"]
    best = next(own for own in built.tables if own.name == "settings-mhh-icu")
    assert best.shown["Regime"].tolist()[:2] == [
        "all training data",
        "few-shot, 2 patients a class",
    ]
    assert len(best.shown) == 3


def test_tables_of_the_audit_are_files_too(content):
    nothing = content.leaderboard.iloc[:0]
    audit = fake_audit("mhh/icu", site="hill")
    built = build(small(content, leaderboard=nothing, audit=audit, saliency=[]))
    made = {own.name: own for own in built.tables if own.name.startswith("audit-")}
    names = {"audit-mhh-icu-shortcuts", "audit-mhh-icu-groups", "audit-home-missing"}
    assert set(made) == names
    assert "view & 0.83 (0.72 to 0.92) & beats chance" in latex(made["audit-mhh-icu-shortcuts"])
    for name in names:
        assert f'href="tables/{name}.tex"' in built.page


def test_failures_are_listed_with_their_reasons(page):
    text = Reader(page).text
    assert "VeRA needs linear layers" in text
    assert "the loss became infinite at step 12" in text
    assert "Runs that gave every patient the same score" in text


def test_every_figure_is_described_and_has_names_of_its_own(page):
    reader = Reader(page)
    drawings = [attrs for tag, attrs in reader.elements if tag == "svg"]
    assert len(drawings) == 10
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    names = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(names) == len(set(names))
    referred = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page))
    assert referred <= set(names)
    images = [attrs for tag, attrs in reader.elements if tag == "img"]
    assert len(images) == 3
    assert all(attrs["alt"] for attrs in images)


def test_names_are_text_in_the_page_and_in_the_figures(content):
    name = EVIL
    evil = small(
        content,
        title=name,
        leaderboard=renamed_all(content.leaderboard, name),
        results=renamed_all(content.results, name),
        curves=renamed_all(content.curves, name),
        subgroups=renamed_all(content.subgroups, name).assign(group=name),
        ranks=content.ranks.assign(candidate=name),
        saliency=[Saliency(name, {"task": name, "candidate": name, "reason": name})],
        digests={name: name},
        runs=renamed_all(content.runs, name).assign(reason=name),
        spec=f"name: {name}",
        flows={name: [{"reason": name, "images": 1, "patients": 1}]},
        audits={name: {"warnings": [name], name: name}},
        environment={name: name},
        provenance={"title": name},
        outcomes={f"{name}/icu": name},
        backbones=pd.DataFrame({name: [name]}),
    )
    found = build(evil)
    assert name not in found.page
    assert name in Reader(found.page).text
    escaped = name.replace("<", "&lt;").replace(">", "&gt;")
    forest = next(own for own in found.figures if own.figure.name == "forest")
    assert escaped in forest.figure.svg and escaped in forest.figure.file
    for placed in found.figures:
        assert name not in placed.figure.svg and name not in placed.figure.file
    for table in found.tables:
        assert name not in markdown(table)


def test_numbers_in_the_leaderboard_never_stand_without_their_interval(page):
    cells = re.findall(r'<td class="number" data-metric="[^"]*"[^>]*>([^<]*)<', page)
    assert len(cells) > 100
    for text in cells:
        assert text in ("–", "best estimate") or re.fullmatch(
            r"−?\d\.\d+ \((no interval|−?\d\.\d+ to −?\d\.\d+)\)", text
        ), text


def test_short_times_are_no_zeros():
    assert [words.seconds(value) for value in (0.004, 0.1, 3.14159)] == [
        "under 0.1\xa0s",
        "0.1\xa0s",
        "3.1\xa0s",
    ]


def test_the_control_that_is_constant_has_not_collapsed(content):
    own = content.results.query("metric == 'auroc'").head(2)
    own = own.assign(flag="constant_prediction", strategy=["prevalence", "linear"])
    found = collapsed(small(content, results=own))
    assert [row["strategy"] for row in found] == ["linear"]


def test_nothing_done_is_a_page_too(content):
    nothing = content.leaderboard.iloc[:0]
    page = render(small(content, leaderboard=nothing, results=content.results.iloc[:0]))
    assert "There are no results yet" in page
    assert len(page) < 400_000
    # Planned and failed throughout: cells without a single number.
    board = content.leaderboard
    empty = board[board["estimate"].isna()]
    assert "No candidate has a result" in render(small(content, leaderboard=empty))


def test_one_candidate_and_undecided_ones_are_said_so(content):
    board = content.leaderboard.query("regime == 'full_data' and rank <= 2").copy()
    two = small(content, leaderboard=board.assign(best_group=True))
    found = answers(two, cells(two))[0].main
    assert found.comparison == "The other candidate cannot be told apart from it."
    assert found.verdict == "undecided"
    three = content.leaderboard.query("regime == 'full_data'").sort_values("rank").head(3)
    three = small(content, leaderboard=three.assign(best_group=True))
    told = answers(three, cells(three))[0].main.comparison
    assert told == "None of the other 2 candidates can be told apart from it."
    one = small(content, leaderboard=board.iloc[:1])
    found = answers(one, cells(one))[0].main
    assert found.comparison == "It is the only candidate with a result."
    assert not found.verdict
    tied = small(content, leaderboard=board.assign(best_group=True, rank=1))
    assert "(the same estimate)" in answers(tied, cells(tied))[0].main.headline
    chance = small(content, leaderboard=board.assign(ci_low=-0.1))
    assert any("chance" in limit for limit in answers(chance, cells(chance))[0].limits)


def test_nothing_is_decided_while_runs_are_missing(content):
    board = content.leaderboard.query("regime == 'full_data' and rank <= 2").copy()

    def main(state, *empty, best=(True, False)):
        own = board.assign(state=["done", state], best_group=list(best))
        own.loc[own.index[1], list(empty)] = np.nan
        one = small(content, leaderboard=own)
        return answers(one, cells(one))[0].main

    assert main("done").verdict == "decided"
    assert main("partial", best=(True, True)).verdict == "runs missing"
    alone = main("pending", "estimate", "rank")
    assert alone.verdict == "runs missing"
    assert alone.comparison.endswith("with a result. 1 candidate has no result.")
    assert not main("not_applicable", "estimate", "rank").verdict
    # Where even the best has runs missing, what it is better than may still win.
    partial = small(content, leaderboard=board.assign(state="partial", best_group=[True, False]))
    found = answers(partial, cells(partial))[0].main
    assert found.verdict == "runs missing"
    assert "another may turn out the best" in found.comparison


def test_a_difference_without_an_interval_is_said_not_to_be_tested(content):
    board = content.leaderboard
    board = board[board["regime"] == "full_data"].assign(best_group=True, control="prevalence")
    board = board.assign(control_difference=0.3, beats_controls=False)
    ends = ("difference_low", "difference_high", "p_value", "p_holm", "control_low", "control_high")
    board = board.assign(**dict.fromkeys(ends, np.nan))
    control = board.iloc[[1]].assign(backbone="control", strategy="prevalence", rank=pd.NA)
    one = small(content, leaderboard=pd.concat([board, control], ignore_index=True), saliency=[])
    built = build(one)
    text = " ".join(Reader(built.page).text.split())
    assert text.count("not tested") == (board["rank"] > 1).sum()
    assert "(difference 0.30, no interval)" in text
    assert not re.search(r"\bnan\b", text)
    for table in (own for own in built.tables if own.name == "leaderboard"):
        assert "nan" not in table.shown.to_csv()


def test_a_large_contact_sheet_is_made_smaller(tmp_path, content):
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2500), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > LARGEST_SHEET
    nothing = content.leaderboard.iloc[:0]
    bare = small(content, leaderboard=nothing, saliency=[], ranks=nothing.iloc[:, :0])
    page = render(small(bare, contact_sheets=[tmp_path / "sheet.png"]))
    found = re.search(r"data:image/jpeg;base64,([^\"]*)", page)
    assert len(base64.b64decode(found[1])) < LARGEST_SHEET


def test_damaged_pictures_are_left_out_of_the_page_and_counted(tmp_path, content):
    large, cut, whole = (tmp_path / f"{name}.png" for name in ("large", "cut", "whole"))
    large.write_bytes(b"no picture " * (LARGEST_SHEET // 10))
    Image.fromarray(np.arange(2500, dtype=np.uint8).reshape(50, 50)).save(whole)
    cut.write_bytes(whole.read_bytes()[:-200])
    garbage = tmp_path / "garbage.png"
    garbage.write_bytes(b"no picture")
    (maps,) = content.saliency
    examples = [{**maps.examples[0], "picture": garbage}, *maps.examples[1:]]
    nothing = content.leaderboard.iloc[:0]
    bare = small(content, leaderboard=nothing, ranks=nothing.iloc[:, :0])
    shown = Saliency(maps.task, maps.about, examples)
    page = render(small(bare, contact_sheets=[large, cut, whole], saliency=[shown]))
    assert page.count("data:image/png") == 1
    assert page.count("data:image/jpeg") == 1
    assert "Not shown, as the file cannot be read: 3 pictures." in page
    assert "cannot be read" not in render(small(bare, contact_sheets=[whole], saliency=[maps]))


def test_pictures_of_patients_can_be_left_out(content):
    nothing = content.leaderboard.iloc[:0]
    page = render(small(content, leaderboard=nothing, images=False))
    assert "data:image" not in page
    assert "Pictures of patients are left out" in page


def test_calibration_and_cost_are_said_in_words(content):
    found = answers(content, cells(content))[0].main
    best = content.leaderboard.query("regime == 'full_data' and rank == 1").iloc[0]
    assert f"Calibration slope {best['calibration_slope']:.2f}" in found.calibration
    row = cells(content)[0].ranked[0]
    cases = {
        (0.5, 0.2, 0.9): "too extreme",
        (1.5, 1.2, 1.9): "too timid",
        (0.9, 0.5, 1.2): "not shown to be too extreme or too timid",
    }
    columns = ("calibration_slope", "calibration_slope_ci_low", "calibration_slope_ci_high")
    for values, said in cases.items():
        board = content.leaderboard.copy()
        board.loc[best.name, list(columns)] = values
        other = small(content, leaderboard=board)
        assert said in answers(other, cells(other))[0].main.calibration
    assert str(row["trainable_parameters"])[:2] in found.cost
    # A task without these metrics (another kind of endpoint) says nothing of them.
    plainer = small(content, leaderboard=content.leaderboard.assign(calibration_slope=np.nan))
    assert answers(plainer, cells(plainer))[0].main.calibration == ""


def test_limits_name_small_subgroups_and_the_missing_external_test(content):
    said = " ".join(answers(content, cells(content))[0].limits)
    assert "Too few patients with or without the event to say anything of: site harbour" in said
    assert "nothing here says how the candidates do in another hospital" in said
    outside = content.leaderboard.assign(regime="leave_one_site_out", shots=pd.NA)
    outside = outside.drop_duplicates(["backbone", "strategy"])
    other = small(content, leaderboard=outside)
    said = " ".join(answers(other, cells(other))[0].limits)
    assert "another hospital" not in said
    # A column that the authors made says nothing of places by itself.
    for column, sure in (("site", True), ("dataset", True), ("scanner", False)):
        spec = f"name: own\nregimes: [{{name: fixed_split, column: {column}}}]\n"
        other = small(content, leaderboard=outside.assign(regime="fixed_split"), spec=spec)
        said = " ".join(answers(other, cells(other))[0].limits)
        assert ("named by the column scanner" in said) != sure
        assert ("another hospital" in said) != sure


def test_what_an_estimate_is_worth_is_told_by_its_scale_and_its_side_of_chance(content):
    board = content.leaderboard.query("regime == 'full_data'")

    def said(**columns):
        own = small(content, leaderboard=board.assign(**columns))
        return " ".join(answers(own, cells(own))[0].limits)

    worse = {"ci_low": -0.5, "ci_high": -0.1, "chance": 0.0}
    assert "worse than chance: all training data" in said(**worse)
    assert "told from chance" not in said(**worse)
    assert "worse than chance" not in said(ci_low=0.1, ci_high=0.5, chance=0.0)
    wide = {"ci_low": 0.1, "ci_high": 0.9}
    assert "interval of the best candidate is wide" in said(**wide)
    # Half a level is no wide interval of a mean error in levels.
    mae = board.assign(metric="mae", chance=1.0, **wide)
    one = small(content, leaderboard=mae)
    (found,) = cells(one)
    assert not any("is wide" in limit for limit in limits(one, [found]))
    off = tuple({**row, "ci_low": 1.1, "ci_high": 1.3} for row in found.rows)
    assert "worse than chance" in " ".join(limits(one, [replace(found, rows=off)]))


def test_files_of_cohorts_with_alike_names_are_apart(content):
    names = {"a_b/icu": "a_b", "a-b/icu": "a-b"}
    board, subgroups = content.leaderboard.query("regime == 'full_data'"), content.subgroups
    two = small(
        content,
        leaderboard=pd.concat([board.assign(dataset=own) for own in names.values()]),
        subgroups=pd.concat([subgroups.assign(dataset=own) for own in names.values()]),
        results=content.results.iloc[:0],
        saliency=[],
    )
    files = [table.name for table in build(two).tables]
    assert len(files) == len(set(files))
    assert sum(name.startswith("subgroups-") for name in files) == 2
    about = {"images": 4, "missing": {"age": 1}, "missing_by": {}}
    audit = audit_section({"cohorts": dict.fromkeys(names.values(), about)}, [])
    assert len({grid.name for grid in audit.missing}) == 2


def test_shares_and_draws_in_words(content):
    assert words.level(0.9995) == "99.95\u00a0%"
    assert [words.level(own) for own in (0.95, 0.9, 0.999)] == [
        "95\u00a0%",
        "90\u00a0%",
        "99.9\u00a0%",
    ]
    few = next(cell for cell in cells(content) if cell.shots)
    for metric, drawn in (("mae", "a band of scores"), ("c_index", "with the event seen, and")):
        assert f"{few.shots} patients {drawn}" in replace(few, metric=METRICS[metric]).setting


def test_the_control_that_is_constant_lacks_no_metric(content):
    own = content.results.query("metric == 'calibration_slope'").head(2)
    own = own.assign(value=np.nan, reason="no slope fits", strategy=["prevalence", "linear"])
    found = undefined(small(content, results=own))
    assert [row["count"] for row in found] == [1]


def test_checklists_hold_what_is_known_and_leave_the_rest_open(content):
    found = cells(content)
    known = facts(content, found)
    asked = {item.known for items, _ in GUIDELINES.values() for item in items if item.known}
    # These need a benchmark that the fake one is not.
    others = {"clusters", "missing", "sites", "training", "imbalance", "characteristics"}
    assert asked - set(known) == others
    assert set(known) <= asked
    tripod, claim = checklists(content, found)
    assert (len(tripod.rows), len(claim.rows)) == (52, 44)
    answers_of = {number: (answer, left) for number, _, answer, left in tripod.rows}
    assert answers_of["17"] == ("open: for the authors", True)
    assert "40 with the event" in answers_of["21"][0] and not answers_of["21"][1]
    assert "open: for the authors: follow-up time." in answers_of["20a"][0]
    nothing = small(content, leaderboard=content.leaderboard.iloc[:0], spec="")
    assert checklists(nothing, [])[0].filled < tripod.filled
    title = guidelines(content, found)[0].title
    counted = [answer.startswith("open") for _, _, answer, _ in tripod.rows]
    partly = sum("open: for" in own[2] and not own[2].startswith("open") for own in tripod.rows)
    assert f": {52 - sum(counted)} of 52 items have an answer from the tool, {partly} " in title
    assert title.endswith(f" of these only in part; {sum(counted)} are left to the authors")


# What the published lists ask for under each number, a word or two of it, from their tables.
TRIPOD_TOPICS = {
    "1": "title", "2": "abstract", "3a": "why|exist", "3b": "for whom", "3c": "inequalit",
    "4": "set out", "5a": "data", "5b": "when|follow", "6a": "setting", "6b": "includ",
    "6c": "treatment", "7": "prepared", "8a": "outcome", "8b": "assess", "8c": "knew",
    "9a": "predictors", "9b": "measured", "9c": "assess", "10": "sample size",
    "11": "missing", "12a": "divided", "12b": "predictors", "12c": "models", "12d": "between",
    "12e": "performance", "12f": "change", "12g": "predictions", "13": "imbalance",
    "14": "fairness", "15": "threshold", "16": "differences", "17": "ethic", "18a": "funding",
    "18b": "conflict", "18c": "protocol", "18d": "registration", "18e": "data", "18f": "code",
    "19": "public", "20a": "flow", "20b": "characteristics", "20c": "comparison", "21": "events",
    "22": "whole model", "23a": "interval", "23b": "between", "24": "updating",
    "25": "interpretation", "26": "limitation", "27a": "input", "27b": "users", "27c": "next",
}  # fmt: skip
CLAIM_TOPICS = {
    "1": "title", "2": "summary", "3": "background", "4": "aims", "5": "retrospective",
    "6": "goal", "7": "sources", "8": "included", "9": "preprocessing", "10": "selection",
    "11": "de-ident", "12": "missing", "13": "acquired", "14": "reference standard",
    "15": "why", "16": "source of the reference", "17": "test set", "18": "variability",
    "19": "assigned", "20": "disjoint", "21": "sample size", "22": "model", "23": "software",
    "24": "initial", "25": "training", "26": "final model", "27": "ensemble", "28": "metrics",
    "29": "uncertainty", "30": "robust", "31": "expla", "32": "internal", "33": "external",
    "34": "registration", "35": "numbers", "36": "characteristics", "37": "uncertainty",
    "38": "precision", "39": "wrong cases", "40": "limitation", "41": "practice",
    "42": "protocol", "43": "software, model and data", "44": "funding",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "topics"), [("TRIPOD+AI", TRIPOD_TOPICS), ("CLAIM", CLAIM_TOPICS)]
)
def test_items_have_the_numbers_of_the_published_lists(name, topics):
    items, _ = GUIDELINES[name]
    assert [item.number for item in items] == list(topics)
    for item in items:
        assert re.search(topics[item.number], item.topic.lower()), item


def test_what_a_large_benchmark_does_not_show_is_said(content, monkeypatch):
    monkeypatch.setattr(gallery_module, "MOST_TASKS", 0)
    monkeypatch.setattr("prognobench.report.view.MOST_ROWS", 20)
    page = render(content)
    assert "Figures are drawn for the first 0 of 1 tasks" in page
    total = len(content.leaderboard)
    shown = page.count('<tr class="cell')
    assert shown < total
    assert f"{shown} of {total} rows are shown" in page


def test_tables_are_escaped_for_markdown():
    data = pd.DataFrame({"a_b": ["x|y", "5 % & $3_2$ −1 <b>"], "n": [1, 2]})
    table = plain("name", "A & B", data)
    assert "| x\\|y | 1 |" in markdown(table)
    assert "&lt;b&gt;" in markdown(table)


def test_a_link_in_a_name_is_text_in_markdown():
    table = plain("name", "`A`", pd.DataFrame({"a": ["[x](javascript:y)", "a\\|b"]}))
    assert "\\[x](javascript:y)" in markdown(table)
    assert "a\\\\\\|b" in markdown(table)
    assert r"\`A\`" in markdown(table)


def test_a_spreadsheet_finds_no_formula_in_what_the_report_writes(tmp_path):
    formulas = ["=HYPERLINK(1)", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
    harmless = ["-0.5", "+3e-4", "-inf", "a=b", "", None]
    data = pd.DataFrame({"=a": [*formulas, *harmless], "n": np.arange(12) - 6.5})
    text = as_csv(data)
    found = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str, lineterminator="\n")
    assert list(found.columns) == ["'=a", "n"]
    assert list(found["'=a"]) == [*(f"'{own}" for own in formulas), *harmless[:-1], ""]
    assert list(found["n"].astype(float)) == list(data["n"])
    write_tables(tmp_path / "tables", [plain("name", "A title", data)])
    drawn = Figure("f", "F", "<svg></svg>", "<svg></svg>", data, "", "", 1)
    write_figures(tmp_path / "figures", [Placed("less", "t", "T", "drawn", drawn)])
    for written in ("figures/drawn.csv", "tables/name.csv"):
        assert (tmp_path / written).read_bytes() == text.encode()
