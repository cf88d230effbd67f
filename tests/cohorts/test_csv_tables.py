"""The source ``csv`` with every kind of table, every policy, and dates."""

import contextlib

import numpy as np
import openpyxl
import pandas as pd
import pytest
from table_fixtures import write_image, write_old_workbook

from prognobench.cohorts.excel import workbook_rows
from prognobench.cohorts.load import CohortSpec, load_asked
from prognobench.cohorts.manifest import read_manifest, write_manifest
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError

HEADER = ["MRN", "File", "Moved", "Taken", "Arrived", "Moved on", "Ward"]
ROWS = [
    # 007: moved on day 4, with images of days 0, 4 and 9; 008 and 009 stayed; 010: day 2 of 5.
    ["007", "a.png", "transferred", "2021-02-26", "2021-02-26", "2021-03-02", "7a"],
    ["007", "b.png", "transferred", "2021-03-02", "2021-02-26", "2021-03-02", "7a"],
    ["007", "c.png", "transferred", "2021-03-07", "2021-02-26", "2021-03-02", "7a"],
    ["008", "d.png", "stayed", "2021-03-03", "2021-03-01", "", "8b"],
    ["008", "e.png", "stayed", "2021-03-02", "2021-03-01", "", "8b"],
    ["009", "f.png", "stayed", "2021-03-04", "2021-03-01", "", ""],
    ["010", "g.png", "transferred", "2021-03-03", "2021-03-01", "2021-03-06", ""],
    ["011", "h.png", "", "2021-03-03", "2021-03-01", "", ""],
]
COLUMNS = {
    "patient_id": "mrn",
    "path": "FILE",
    "icu": "moved",
    "acquired_date": "Taken",
    "admission": "Arrived",
    "icu_date": "Moved on",
}
WORDS = {"positive": {"icu": "transferred"}, "negative": {"icu": "stayed"}}


def write_table(folder, suffix, header=HEADER, rows=ROWS):
    path = folder / f"my{suffix}"
    frame = pd.DataFrame([[cell or None for cell in row] for row in rows], columns=header)
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".xlsx":
        frame = frame.assign(**{name: pd.to_datetime(frame[name]) for name in header[3:6]})
        with pd.ExcelWriter(path) as book:
            pd.DataFrame({"nothing": [1]}).to_excel(book, sheet_name="About", index=False)
            frame.to_excel(book, sheet_name="Images", index=False)
    elif suffix == ".xls":
        write_old_workbook(path, [header, *rows], "Images")
    else:
        frame.to_csv(path, index=False, sep=";" if suffix == ".csv" else "\t")
    return path


@pytest.fixture
def folder(tmp_path):
    for row in ROWS:
        write_image(tmp_path / "images" / row[1], 1)
    return tmp_path


def read(folder, suffix=".csv", **options):
    sheet = {"sheet": "Images"} if suffix == ".xlsx" else {}
    given = {"columns": COLUMNS, "root": folder / "images", **sheet, **WORDS, **options}
    table = folder / f"my{suffix}"
    return load_asked(CohortSpec(source="csv", table=table, **given))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".xls", ".parquet"])
def test_every_kind_of_table_gives_the_same_cohort(folder, suffix):
    write_table(folder, suffix)
    cohort = read(folder, suffix)
    table = cohort.table.set_index("image_id")
    assert table["patient_id"].tolist() == [row[0] for row in ROWS]
    assert table["acquired"].tolist() == [0, 4, 9, 2, 1, 3, 2, 2]
    assert table["icu_day"].dropna().tolist() == [4, 4, 4, 5]
    assert table["icu"].tolist()[:7] == [1, 1, 1, 0, 0, 0, 1]
    assert pd.isna(table.loc["h.png", "icu"])
    # The dates themselves go no further, other columns do.
    assert [name for name in table.columns if name not in ("site", "view", "path")] == [
        "patient_id",
        "acquired",
        "icu",
        "icu_day",
        "Ward",
    ]


@pytest.mark.parametrize(
    ("policy", "images"),
    [
        ("first", ["a.png", "e.png", "f.png", "g.png"]),
        ("all_before_outcome", ["a.png", "b.png", "d.png", "e.png", "f.png", "g.png"]),
        ("all", ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png"]),
    ],
)
def test_every_policy(folder, policy, images):
    write_table(folder, ".csv")
    task = select_task(read(folder), "icu", policy)
    assert task.table["image_id"].tolist() == images
    assert task.warnings == ()
    assert {drop.rule: drop.images for drop in task.cohort.drops if drop.images} == {
        "missing_label": 1,
        **({"after_outcome": 1} if policy != "all" else {}),
        **({"not_first": 2} if policy == "first" else {}),
    }


def test_without_an_admission_days_count_from_the_first_image(folder):
    write_table(folder, ".csv")
    columns = {name: column for name, column in COLUMNS.items() if name != "admission"}
    table = read(folder, columns=columns).table.set_index("image_id")
    assert table["acquired"].tolist() == [0, 4, 9, 1, 0, 0, 0, 0]
    assert table["icu_day"].dropna().tolist() == [4, 4, 4, 3]
    assert table["Arrived"].iloc[0] == "2021-02-26"


def test_a_column_named_admission_is_a_date_only_where_others_are(folder):
    header = ["patient_id", "path", "icu", "acquired", "admission"]
    rows = [[row[0], row[1], "yes", "1", "emergency"] for row in ROWS]
    write_table(folder, ".csv", header, rows)
    cohort = read(folder, columns={}, positive={}, negative={})
    assert set(cohort.table["admission"]) == {"emergency"}


@pytest.mark.parametrize(
    ("columns", "change", "words"),
    [
        ({**COLUMNS, "acquired_date": "Ward"}, {}, r"'Ward' .*'7a'.* a date such as"),
        ({**COLUMNS, "acquired": "Ward"}, {"Ward": "1"}, r"has both 'Taken' and 'Ward'"),
        (
            {n: c for n, c in COLUMNS.items() if n not in ("admission", "acquired_date")},
            {},
            r"has the dates Moved on and none that they count from",
        ),
        ({**COLUMNS, "aquired_date": "Taken"}, {}, r"did you mean 'acquired_date'"),
    ],
)
def test_wrong_dates_get_a_sentence(folder, columns, change, words):
    rows = [[change.get(n, c) for n, c in zip(HEADER, row, strict=True)] for row in ROWS]
    write_table(folder, ".csv", rows=rows)
    with pytest.raises(UserError, match=words):
        read(folder, columns=columns)


def test_a_sheet_that_is_not_there(folder):
    write_table(folder, ".xlsx")
    with pytest.raises(UserError, match=r"no sheet 'Image': did you mean 'Images'"):
        read(folder, ".xlsx", sheet="Image")
    # Without a name it is the first sheet, which has other columns.
    with pytest.raises(UserError, match="lacks the columns"):
        read(folder, ".xlsx", sheet="")


def test_a_newer_workbook_under_an_old_name(folder):
    write_table(folder, ".xlsx").rename(folder / "my.xls")
    assert len(read(folder, ".xls", sheet="Images").table) == 8


@pytest.mark.parametrize("content", [b"no workbook", b"", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99])
def test_a_broken_old_workbook_gets_a_sentence(folder, content):
    (folder / "my.xls").write_bytes(content)
    with pytest.raises(UserError, match=r"my.xls is no readable Excel workbook"):
        read(folder, ".xls")


def test_damaged_old_workbooks_end_in_a_sentence(folder):
    path = write_table(folder, ".xls")
    whole, rows, chance = path.read_bytes(), workbook_rows(path), np.random.default_rng(0)
    refused = 0
    for end in range(0, len(whole), 100):
        path.write_bytes(whole[:end])
        try:
            assert workbook_rows(path) == rows  # what is cut off is filling
        except UserError:
            refused += 1
    assert refused > 50
    for _ in range(100):
        damaged = bytearray(whole)
        for place in chance.integers(len(whole), size=8):
            damaged[place] = int(chance.integers(256))
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            workbook_rows(path)


def test_a_workbook_without_sheets_gets_a_sentence(folder):
    book = openpyxl.Workbook()
    book.save(folder / "my.xlsx")
    with pytest.raises(UserError, match="has no rows"):
        read(folder, ".xlsx", sheet="")


def test_a_manifest_of_it_is_the_same_cohort(folder):
    write_table(folder, ".csv")
    cohort = read(folder)
    write_manifest(cohort, folder / "manifest.parquet")
    pd.testing.assert_frame_equal(read_manifest(folder / "manifest.parquet").table, cohort.table)
