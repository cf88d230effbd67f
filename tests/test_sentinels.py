"""What DICOM headers say of a person leaves them in no form.

Every element that may name or place a person holds a word of its own; whatever is written or said
on the way from the files to the report and to predictions is searched for these words.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import sqlite3
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from prognobench.cli import main

SENTINELS = {
    "PatientName": "Zwnamezq^Zwgivenzq",
    "OtherPatientNames": "Zwothernamezq",
    "PatientBirthName": "Zwbirthnamezq",
    "PatientMotherBirthName": "Zwmotherzq",
    "OtherPatientIDs": "Zwotheridzq",
    "PatientAddress": "Zwaddresszq 17",
    "PatientTelephoneNumbers": "Zwphonezq",
    "MilitaryRank": "Zwrankzq",
    "EthnicGroup": "Zwethniczq",
    "Occupation": "Zwworkzq",
    "PatientComments": "Zwcommentzq",
    "AdditionalPatientHistory": "Zwhistoryzq",
    "PatientReligiousPreference": "Zwreligionzq",
    "AccessionNumber": "Zwaccessionzq",
    "InstitutionName": "Zwhospitalzq",
    "InstitutionAddress": "Zwstreetzq",
    "InstitutionalDepartmentName": "Zwwardzq",
    "ReferringPhysicianName": "Zwreferrerzq",
    "PerformingPhysicianName": "Zwperformerzq",
    "OperatorsName": "Zwoperatorzq",
    "PhysiciansOfRecord": "Zwrecordzq",
    "StationName": "Zwstationzq",
    "DeviceSerialNumber": "Zwserialzq",
    "StudyID": "Zwstudyzq",
    "StudyDescription": "Chest Zwstudydesczq",
    "SeriesDescription": "AP Zwseriesdesczq",
    "ProtocolName": "Zwprotocolzq",
    "RequestedProcedureDescription": "Zwrequestzq",
    "ImageComments": "Zwimagecommentzq",
    "PatientBirthDate": "19431217",
    "PatientBirthTime": "051723",
    "StudyInstanceUID": "1.2.826.777123777.1",
    "SeriesInstanceUID": "1.2.826.777123777.2",
    "FrameOfReferenceUID": "1.2.826.777123777.3",
}
"""Elements with words (or numbers) that stand nowhere else."""

STUDY_YEAR = 1951
FORBIDDEN = [
    *re.findall(r"zw[a-z]+zq", " ".join(SENTINELS.values()).lower()),
    "zwprivatezq",
    "zwnestedzq",
    "zwsourcezq",
    "zwpreamblezq",
    "19431217",
    "1943-12-17",
    "1.2.826.777123777",
    "1.2.826.888123888",
]
FORBIDDEN += [f"{STUDY_YEAR}-03-{day:02}" for day in range(1, 32)]
FORBIDDEN += [f"{STUDY_YEAR}03{day:02}" for day in range(1, 32)]


def write_file(path: Path, patient: int, event: bool, frames: int = 1) -> None:
    random = np.random.default_rng(patient)
    pixels = random.integers(0, 4000, (64, 64)).astype(np.uint16)
    pixels[20:40, 10:50] //= 4 if event else 2
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = "Zwsourcezq"
    preamble = b"Zwpreamblezq".ljust(128, b"\0")
    dataset = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=preamble)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = f"1.2.826.888123888.{patient}"
    for name, value in SENTINELS.items():
        setattr(dataset, name, value)
    dataset.PatientID = f"P{patient:03}"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "AP"
    dataset.StudyDate = f"{STUDY_YEAR}03{patient + 1:02}"
    dataset.AcquisitionTime, dataset.PatientSex, dataset.PatientAge = "101500", "F", "061Y"
    dataset.private_block(0x0029, "Zwprivatezq", create=True).add_new(1, "LO", "Zwprivatezq")
    item = Dataset()
    item.PersonName, item.RequestedProcedureID = "Zwnestedzq", "Zwnestedzq"
    dataset.RequestAttributesSequence = Sequence([item])
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.tobytes() * frames
    dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def texts(path: Path) -> list[bytes]:
    """Return what a file says: its bytes, and those that its format hides."""
    data = path.read_bytes()
    found = [data]
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        found += [table.to_csv().encode(), repr(pq.read_schema(path).metadata).encode()]
    elif path.suffix in {".png", ".jpg"}:
        with Image.open(path) as picture:
            picture.load()
            found.append(repr(picture.info).encode())
    elif data.startswith(b"SQLite format 3"):
        with sqlite3.connect(path) as base:
            found.append("\n".join(base.iterdump()).encode())
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found += [archive.read(name) for name in archive.namelist()]
    for embedded in re.findall(rb"base64,([A-Za-z0-9+/=\s]{40,})", data):
        found.append(base64.b64decode(embedded))
    return found


def said(text: bytes) -> list[str]:
    """Return the forbidden words that are in some bytes, in whatever case or width."""
    low = text.lower()
    return [word for word in FORBIDDEN if word.encode() in low or word.encode("utf-16-le") in low]


def leaks(folder: Path) -> dict[str, list[str]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        words = said(str(path.relative_to(folder)).encode())
        if path.is_file():
            words += [word for text in texts(path) for word in said(text)]
        if words:
            found[str(path.relative_to(folder))] = words
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Everything that the verbs write and say of a hospital's own files."""
    base = tmp_path_factory.mktemp("sentinels")
    source, work = base / "source", base / "work"
    source.mkdir()
    work.mkdir()
    rows = []
    for patient in range(20):
        write_file(source / f"{patient:03}.dcm", patient, patient % 2 == 1)
        day = datetime.date(STUDY_YEAR, 3, patient + 1)
        moved = day + datetime.timedelta(days=2)
        rows.append(
            {
                "MRN": f"P{patient:03}",
                "Name": SENTINELS["PatientName"],
                "Born": "1943-12-17",
                "Admitted": day.isoformat(),
                "icu": patient % 2,
                "icu_date": moved.isoformat() if patient % 2 else "",
                "age": 61,
                "sex": "F",
            }
        )
    # One that cannot be decoded, one whose header ends early, one that is no image.
    write_file(source / "018.dcm", 18, False, frames=2)
    whole = (source / "019.dcm").read_bytes()
    (source / "019.dcm").write_bytes(whole[: whole.index(b"Zwaddress") + 5])
    pd.DataFrame(rows).to_csv(source / "outcomes.csv", index=False)
    manifest = work / "cohort.csv"
    columns = "columns={patient_id: MRN, admission: Admitted}"
    spec = work / "spec.yaml"
    spec.write_text(
        json.dumps(
            {
                "name": "sentinels",
                "cohort": {"manifest": str(manifest)},
                "endpoints": ["icu"],
                "backbones": ["demo_vit"],
                "strategies": ["linear", "bitfit"],
                "regimes": [{"name": "full_data", "folds": 2}],
                "recipe": {"epochs": 1, "batch_size": 4},
                "evaluation": {"replicates": 100},
                "images": {"percentiles": [2, 98]},
            }
        )
    )
    calls = [
        ["cohort", "build", "dicom", "--root", source, f"table={source / 'outcomes.csv'}", columns],
        ["cohort", "audit", manifest, "--output", work / "audit"],
        ["cohort", "audit", manifest, "--json"],
        ["validate", spec],
        ["plan", spec, "--json"],
        ["run", spec, "--output", work / "out"],
        ["report", work / "out"],
        ["export", work / "out", "--task", "outcomes/icu", "--output", work / "model"],
        ["predict", work / "model", source, "--output", work / "predictions.csv"],
    ]
    parquet = [*calls[0], "--output", work / "cohort.parquet"]
    calls[0] += ["--output", manifest]
    codes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROGNOBENCH_CACHE", str(work / "cache"))
        patch.chdir(work)
        import time as _t

        for number, words in enumerate([*calls, parquet]):
            _b = _t.time()
            with (work / f"said_{number}.txt").open("w") as stream:
                patch.setattr(sys, "argv", ["prognobench", *map(str, words)])
                patch.setattr(sys, "stdout", stream)
                patch.setattr(sys, "stderr", stream)
                with pytest.raises(SystemExit) as caught:
                    main()
                codes.append(caught.value.code or 0)
                print(words[:2], _t.time() - _b, file=sys.__stderr__)
    return work, codes


def test_nothing_that_is_written_or_said_names_a_person(written):
    work, codes = written
    # Of the folder that is predicted two files cannot be read, and that is told.
    assert codes == [0] * 8 + [1, 0], [path.read_text() for path in sorted(work.glob("said_*"))]
    found = leaks(work)
    assert not found
    files = [path for path in work.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".csv", ".parquet", ".png", ".html", ".json", ".db", ".svg", ".safetensors"} <= kinds
    assert {"cache", "audit", "out", "model"} <= {path.parts[len(work.parts)] for path in files}


def test_what_the_documentation_allows_is_there(written):
    work, _ = written
    table = pd.read_csv(work / "cohort.csv")
    assert set(table["patient_id"]) == {f"P{patient:03}" for patient in range(20)}
    assert table["acquired"].dropna().eq(0).all()
    assert table["icu_day"].dropna().eq(2).all()
    assert set(table.columns) == {
        *("image_id", "patient_id", "path", "site", "view", "acquired", "icu", "icu_day"),
        *("modality", "age", "sex"),
    }
    assert table["image_id"].str.fullmatch(r"P\d{3}-101500-[0-9a-f]{8}").all()


@pytest.mark.parametrize("kind", ["csv", "parquet", "png", "db", "html", "name", "utf-16"])
def test_a_leak_would_be_found(tmp_path, kind):
    word = "ZwNameZq"
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        path.write_text(f"a,{word}\n")
    elif kind == "parquet":
        pd.DataFrame({"a": [word] * 1000}).to_parquet(path, compression="gzip")
    elif kind == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("x", word * 50, zip=True)
        Image.new("L", (4, 4)).save(path, pnginfo=info)
    elif kind == "db":
        with sqlite3.connect(path) as base:
            base.execute("create table t (a)")
            base.execute("insert into t values (?)", [word])
        base.close()
    elif kind == "html":
        path.write_text(f"<img src='data:x;base64,{base64.b64encode(word.encode() * 9).decode()}'")
    elif kind == "name":
        (tmp_path / f"{word}.txt").touch()
    else:
        path.write_text(word, encoding="utf-16")
    assert leaks(tmp_path)
