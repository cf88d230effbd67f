"""The synthetic cohort on disk, and as a source."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from prognobench.cohorts.cohort import STANDARD_COLUMNS, Cohort
from prognobench.cohorts.source import get_source
from prognobench.cohorts.sources.synthetic import RECORD, synthetic_cohort
from prognobench.demo.patients import draw_patient
from prognobench.errors import UserError
from prognobench.files import file_digest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    source = get_source("synthetic")
    return source.read(source.options.model_validate({"patients": 14, "root": folder}))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted((folder / "images").iterdir())}


def test_the_table_is_as_promised(cohort: Cohort) -> None:
    table = cohort.table
    outcomes = ["icu", "icu_day", "mortality", "mortality_day"]
    survival = ["survival", "survival_day"]
    assert list(table.columns) == [
        *STANDARD_COLUMNS,
        *outcomes,
        "severity_score",
        *survival,
        "age",
        "sex",
    ]
    assert [str(table[column].dtype) for column in outcomes] == ["Int64", "float64"] * 2
    assert table["image_id"].is_monotonic_increasing
    assert table["image_id"].is_unique
    assert table["patient_id"].nunique() == cohort.source_patients == 14
    assert len(table) == cohort.source_images
    assert set(table["view"]) <= {"PA", "AP"}
    assert set(cohort.endpoints) == {"icu", "mortality"}
    for endpoint in cohort.endpoints:
        assert set(table[endpoint]) <= {0, 1}
        assert (table[f"{endpoint}_day"].notna() == (table[endpoint] == 1)).all()
        assert len(table[["patient_id", endpoint]].drop_duplicates()) == 14
    first = table[table["acquired"] == 0]
    assert first["patient_id"].nunique() == len(first) == 14


def test_the_images_are_those_of_the_patients(cohort: Cohort) -> None:
    row = cohort.table.iloc[-1]
    number = int(row["patient_id"].rsplit("-", 1)[1])
    visit = int(row["image_id"].rsplit("-", 1)[1])
    written = np.asarray(Image.open(cohort.root / row["path"]))
    np.testing.assert_array_equal(written, draw_patient(0, number).pixels(visit))
    assert all((cohort.root / path).is_file() for path in cohort.table["path"])


def test_a_smaller_cohort_is_the_beginning_of_a_larger_one(cohort: Cohort, tmp_path: Path) -> None:
    smaller = synthetic_cohort(10, 0, tmp_path)
    beginning = cohort.table.head(len(smaller.table))
    pd.testing.assert_frame_equal(smaller.table, beginning)
    larger = digests(cohort.root)
    assert all(larger[name] == digest for name, digest in digests(tmp_path).items())


def test_whole_images_are_not_rendered_again(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in cohort.root.rglob("*.*")}
    monkeypatch.setattr("prognobench.demo.patients.render", None)
    again = synthetic_cohort(14, 0, cohort.root)
    pd.testing.assert_frame_equal(again.table, cohort.table)
    assert before == {path: path.stat().st_mtime_ns for path in cohort.root.rglob("*.*")}


def test_damaged_images_are_mended(tmp_path: Path) -> None:
    synthetic_cohort(10, 3, tmp_path)
    before = digests(tmp_path)
    names = list(before)
    (tmp_path / "images" / names[0]).unlink()
    (tmp_path / "images" / names[1]).write_bytes(b"half an ima")
    synthetic_cohort(10, 3, tmp_path)
    assert digests(tmp_path) == before
    (tmp_path / RECORD).write_text("{", encoding="utf-8")
    synthetic_cohort(10, 3, tmp_path)
    assert digests(tmp_path) == before
    assert len(json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))["images"]) == len(before)


def test_a_folder_holds_one_cohort(cohort: Cohort) -> None:
    with pytest.raises(UserError, match=r"another synthetic cohort .*patients 14.*empty folder"):
        synthetic_cohort(14, 1, cohort.root)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot be written to .*file.* give another folder"):
        synthetic_cohort(10, 0, tmp_path / "file")


def test_the_default_folder_lies_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    source = get_source("synthetic")
    one = source.read(source.options.model_validate({"patients": 10, "seed": 2}))
    two = source.read(source.options.model_validate({"patients": 10, "seed": 3}))
    assert one.root.parent == two.root.parent == tmp_path / "synthetic"
    assert one.root != two.root


@pytest.mark.parametrize("options", [{"patients": 9}, {"seed": -1}, {"patient": 20}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        get_source("synthetic").options.model_validate(options)


def test_the_source_loads_no_heavy_library() -> None:
    program = (
        "import sys; import prognobench.cohorts.sources.synthetic, prognobench.demo.vit; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'scipy', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
