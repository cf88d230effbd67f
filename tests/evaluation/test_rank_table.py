"""Ranks over tasks: by setting, without controls, with letters for what cannot be told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prognobench.evaluation.rank_table import RANK_COLUMNS, letter, rank_table
from prognobench.evaluation.ranks import critical_difference


def board(cohorts, strategies, metric="mcc", **changes):
    random = np.random.default_rng(1)
    rows = [
        {
            "dataset": f"cohort{c}", "endpoint": "e", "regime": "full_data", "shots": pd.NA,
            "level": np.nan, "backbone": backbone, "strategy": s, "metric": metric,
            "state": "done", "estimate": quality + 0.01 * random.normal(),
        }
        for c in range(cohorts)
        for (backbone, s), quality in strategies.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes).astype({"shots": "Int64"})


CANDIDATES = {("net", f"s{i}"): 0.1 * i for i in range(5)}


def test_ranks_and_the_test_are_those_of_scipy_and_controls_take_no_part():
    table = board(12, {**CANDIDATES, ("control", "clinical"): 0.9})
    found = rank_table(table)
    assert tuple(found.columns) == RANK_COLUMNS
    assert found["candidate"].tolist() == [f"net with s{i}" for i in (4, 3, 2, 1, 0)]
    assert found["mean_rank"].tolist() == pytest.approx([1, 2, 3, 4, 5])
    wide = table[table["backbone"] != "control"].pivot_table(
        index="dataset", columns="strategy", values="estimate"
    )
    expected = stats.friedmanchisquare(*(wide[name] for name in wide.columns)).pvalue
    assert found["p_value"].iloc[0] == pytest.approx(expected)
    # The critical difference for 5 candidates on 12 cohorts is 2.728 * sqrt(5 * 6 / 72) = 1.76.
    assert found["groups"].tolist() == ["a", "a b", "b c", "c d", "d"]


def test_a_loss_is_ranked_the_other_way_around():
    found = rank_table(board(12, CANDIDATES, metric="brier"))
    assert found["candidate"].iloc[0] == "net with s0"


def test_one_task_has_no_ranks_and_two_say_why_no_test_was_made():
    assert rank_table(board(1, CANDIDATES)).empty
    found = rank_table(board(2, CANDIDATES))
    assert found["p_value"].isna().all()
    assert "too few to test ranks" in found["note"].iloc[0]
    assert set(found["groups"]) == {"a"}


def test_cohorts_with_endpoints_of_their_own_are_ranked():
    """The six tasks of Ruffini et al. 2025 are of four cohorts, few of which share an endpoint."""
    table = board(6, CANDIDATES)
    other = table.assign(endpoint="endpoint of " + table["dataset"])
    pd.testing.assert_frame_equal(rank_table(other), rank_table(table))
    assert len(rank_table(other)) == len(CANDIDATES)


def test_a_task_without_any_result_takes_nobody_out():
    table = board(6, CANDIDATES)
    nobody = board(1, CANDIDATES, dataset="small", estimate=np.nan, state="not_feasible")
    found = rank_table(pd.concat([table, nobody]))
    assert found["blocks"].tolist() == [6] * len(CANDIDATES)
    pd.testing.assert_frame_equal(found, rank_table(table))
    assert rank_table(table.assign(estimate=np.nan)).empty


def test_who_has_not_done_what_others_have_is_left_out_and_named():
    """The folds that are done may be the easy ones: the leaderboard ranks such a one last."""
    table = board(6, CANDIDATES)
    best = (table["strategy"] == "s4") & (table["dataset"] == "cohort2")
    lacking = table["state"].mask(best, "partial")
    found = rank_table(table.assign(state=lacking))
    others = rank_table(table[table["strategy"] != "s4"])
    pd.testing.assert_frame_equal(found.drop(columns="note"), others.drop(columns="note"))
    assert set(found["note"]) == {
        "left out, because runs or values are missing that others have: net with s4"
    }
    # A candidate without any value has no say; one that lacks a value on one task is named too.
    never = table["estimate"].mask(table["strategy"] == "s0").mask(best)
    found = rank_table(table.assign(estimate=never))
    assert found["note"].iloc[0].endswith("others have: net with s4")
    assert found["candidate"].tolist() == ["net with s3", "net with s2", "net with s1"]
    # While nobody is done on a task, those who are under way are compared, as in the leaderboard.
    going = table["state"].mask(table["dataset"] == "cohort2", "partial")
    pd.testing.assert_frame_equal(rank_table(table.assign(state=going)), rank_table(table))


def test_a_note_names_a_few_and_stands_beside_why_no_test_was_made():
    many = {("net", f"s{i}"): 0.1 * i for i in range(9)}
    table = board(4, many)
    lacking = table["strategy"].isin([f"s{i}" for i in range(7)]) & (table["dataset"] == "cohort0")
    found = rank_table(table.assign(state=table["state"].mask(lacking, "partial")))
    assert found["candidate"].tolist() == ["net with s8", "net with s7"]
    why, left_out = found["note"].iloc[0].split("; ")
    assert why.startswith("2 candidates") and "too few to test ranks" in why
    assert left_out.endswith("net with s4, net with s5 and 1 more")


def test_settings_are_ranked_apart():
    one, other = board(4, CANDIDATES), board(4, CANDIDATES, regime="few_shot", shots=4)
    found = rank_table(pd.concat([one, other]))
    assert found.groupby(["regime", "shots"], dropna=False).size().tolist() == [5, 5]


def test_letters_do_not_run_out():
    assert [letter(place) for place in (0, 25, 26, 51)] == ["a", "z", "aa", "zz"]


def test_the_critical_difference_is_that_of_the_published_table():
    # Demsar 2006, table 5(a): q at 0.05 is 1.960, 2.343, 2.569, 2.728 for 2 to 5 candidates.
    for candidates, quantile in zip((2, 3, 4, 5), (1.960, 2.343, 2.569, 2.728), strict=True):
        expected = quantile * np.sqrt(candidates * (candidates + 1) / (6 * 14))
        assert critical_difference(candidates, 14) == pytest.approx(expected, abs=1e-3)
