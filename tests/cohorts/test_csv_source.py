import pandas as pd
import pytest

from prognobench.cohorts.load import load_cohort
from prognobench.errors import UserError

ROWS = {
    "Patient": ["001", "001", "002", "003"],
    "File": ["a.png", "sub/b.png", "c.png", "d.png"],
    "ICU": ["yes", "yes", "no", ""],
    "Day": ["0", "3", "1", ""],
    "icu_day": ["2", "2", "", ""],
    "Age": ["60", "60", "71", ""],
    "Ward": ["7a", "7a", "8b", ""],
}
COLUMNS = {"patient_id": "patient", "path": "FILE", "icu": "ICU", "acquired": "Day"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ROWS["File"]:
        (tmp_path / "images" / name).touch()
    return tmp_path


def read(folder, rows=ROWS, **options):
    table = folder / "my.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    given = {"root": folder / "images", "columns": COLUMNS, **options}
    return load_cohort({"source": "csv", "table": table, **given})


def test_a_table_with_its_own_names(folder):
    cohort = read(folder)
    table = cohort.table.set_index("image_id")
    assert cohort.name == "my"
    assert table["patient_id"].tolist() == ["001", "002", "003", "001"]
    assert table.loc["sub/b.png", ["acquired", "icu", "icu_day"]].tolist() == [3.0, 1, 2.0]
    assert pd.isna(table.loc["d.png", "icu"])
    assert table["site"].unique().tolist() == ["my"]
    assert table["Ward"].tolist()[0] == "7a"
    assert table["age"].dtype == "float64"
    assert cohort.endpoints == {"icu": "admitted to intensive care"}


def test_named_outcomes_and_further_endpoints(folder):
    rows = {**ROWS, "ICU": ["moved", "moved", "ward", ""], "relapse": ["1", "1", "0", "0"]}
    cohort = read(
        folder,
        rows,
        positive={"icu": "moved"},
        negative={"icu": ["ward"]},
        endpoints=["relapse"],
        name="own",
    )
    assert cohort.endpoints == {"icu": "ICU is moved", "relapse": "relapse is yes"}
    assert cohort.table["relapse"].tolist() == [1, 0, 0, 1]
    assert cohort.name == "own"


def test_a_column_that_another_was_mapped_over_is_kept(folder):
    cohort = read(folder, {**ROWS, "path": ["old"] * 4})
    assert cohort.table["path (as in the table)"].tolist() == ["old"] * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {**COLUMNS, "acquried": "Day"}}, "did you mean 'acquired'"),
        ({"columns": {**COLUMNS, "path": "Image"}}, "lacks the column 'Image'"),
        ({"columns": {"patient_id": "Patient"}}, "lacks the column 'path'"),
        ({"endpoints": ["relapse"]}, "lacks the column 'relapse'"),
        ({"positive": {"ICUU": "yes"}}, "names no endpoint 'ICUU'"),
        ({"root": "nowhere"}, "image folder nowhere .* does not exist"),
        ({"rooot": "x"}, "did you mean 'root'"),
        ({"allow_outside_root": "perhaps"}, "'allow_outside_root'"),
    ],
)
def test_a_wrong_option_gets_a_sentence(folder, options, words):
    with pytest.raises(UserError, match=words):
        read(folder, **options)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("ICU", "perhaps", "'ICU' .*'perhaps'"),
        ("Day", "monday", "'Day' .*'monday'"),
        ("Patient", "", "1 rows without patient_id"),
        ("File", "", "1 rows without path"),
        ("File", "../secret.png", "leads out of the root"),
        ("File", "/etc/passwd", "is absolute"),
        ("File", "sub/b.png", "same image_id: 'sub/b.png'"),
    ],
)
def test_a_wrong_cell_gets_a_sentence(folder, column, value, words):
    rows = {**ROWS, column: [value, *ROWS[column][1:]]}
    with pytest.raises(UserError, match=words):
        read(folder, rows)


def test_paths_outside_the_root_where_that_is_allowed(folder, tmp_path):
    outside = folder / "elsewhere.png"
    outside.touch()
    rows = {**ROWS, "File": [str(outside), "sub/../c.png", "d.png", "a.png"]}
    cohort = read(folder, rows, allow_outside_root=True)
    assert cohort.root == folder
    assert cohort.table["path"].tolist() == [
        "elsewhere.png",
        "images/a.png",
        "images/c.png",
        "images/d.png",
    ]


def test_missing_files_and_lateral_views_are_dropped_with_their_reason(folder):
    (folder / "images" / "c.png").unlink()
    cohort = read(folder, {**ROWS, "view": ["ap", "Lateral", "pa", "AP Supine"]})
    assert cohort.table["image_id"].tolist() == ["a.png", "d.png"]
    assert {drop.rule: drop.image_ids for drop in cohort.drops} == {
        "not_frontal": ("sub/b.png",),
        "missing_file": ("c.png",),
    }


def test_a_path_that_is_too_long_is_a_missing_file(folder):
    long = f"{'x' * 300}.png"
    cohort = read(folder, {**ROWS, "File": ["a.png", "sub/b.png", long, "d.png"]})
    assert {drop.rule: drop.image_ids for drop in cohort.drops if drop.images} == {
        "missing_file": (long,)
    }


def test_a_folder_that_may_not_be_read_gets_a_sentence(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("prognobench.cohorts.checks._is_file", refuse)
    with pytest.raises(UserError, match=r"a\.png of the cohort 'my' cannot be read .Permission"):
        read(folder)


def test_no_path_at_all_is_a_sentence(folder):
    with pytest.raises(UserError, match="4 rows without path"):
        read(folder, {**ROWS, "File": [""] * 4}, allow_outside_root=True)


def test_all_files_missing_is_a_mistake(folder):
    with pytest.raises(UserError, match="none of the 4 images"):
        read(folder, root=folder)


def test_without_an_endpoint(folder):
    rows = {name: cells for name, cells in ROWS.items() if name != "ICU"}
    columns = {name: column for name, column in COLUMNS.items() if name != "icu"}
    with pytest.raises(UserError, match="has no endpoint"):
        read(folder, rows, columns=columns)


DATED = {
    "patient_id": ["1", "2", "2", "3"],
    "path": ROWS["File"],
    "icu": ["1", "1", "1", "0"],
    "admission": ["2020-03-01", "", "", "2020-03-01"],
    "acquired_date": ["2020-03-03", "2020-03-05", "2020-03-09", "2020-03-02"],
    "icu_date": ["2020-03-04", "2020-03-07", "2020-03-07", ""],
}


def test_without_a_patient_s_admission_days_count_from_the_first_image(folder):
    cohort = read(folder, DATED, columns={})
    table = cohort.table.set_index("path").loc[ROWS["File"]]
    assert table["acquired"].tolist() == [2.0, 0.0, 4.0, 1.0]
    assert table["icu_day"].tolist()[:3] == [3.0, 2.0, 2.0]
    (note,) = [drop for drop in cohort.drops if drop.rule == "no_admission"]
    assert note.reason.endswith("of 1 patients")
    whole = {**DATED, "admission": ["2020-03-01"] * 4}
    assert "no_admission" not in {drop.rule for drop in read(folder, whole, columns={}).drops}


def test_days_that_are_numbers_count_from_the_admission_alone(folder):
    rows = {name: cells for name, cells in DATED.items() if name != "icu_date"}
    rows["icu_day"] = ["3", "2", "2", ""]
    table = read(folder, rows, columns={}).table.set_index("path")
    assert table.loc[["sub/b.png", "c.png"], "acquired"].isna().all()
    del rows["admission"]
    with pytest.raises(
        UserError, match="has the day of the outcome 'icu' and no date of admission"
    ):
        read(folder, rows, columns={})


@pytest.mark.parametrize("source", ["mhh", "aiforcovid", "covid19_ar", "cohen", "brixia", "cdsl"])
def test_a_root_whose_name_is_too_long_gets_a_sentence(source):
    with pytest.raises(UserError, match=r"cannot be read .File name too long|does not exist"):
        load_cohort({"source": source, "root": "x" * 300})
