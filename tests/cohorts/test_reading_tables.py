import datetime
import math
import re
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from prognobench.cohorts.tables import (
    cell_text,
    find_column,
    numbers,
    numbers_where_all,
    read_table,
    require_columns,
)
from prognobench.errors import UserError


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_ids_and_gaps_survive_every_kind_of_table(tmp_path, suffix):
    made = pd.DataFrame({"id": ["007", "1e3", "NA"], "value": [1.5, None, 0.1]})
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        made.to_csv(path, index=False)
    elif suffix == ".xlsx":
        made.to_excel(path, index=False)
    else:
        made.to_parquet(path)
    table = read_table(path)
    assert table["id"].tolist() == ["007", "1e3", "NA"]
    assert table["value"].isna().tolist() == [False, True, False]
    assert numbers(table["value"], "value", path).dropna().tolist() == [1.5, 0.1]


def test_an_id_that_a_gap_made_a_float_is_the_same_id_again(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"id": [7.0, None], "n": [1, 2]}).to_parquet(path)
    assert read_table(path)["id"].tolist()[0] == "7"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_and_byte_order_mark_are_understood(tmp_path, delimiter):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"a{delimiter}b\r\n1{delimiter}2\r\n\r\n".encode())
    table = read_table(path)
    assert table.columns.tolist() == ["a", "b"]
    assert table.to_numpy().tolist() == [["1", "2"]]


def test_empty_rows_and_nameless_empty_columns_are_left_out(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,,b\n1,,2\n,,\n3,,4\n")
    table = read_table(path)
    assert table.columns.tolist() == ["a", "b"]
    assert len(table) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "has no rows"),
        ("header.csv", b"a,b\n", "has no rows"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "line 3"),
        ("short.csv", b"a,b\n1\n", "line 2"),
        ("quote.csv", b'a,b\n"1,2\n', "no valid CSV"),
        ("twice.csv", b"a,a\n1,2\n", "two columns 'a'"),
        ("latin.csv", "a,b\nMünchen,2\n".encode("latin-1"), "not UTF-8"),
        ("broken.xlsx", b"not a workbook", "no readable Excel"),
        ("broken.parquet", b"not a table", "no readable Parquet"),
        ("table.doc", b"a,b\n1,2\n", "of a kind"),
    ],
)
def test_a_bad_table_gets_a_sentence_with_its_name(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_table(path)
    assert name in str(caught.value)


def test_a_missing_table_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "none.csv")


def test_columns_are_found_whatever_their_case_and_spaces():
    table = pd.DataFrame({"Patient ID": ["1"], "path": ["2"], "PATH": ["3"]})
    assert find_column(table, "patientid") == "Patient ID"
    assert find_column(table, "path") == "path"
    assert find_column(table, "view") is None


def test_every_missing_column_is_named(tmp_path):
    table = pd.DataFrame({"pathh": ["1"]})
    with pytest.raises(UserError, match=r"'path' and 'view'.*did you mean 'pathh'"):
        require_columns(table, ["path", "view"], tmp_path / "t.csv")


def test_numbers_keep_infinities_and_name_what_is_none(tmp_path):
    found = numbers(pd.Series(["1", "-inf", "NaN", None, "n/a"]), "crp", tmp_path)
    assert found.tolist()[:2] == [1.0, -math.inf]
    assert found.isna().tolist() == [False, False, True, True, True]
    with pytest.raises(UserError, match=r"'crp' .*'high', '1_0'"):
        numbers(pd.Series(["1", "high", "1_0"]), "crp", tmp_path)


def test_only_wholly_numeric_columns_become_numbers():
    assert numbers_where_all(pd.Series(["1", "2.5", None])).dtype == "float64"
    assert numbers_where_all(pd.Series(["1", "m"])).tolist() == ["1", "m"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (7.0, "7"),
        (0.1, "0.1"),
        (True, "true"),
        (math.nan, None),
        (pd.NaT, None),
        (" a ", "a"),
        ("  ", None),
        (datetime.datetime(2020, 3, 1), "2020-03-01"),
        (datetime.datetime(2020, 3, 1, 12), "2020-03-01T12:00:00"),
    ],
)
def test_cells_of_any_kind_become_text(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize("told", ["A1", "A1:C2", "A1:B4", "A1:Z90", None])
def test_the_size_that_a_workbook_tells_is_not_believed(tmp_path, told):
    path, honest = tmp_path / "t.xlsx", tmp_path / "honest.xlsx"
    rows = [["id", "a", "b"], ["1", "x", None], ["2", None, "y"], ["3", "z", "w"]]
    pd.DataFrame(rows[1:], columns=rows[0]).to_excel(honest, index=False)
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                size = b"" if told is None else f'<dimension ref="{told}"/>'.encode()
                data, count = re.subn(rb'<dimension ref="[^"]*" ?/>', size, data)
                assert count == 1
            new.writestr(name, data)
    found = read_table(path)
    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == rows[1:]
    assert found.columns.tolist() == rows[0]


def test_lists_in_a_parquet_table_are_text(tmp_path):
    path = tmp_path / "table.parquet"
    cells = {"id": ["1", "2"], "boxes": [[1, 2], []], "about": [{"a": 1}, None]}
    pd.DataFrame(cells).to_parquet(path)
    table = read_table(path)
    assert table["id"].tolist() == ["1", "2"]
    assert table["boxes"].tolist() == ["[1 2]", "[]"]
    assert table["about"].tolist()[0] == "{'a': 1.0}"


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".xls", ".parquet"])
def test_a_table_that_may_not_be_read_gets_a_sentence(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"table{suffix}"
    path.write_text("a,b\n1,2\n")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"table\..* cannot be read \(Permission denied\)"):
        read_table(path)


def test_a_name_that_is_too_long_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read .*too long"):
        read_table(tmp_path / f"{'x' * 300}.csv")


def test_a_chart_before_the_table_has_no_cells(tmp_path):
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.append(["a", "b"])
    sheet.append([1, 2])
    workbook.create_chartsheet("chart", 0).add_chart(openpyxl.chart.BarChart())
    workbook.save(tmp_path / "table.xlsx")
    assert read_table(tmp_path / "table.xlsx")["b"].tolist() == ["2"]


def test_damaged_workbooks_end_in_a_sentence(tmp_path):
    whole = tmp_path / "whole.xlsx"
    pd.DataFrame({"a": range(20), "b": "text"}).to_excel(whole, index=False)
    with zipfile.ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    random = np.random.default_rng(0)
    broken = 0
    for number in range(60):
        path = tmp_path / f"{number}.xlsx"
        name = sorted(parts)[number % len(parts)]
        data = bytearray(parts[name])
        for at in random.integers(0, len(data), 8):
            data[at] = random.integers(256)
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, bytes(data) if part == name else content)
        try:
            read_table(path)
        except UserError:
            broken += 1
    assert broken > 20
