"""CSV files are those that pandas writes."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prognobench.report import csv_tables
from prognobench.report.csv_tables import (
    InterruptedWritingError,
    write_csv,
    write_csv_beside,
)


@pytest.mark.parametrize("together", [2, 1000])
@pytest.mark.parametrize("rows", [5, 0])
def test_tables_are_written_as_pandas_writes_them(tmp_path, monkeypatch, together, rows):
    monkeypatch.setattr(csv_tables, "ROWS_TOGETHER", together)
    words = ["a", "b,c", 'd "e"', None, "ünï\nline"]
    table = pd.DataFrame(
        {
            "words, odd": words,
            "value": [1.0, 1e-5, 0.1 + 0.2, np.nan, -0.0],
            "zeros": [0.0, -0.0, 0.0, np.inf, -np.inf],
            "big": [1e22, 123456789.0, 1e16, 5e-324, 1 / 3],
            "count": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "truth": [True, False, True, True, False],
            "maybe": pd.array([True, None, False, None, True], dtype="boolean"),
            "empty": [np.nan] * 5,
            "object": pd.Series([None, "x", None, "y", "z"], dtype=object),
            "few": pd.Categorical(words, categories=[own for own in words if own]),
        }
    ).head(rows)
    write_csv(tmp_path / "own.csv", table)
    table.to_csv(tmp_path / "pandas.csv", index=False)
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "pandas.csv").read_bytes()


@given(st.lists(st.floats() | st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=1))
def test_numbers_are_written_as_python_writes_them(values):
    written = csv_tables._numbers(np.array(values)).to_pylist()
    assert written == ["" if np.isnan(value) else repr(value) for value in values]


@pytest.fixture
def long(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_tables, "LONG", 3)
    table = pd.DataFrame({"word": ["a", None, "b"], "value": [0.1, np.nan, 2.0]})
    table["few"] = pd.Categorical(["x", "y", None])
    table.to_parquet(tmp_path / "kept.parquet", index=False)
    return table


def test_another_process_writes_what_this_one_would(long, tmp_path, monkeypatch):
    write_csv(tmp_path / "own.csv", long)
    monkeypatch.setattr(csv_tables, "write_csv", None)
    kept = tmp_path / "kept.parquet"
    write_csv_beside(tmp_path / "beside.csv", long, kept, threading.Event())
    assert (tmp_path / "beside.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()


def test_where_the_other_process_fails_this_one_writes(long, tmp_path):
    write_csv_beside(tmp_path / "own.csv", long, tmp_path / "none.parquet", threading.Event())
    assert len(pd.read_csv(tmp_path / "own.csv")) == 3


def test_writing_is_left_where_nobody_waits_for_it(long, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedWritingError):
        write_csv_beside(tmp_path / "own.csv", long, tmp_path / "kept.parquet", stop)
    assert not list(tmp_path.glob("*.csv"))
