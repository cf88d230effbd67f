"""The leaderboard on the terminal says who is not shown to beat the controls."""

from __future__ import annotations

import io

import pandas as pd
from rich.console import Console

from prognobench.cli.leaderboard import _with_interval, print_leaderboard
from prognobench.evaluation.evaluated import is_incomplete


def printed(beats):
    """Print a board of candidates that beat the best control or do not, and that control."""
    rows = [
        {
            "backbone": "control" if own is None else "net",
            "strategy": name,
            "best_group": False,
            "state": "done",
            "control": None if own is None else "age_and_sex",
            "beats_controls": own,
        }
        for name, own in {**beats, "age_and_sex": None}.items()
    ]
    same = {"dataset": "d", "endpoint": "e", "regime": "full_data", "metric": "mcc", "reason": None}
    numbers = [f"{m}{end}" for m in ("", "auroc_") for end in ("ci_low", "ci_high")]
    table = pd.DataFrame(rows).assign(**same, shots=pd.NA, level=float("nan"), estimate=0.5)
    table = table.assign(auroc=0.7, **dict.fromkeys(numbers, 0.5))
    console = Console(file=io.StringIO(), width=200)
    print_leaderboard(table.astype({"beats_controls": "boolean"}), console)
    return console.file.getvalue()


def test_who_does_not_beat_the_best_control_is_named():
    text = printed({"lora": True, "full": False, "linear": False})
    assert "not shown to beat the best control (age_and_sex): net full and net linear" in text


def test_a_table_in_which_nobody_does_says_so_and_one_without_such_says_nothing():
    assert "no candidate is shown to beat the best control (age_and_sex)" in printed({"a": False})
    assert "beat the best control" not in printed({"lora": True})
    assert "beat the best control" not in printed({})


def test_an_estimate_without_an_interval_is_printed_as_such():
    table = pd.DataFrame({"estimate": [0.5], "ci_low": [float("nan")], "ci_high": [float("nan")]})
    assert _with_interval(table.iloc[0].to_dict(), "estimate") == "0.500 (no interval)"


def test_a_candidate_with_runs_missing_is_not_said_to_be_as_good():
    rows = [{"best_group": True, "state": state} for state in ("done", "partial", "done")]
    best = pd.Series(rows[0])
    assert [is_incomplete(row, best) for row in rows] == [False, True, False]
    assert not is_incomplete(rows[1], pd.Series(rows[1]))
