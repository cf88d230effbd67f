import numpy as np
import pandas as pd
import pytest
from PIL import Image

from build_cohort import cohort_of
from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.combine import combine
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import read_manifest, write_manifest
from prognobench.errors import UserError


def test_one_form():
    cohort = cohort_of(
        [
            {"lung_box": " 10, 20.50,30,40 ", "lung_mask": "a\\b.png; ./c.png ;"},
            {"lung_box": None, "lung_mask": " "},
        ]
    )
    assert cohort.table["lung_box"].tolist()[0] == "10,20.5,30,40"
    assert cohort.table["lung_mask"].tolist()[0] == "a/b.png;c.png"
    assert cohort.table[["lung_box", "lung_mask"]].iloc[1].isna().all()
    assert clinical_columns(cohort) == []


@pytest.mark.parametrize(
    "box", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "1,2,3,-4", "1,2,inf,4", "1,2,nan,4"]
)
def test_a_box_that_is_none(box):
    with pytest.raises(UserError, match="is no box: write left,top,width,height"):
        cohort_of([{"lung_box": box}])


@pytest.mark.parametrize("mask", ["/etc/passwd", "../x.png", "a.png;../x.png", "C:\\x.png"])
def test_a_mask_cannot_leave_the_root(mask):
    with pytest.raises(UserError, match=r"absolute|leads out"):
        cohort_of([{"lung_mask": mask}])


def test_combined_cohorts_find_their_masks(tmp_path):
    roots = {name: tmp_path / name for name in ("a", "b")}
    for root in roots.values():
        root.mkdir()
    masks = {"a": [{"lung_mask": "l.png;r.png", "icu": 1}, {"icu": 0}], "b": [{"icu": 0}]}
    members = [cohort_of(masks[name], root, name=name) for name, root in roots.items()]
    whole = combine("whole", members).table.set_index("image_id")
    assert whole.loc["a/image00", "lung_mask"] == "a/l.png;a/r.png"
    assert whole["lung_mask"].isna().sum() == 2


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / name)
    path = tmp_path / "table.csv"
    rows = [("p1", "1.png", 1, "0,0,2,2", "m.png"), ("p2", "2.png", 0, "", "n.png;o.png")]
    pd.DataFrame(rows, columns=["patient_id", "path", "icu", "box", "lung_mask"]).to_csv(
        path, index=False
    )
    return path


def test_a_table_and_its_manifest_have_them(table, tmp_path):
    settings = {"source": "csv", "table": table, "root": table.parent / "images"}
    cohort = load_cohort({**settings, "columns": {"lung_box": "box"}})
    write_manifest(cohort, tmp_path / "m.csv")
    for own in (cohort, read_manifest(tmp_path / "m.csv")):
        assert own.table["lung_box"].tolist()[0] == "0,0,2,2"
        assert pd.isna(own.table["lung_box"].iloc[1])
        assert own.table["lung_mask"].tolist() == ["m.png", "n.png;o.png"]
        assert clinical_columns(own) == []


def test_masks_outside_the_root_where_that_is_allowed(table):
    frame = pd.read_csv(table)
    frame["lung_mask"] = [str(table.parent / "masks" / "m.png"), "../masks/n.png;1.png"]
    frame.drop(columns="box").to_csv(table, index=False)
    settings = {"source": "csv", "table": table, "root": table.parent / "images"}
    with pytest.raises(UserError, match="absolute"):
        load_cohort(settings)
    cohort = load_cohort({**settings, "allow_outside_root": True})
    assert cohort.root == table.parent
    assert cohort.table["path"].tolist() == ["images/1.png", "images/2.png"]
    assert cohort.table["lung_mask"].tolist() == ["masks/m.png", "masks/n.png;images/1.png"]


def test_the_masks_of_cohen(data_folder):
    settings = {"source": "cohen", "root": data_folder / "cohen"}
    assert "lung_mask" not in load_cohort(settings).table
    cohort = load_cohort({**settings, "masks": "masks/lungVAE"})
    named = cohort.table["lung_mask"].dropna()
    assert len(named) > 100
    assert all((cohort.root / path).is_file() for path in named)
