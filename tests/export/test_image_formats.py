"""An exported model reads DICOM, PNG and JPEG, and gives the benchmark's own numbers for each."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exported import export, run
from PIL import Image

import prognobench
from prognobench.cli import main
from prognobench.results.store import ResultsStore

sys.path.insert(0, str(Path(__file__).parents[1] / "cohorts"))

from dicom_fixtures import radiograph, write_dicom

KINDS = ("dcm", "png", "jpeg")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """A manifest of images of three kinds, made from the same sort of radiograph."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["patient_id,path,icu"]
    for number in range(24):
        # Each kind has events and others: 24 patients, 8 of a kind, 4 with the event.
        kind, event = KINDS[number % 3], number % 2 == 0
        name = f"{number}.{kind}"
        pixels = radiograph(number, event)
        if kind == "dcm":
            write_dicom(folder / name, f"p{number}", pixels=pixels)
        else:
            Image.fromarray((pixels >> 4).astype(np.uint8)).save(folder / name)
        rows.append(f"p{number},{name},{int(event)}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def benchmark(cohort, tmp_path_factory) -> Path:
    return run(
        tmp_path_factory.mktemp("benchmark"),
        cohort={"manifest": str(cohort)},
        backbones=["demo_vit"],
        strategies=["linear", {"name": "lora", "r": 2}],
    )


@pytest.mark.parametrize("strategy", ["linear", "lora"])
def test_every_kind_of_file_gives_the_stored_numbers(
    benchmark, cohort, tmp_path, strategy, monkeypatch, capsys
):
    store = ResultsStore(benchmark)
    runs = store.runs()
    store.close()
    own = runs[(runs["strategy"] == strategy) & (runs["backbone"] == "demo_vit")].iloc[0]["run"]
    stored = pd.read_parquet(benchmark / "predictions" / f"{own}.parquet").set_index("patient_id")
    model = tmp_path / "model"
    export(benchmark, model, run=own)

    tested = stored[stored["part"] == "test"].index
    table = pd.read_csv(cohort).set_index("patient_id")
    files = [cohort.parent / table.loc[patient, "path"] for patient in tested]
    assert {path.suffix[1:] for path in files} == set(KINDS)
    expected = stored.loc[tested, "probability"].to_numpy()
    assert np.ptp(expected) > 1e-3  # a constant would be matched by anything

    predicted = prognobench.load_model(model).predict(files)
    np.testing.assert_allclose(predicted["probability"], expected, atol=1e-5, rtol=0)

    monkeypatch.setattr("sys.argv", ["prognobench", "predict", str(model), *map(str, files)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(printed["probability"], expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(printed["calibrated"], predicted["calibrated"], atol=1e-9)


def test_another_image_would_be_found(benchmark, cohort, tmp_path):
    """Images of other patients do not give these numbers: the comparison can fail."""
    model = tmp_path / "model"
    export(benchmark, model, strategy="linear")
    loaded = prognobench.load_model(model)
    first, second = (loaded.predict(cohort.parent / name) for name in ("0.dcm", "3.dcm"))
    assert abs(first["probability"][0] - second["probability"][0]) > 1e-4
