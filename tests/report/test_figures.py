"""One test a figure: what is drawn, and what its CSV holds, are the evaluation's numbers."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_benchmark import fake_ranks

from prognobench.evaluation.pareto import pareto_front
from prognobench.evaluation.subgroups import FEW_EVENTS, FEW_OTHERS
from prognobench.report import words
from prognobench.report.content import cells, of_cell, records
from prognobench.report.drawing import own_style
from prognobench.report.figures.calibration import calibration
from prognobench.report.figures.cost import cost
from prognobench.report.figures.curves import curves
from prognobench.report.figures.folds import folds
from prognobench.report.figures.forest import forest
from prognobench.report.figures.heatmap import heatmap
from prognobench.report.figures.operating import decision, precision_recall, roc
from prognobench.report.figures.ranks import ranks
from prognobench.report.figures.subgroups import subgroups
from prognobench.report.view import rankings


@pytest.fixture(scope="module")
def cell(content):
    return cells(content)[0]


@pytest.fixture(autouse=True)
def style():
    with own_style():
        yield


def marks(figure):
    """What each mark says, and where it is drawn."""
    found = re.findall(
        r'class="told"><title>(.*?)</title>(.*?)</g>\s*</g>', figure.svg, flags=re.DOTALL
    )
    return [
        (text, *map(float, re.search(r'<use[^>]* x="([\d.]+)" y="([\d.]+)"', body).groups()))
        for text, body in found
    ]


def test_forest(content, cell):
    figure = forest(cell)
    board = content.leaderboard.query("regime == 'full_data'")
    with_estimate = board[board["estimate"].notna()]
    assert figure.data["estimate"].dropna().tolist() == with_estimate["estimate"].tolist()
    assert figure.data["ci_low"].dropna().tolist() == with_estimate["ci_low"].tolist()
    drawn = marks(figure)
    assert len(drawn) == len(with_estimate)
    # Places on the page are the estimates, up to scale and shift.
    x = np.array([place for _, place, _ in drawn])
    slope, shift = np.polyfit(with_estimate["estimate"], x, 1)
    assert slope > 0
    assert x == pytest.approx(slope * with_estimate["estimate"] + shift, abs=0.01)
    for row, (text, *_) in zip(cell.ranked, drawn, strict=True):
        numbers = [words.number(row[name]) for name in ("estimate", "ci_low", "ci_high")]
        assert "MCC {} ({} to {})".format(*numbers) in text


def test_heatmap(cell):
    figure = heatmap(cell)
    assert figure.data["estimate"].notna().sum() == len(cell.ranked)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)
    assert texts.count("n/a") == 2
    best = cell.ranked[0]
    assert f"{best['estimate']:.2f}" in texts
    assert "font-weight: 700" in figure.svg or "bold" in figure.svg


def test_cost(cell):
    figure = cost(cell)
    data = figure.data
    for column in ("trainable_parameters", "train_seconds"):
        expected = pareto_front(data[column], data["estimate"])
        assert data[f"pareto_{column}"].tolist() == expected.tolist()
    drawn = marks(figure)
    assert len(drawn) == 2 * len(data)
    x = np.array([place for _, place, _ in drawn[: len(data)]])
    logs = np.log10(data["trainable_parameters"].astype(float))
    slope, shift = np.polyfit(logs, x, 1)
    assert x == pytest.approx(slope * logs + shift, abs=0.01)
    told = [text for text, *_ in drawn[: len(data)]]
    front = ["Pareto" in text for text in told]
    assert front == data["pareto_trainable_parameters"].tolist()


def test_curves(content):
    varied = [cell for cell in cells(content) if cell.varied is not None]
    figure = curves(varied)
    board = content.leaderboard.query("regime == 'few_shot'").dropna(subset=["estimate"])
    assert sorted(figure.data["estimate"]) == sorted(board["estimate"])
    assert set(figure.data["at"]) == {2, 8}
    assert len(marks(figure)) == len(board)


def test_candidates_with_missing_runs_are_marked(content, cell):
    """Their estimates are of other runs: a figure that shows them as equals would mislead."""
    said = "runs are missing that the best has"
    few = [own for own in cells(content) if own.varied is not None]
    whole = [replace(own, rows=tuple({**row, "state": "done"} for row in own.rows)) for own in few]
    complete = replace(cell, rows=tuple({**row, "state": "done"} for row in cell.rows))
    for figure in (curves(whole), heatmap(complete), cost(complete)):
        assert said not in figure.caption
    # The one that costs least is on the front, unless runs of it are missing.
    cheap = min(complete.ranked[1:], key=lambda row: row["trainable_parameters"])

    def lacking(own):
        name = cheap["backbone"], cheap["strategy"]
        rows = [
            {**row, "state": "partial"} if (row["backbone"], row["strategy"]) == name else row
            for row in own.rows
        ]
        return replace(own, rows=tuple(rows))

    drawn = curves([lacking(own) for own in whole])
    assert said in drawn.caption
    assert any("runs missing, not to be compared" in text for text, *_ in marks(drawn))
    drawn = heatmap(lacking(complete))
    assert said in drawn.caption
    assert f"{words.number(cheap['estimate'])}*" in drawn.svg
    drawn = cost(lacking(complete))
    assert said in drawn.caption
    own = drawn.data[drawn.data["strategy"] == cheap["strategy"]]
    own = own[own["backbone"] == cheap["backbone"]]
    assert not own["pareto_trainable_parameters"].any() and not own["pareto_train_seconds"].any()


@pytest.mark.parametrize(
    ("draw", "name"),
    [(roc, "roc"), (precision_recall, "precision_recall"), (decision, "decision")],
)
def test_operating_curves(content, cell, draw, name):
    lines = of_cell(content.curves, cell)
    figure = draw(cell, lines)
    expected = lines[lines["curve"] == name]
    assert figure.data["value"].tolist() == expected["value"].tolist()
    assert figure.data["ci_low"].tolist() == expected["ci_low"].tolist()
    assert figure.svg.count("<path") > 3
    assert draw(cell, lines.iloc[:0]) is None


def test_calibration(content, cell):
    lines = of_cell(content.curves, cell)
    figure = calibration(cell, lines)
    bins = lines[(lines["curve"] == "calibration") & (lines["kind"] == "bin")]
    drawn = figure.data[figure.data["kind"] == "bin"]
    assert drawn["value"].tolist() == bins["value"].tolist()
    told = [text for text, *_ in marks(figure)]
    assert len(told) == len(bins)
    assert f"{int(bins['n'].iloc[0])} patients" in told[0]


def test_folds(content, cell):
    results = of_cell(content.results, cell)
    results = results[results["metric"] == "mcc"]
    figure = folds(cell, results)
    pd.testing.assert_series_equal(figure.data["value"], results["value"])
    shown = {(row["backbone"], row["strategy"]) for row in cell.ranked[:12]}
    named = pd.MultiIndex.from_frame(results[["backbone", "strategy"]])
    assert len(marks(figure)) == (named.isin(shown) & results["value"].notna()).sum()
    assert folds(cell, results.head(1)) is None


def test_subgroups(content, cell):
    table = of_cell(content.subgroups, cell)
    figure = subgroups(cell, table)
    pd.testing.assert_frame_equal(figure.data, table)
    with_numbers = table[table["metric"].isin(["auroc", "observed_to_expected"])]
    assert len(marks(figure)) == with_numbers["value"].notna().sum()
    assert "site: harbour  (&lt;10/10)" in figure.svg
    assert figure.svg.count("too few") == with_numbers["value"].isna().sum()
    # Nearly all of a group with the event are no few events.
    others = table.assign(reason=table["reason"].replace(FEW_EVENTS, FEW_OTHERS))
    drawn = subgroups(cell, others).svg
    assert "site: harbour  (–/10)" in drawn and "&lt;10/" not in drawn


def test_a_line_at_chance_is_told_of_where_it_is_drawn(cell):
    rows = tuple({**row, "chance": None} for row in cell.rows)
    assert "dashed line is chance" in forest(cell).caption
    assert "dashed line" not in forest(replace(cell, rows=rows)).caption


def test_ranks():
    table = fake_ranks()
    figure = ranks(table, "full data")
    assert figure.data["mean_rank"].tolist() == table["mean_rank"].tolist()
    told = re.findall(r"<title>(.*?)</title>", figure.svg)
    assert told == [
        f"{row['candidate']}: mean rank {row['mean_rank']:.2f}" for row in records(table)
    ]
    assert f"critical difference {table['critical_difference'].iloc[0]:.2f}" in figure.svg
    assert ranks(table.assign(p_value=np.nan), "full data") is None
    alike = ranks(table.assign(p_value=0.3, critical_difference=np.nan, groups="a"), "full data")
    assert "nan" not in alike.svg and "critical difference" not in alike.svg
    assert "does not tell any of them apart at 5 % (p = 0.3)" in alike.caption


def test_what_is_said_of_ranks_names_who_is_left_out_beside_the_test(content):
    ranked = fake_ranks()
    by_test = "Candidates that share a letter cannot be told apart (Nemenyi)."

    def said(**changes):
        return rankings(replace(content, ranks=ranked.assign(**changes)))[0][1]

    assert said().startswith("Friedman's test over 6 cohorts: p = ") and said().endswith(by_test)
    assert said(note="left out: x") == f"Left out: x. {said()}"
    assert said(note="too few", p_value=np.nan) == "Too few."
    alike = said(p_value=0.3, critical_difference=np.nan)
    assert alike.endswith(
        "p = 0.3. No candidate is told apart from another, and Nemenyi's test is not made."
    )


def test_nothing_is_drawn_without_a_number(content):
    board = content.leaderboard
    empty = board[board["estimate"].isna()]
    cell = cells(type(content)(**{**vars(content), "leaderboard": empty}))[0]
    assert forest(cell) is heatmap(cell) is cost(cell) is curves([cell]) is None
