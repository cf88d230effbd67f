import json
import math
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cohort import cohort_of
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import provenance_path, read_manifest, write_manifest
from prognobench.cohorts.tables import is_missing
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
NUMBERS = st.none() | st.floats(allow_nan=False)
ROW = st.fixed_dictionaries(
    {
        "patient_id": WORDS.filter(lambda text: not is_missing(text)),
        "site": st.none() | WORDS,
        "view": st.none() | st.sampled_from(["AP", "PA", "ap"]),
        "acquired": NUMBERS,
        "icu": st.sampled_from([None, 0, 1]),
        "icu_day": NUMBERS,
        "ward": st.none() | WORDS,
        "crp": NUMBERS,
    }
)


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    for field in ("name", "endpoints", "provenance", "drops", "source_images", "source_patients"):
        assert getattr(one, field) == getattr(other, field)


@settings(max_examples=40)
@given(st.lists(ROW, min_size=1, max_size=5), st.sampled_from(["csv", "parquet"]))
def test_what_is_written_is_read(rows, suffix):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        root.mkdir()
        cohort = cohort_of(rows, root)
        for path in cohort.table["path"]:
            (root / path).touch()
        if len(rows) > 1:
            cohort = cohort.without({"image00"}, "rule", "a reason")
        manifest = Path(folder) / f"manifest.{suffix}"
        write_manifest(cohort, manifest)
        read = read_manifest(manifest)
        same(cohort, read)
        assert read.root == root


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_real_cohort_survives(data_folder, tmp_path, suffix):
    cohort = load_cohort({"source": "mhh", "root": data_folder / "mhh"})
    manifest = tmp_path / f"mhh.{suffix}"
    write_manifest(cohort, manifest)
    same(cohort, load_cohort({"manifest": manifest}))
    task = select_task(read_manifest(manifest, root=data_folder / "mhh"), "icu")
    assert len(task.table) == 67
    assert -math.inf in cohort.table["crp_val"].tolist()


def test_the_root_is_relative_so_that_the_folder_can_be_moved(tmp_path):
    images = tmp_path / "one" / "images"
    images.mkdir(parents=True)
    (images / "image00.png").touch()
    manifest = tmp_path / "one" / "manifest.csv"
    write_manifest(cohort_of([{"icu": 1}], images), manifest)
    assert json.loads(provenance_path(manifest).read_text())["root"] == "images"
    (tmp_path / "one").rename(tmp_path / "two")
    assert read_manifest(tmp_path / "two" / "manifest.csv").root == tmp_path / "two" / "images"


def by_hand(folder, text):
    for name in ("a.png", "b.png"):
        (folder / name).touch()
    manifest = folder / "hand.csv"
    manifest.write_text(text)
    return manifest


def test_a_table_made_by_hand(tmp_path):
    text = "Patient_ID,Path,ICU,relapse,relapse_day,age\n01,a.png,yes,1,4,50\n02,b.png,no,0,,x\n"
    cohort = read_manifest(by_hand(tmp_path, text))
    assert list(cohort.endpoints) == ["icu", "relapse"]
    assert cohort.table["image_id"].tolist() == ["a.png", "b.png"]
    assert cohort.table["patient_id"].tolist() == ["01", "02"]
    assert cohort.table["icu"].tolist() == [1, 0]
    assert cohort.table["age"].tolist() == ["50", "x"]
    assert cohort.root == tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient_id,path,icu\n1,../a.png,1\n", "leads out of the root"),
        ("patient_id,path,icu\n1,/a.png,1\n", "is absolute"),
        ("patient_id,icu\n1,1\n", "lacks the column 'path'"),
        ("patient_id,path,age\n1,a.png,1\n", "has no endpoint"),
        ("patient_id,path,icu\n1,a.png,maybe\n", "'maybe'"),
        ("patient_id,path,icu\n1,none.png,1\n", "none of the 1 images"),
        ("", "has no rows"),
    ],
)
def test_a_bad_table_gets_a_sentence(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read_manifest(by_hand(tmp_path, text))


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"endpoints": 3}'])
def test_a_broken_provenance_gets_a_sentence(tmp_path, text):
    manifest = by_hand(tmp_path, "patient_id,path,icu\n1,a.png,1\n")
    provenance_path(manifest).write_text(text)
    with pytest.raises(UserError, match="no provenance of a manifest"):
        read_manifest(manifest)


def test_files_lost_since_then_are_dropped_and_recorded(tmp_path):
    for place in range(2):
        (tmp_path / f"image{place:02}.png").touch()
    manifest = tmp_path / "m.csv"
    write_manifest(cohort_of([{"icu": 1}, {"icu": 0}], tmp_path), manifest)
    (tmp_path / "image01.png").unlink()
    assert [(drop.rule, drop.images) for drop in read_manifest(manifest).drops] == [
        ("missing_file", 1)
    ]


def edited(tmp_path, change):
    """A cohort of eight patients, one left out, whose manifest somebody changed."""
    cohort = cohort_of([{"patient_id": str(n), "icu": n % 2} for n in range(8)], tmp_path)
    for path in cohort.table["path"]:
        (tmp_path / path).touch()
    cohort = cohort.without({"image00"}, "rule", "a reason")
    manifest = tmp_path / "manifest.csv"
    write_manifest(cohort, manifest)
    header, *rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([header, *change(rows)]) + "\n")
    return read_manifest(manifest)


def test_what_was_edited_by_hand_is_a_line_of_the_participant_flow(tmp_path):
    cohort = edited(tmp_path, lambda rows: rows[:4])
    drop = cohort.drops[-1]
    assert (drop.rule, drop.images, drop.patients) == ("edited", 3, 3)
    assert cohort.source_images == 8
    first, *rules, last = select_task(cohort, "icu").flow()
    assert first.patients - sum(step.patients for step in rules) == last.patients == 4
    assert first.images - sum(step.images for step in rules) == last.images == 4


def test_rows_added_by_hand_count_from_the_start(tmp_path):
    more = tmp_path / "more.png"
    more.touch()
    cohort = edited(
        tmp_path, lambda rows: [*rows, rows[0].replace("image01", "more").replace(",1,", ",9,", 1)]
    )
    drop = cohort.drops[-1]
    assert (drop.rule, drop.images, drop.patients) == ("edited", 0, 0)
    assert "1 images and 1 patients were added" in drop.reason
    assert (cohort.source_images, cohort.source_patients) == (9, 9)


@pytest.mark.parametrize(
    ("columns", "cells", "days"),
    [
        ("acquired_date", "2020-03-01", "acquired"),
        ("acquired,ICU_Date", "1,2020-03-02", "icu_day"),
        ("Acquired Date", "2020-03-01", "acquired"),
        ("acquired,icu date", "1,2020-03-02", "icu_day"),
    ],
)
def test_dates_are_not_passed_over(tmp_path, columns, cells, days):
    text = f"patient_id,path,icu,{columns}\n1,a.png,1,{cells}\n"
    with pytest.raises(UserError, match=rf"has dates .*has days \('{days}'\).*`source: csv`"):
        read_manifest(by_hand(tmp_path, text))


def test_a_day_in_other_spelling_is_not_passed_over(tmp_path):
    text = "patient_id,path,icu,ICU day\n1,a.png,1,3\n"
    with pytest.raises(UserError, match=r"column 'ICU day', where 'icu_day' was expected"):
        read_manifest(by_hand(tmp_path, text))


def test_dates_beside_days_are_a_column_like_others(tmp_path):
    text = "patient_id,path,icu,icu_day,icu_date\n1,a.png,1,3,2020-03-02\n"
    assert read_manifest(by_hand(tmp_path, text)).table["icu_day"].tolist() == [3]


def test_the_case_of_an_endpoint_and_of_its_day_does_not_matter(tmp_path):
    rows = "1,a.png,1,3,0,\n2,b.png,0,,1,5\n"
    text = f"patient_id,path,ICU,ICU_Day,Relapse,relapse_day\n{rows}"
    cohort = read_manifest(by_hand(tmp_path, text))
    assert list(cohort.endpoints) == ["icu", "Relapse"]
    assert cohort.table["icu_day"].tolist()[0] == 3
    assert cohort.table["Relapse"].tolist() == [0, 1]


def test_other_suffixes_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="must end"):
        write_manifest(cohort_of([{}]), tmp_path / "m.json")


def test_the_cohort_of_a_spec_names_what_it_is():
    with pytest.raises(UserError, match="neither a 'source' nor a 'manifest'"):
        load_cohort({"root": "x"})
    with pytest.raises(UserError, match="did you mean 'mhh'"):
        load_cohort({"source": "mhhh"})
    with pytest.raises(UserError, match="'root' of the cohort source 'mhh' is missing"):
        load_cohort({"source": "mhh"})
    with pytest.raises(UserError, match="unknown cohort key 'rot'"):
        load_cohort({"manifest": "x", "rot": "y"})
