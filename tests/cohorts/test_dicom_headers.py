import datetime
import os
import tracemalloc
import zlib
from dataclasses import replace

import dicom_fixtures as fixtures
import numpy as np
import pydicom
import pytest
from dicom_fixtures import write_dicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from prognobench.cohorts.dicom_headers import (
    HEADER_BYTES,
    DicomHeader,
    dicom_date,
    read_header,
    read_headers,
)
from prognobench.errors import UserError

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


@pytest.fixture
def sound(tmp_path):
    write_dicom(
        tmp_path / "a" / "image.dcm",
        "007",
        day=datetime.date(2020, 1, 31),
        StudyInstanceUID="1.2.3",
        StudyTime="101501.5",
        PatientAge="018M",
        PatientSex="F",
        ViewPosition="PA",
    )
    return tmp_path


def meta(syntax):
    """The beginning of a file up to its data set, with the transfer syntax."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little")
    return b"\0" * 128 + b"DICM" + length + element


def test_day_and_time_are_of_one_origin(tmp_path):
    """A study may go on for days; its date beside a later time would put later images first."""
    study = {"StudyDate": "20200301", "StudyTime": "070000"}
    cases = {
        "later day": ({"AcquisitionDate": "20200304", "AcquisitionTime": "060000"}, 4, "060000"),
        "same day": ({"AcquisitionDate": "20200301", "AcquisitionTime": "081500"}, 1, "081500"),
        "time alone": ({"AcquisitionTime": "081500"}, 1, "081500"),
        "content": ({"ContentDate": "20200302", "ContentTime": "09"}, 2, "090000"),
        "date alone": ({"AcquisitionDate": "20200302", "SeriesDate": "20200301"}, 2, ""),
        "before": ({"AcquisitionDate": "20200229", "AcquisitionTime": "060000"}, 1, "070000"),
        "shifted": ({"AcquisitionDate": "20210301", "AcquisitionTime": "060000"}, 1, "070000"),
    }
    for name, (tags, _, _) in cases.items():
        write_dicom(tmp_path / f"{name}.dcm", "1", **study, **tags)
    found = {own.path: own for own in read_headers(tmp_path)}
    for name, (_, day, time) in cases.items():
        header = found[f"{name}.dcm"]
        assert (header.date, header.time) == (datetime.date(2020, 3, day), time), name
        assert header.study_date == datetime.date(2020, 3, 1)


def test_a_deflated_header_is_read_without_inflating_the_pixels(tmp_path):
    plain = tmp_path / "plain.dcm"
    write_dicom(plain, "1", ViewPosition="AP", pixels=np.zeros((3000, 3000), np.uint16))
    whole = plain.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = meta(DEFLATED) + packer.compress(whole[start:]) + packer.flush()
    (tmp_path / "deflated.dcm").write_bytes(packed)
    assert pydicom.dcmread(tmp_path / "deflated.dcm").PatientID == "1"
    tracemalloc.start()
    try:
        header = read_header(tmp_path, "deflated.dcm")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert header == replace(read_header(tmp_path, "plain.dcm"), path="deflated.dcm")
    assert (header.patient_id, header.view) == ("1", "AP")
    assert peak < 4_000_000


def test_a_deflated_header_that_is_cut_off_is_not_read(tmp_path):
    """Its view would be lost, and a lateral without one may be frontal."""
    plain = tmp_path / "plain.dcm"
    write_dicom(plain, "1", ViewPosition="LATERAL")
    dataset = pydicom.dcmread(plain)
    dataset.add_new((0x0011, 0x0010), "LO", "MAKER")
    dataset.add_new((0x0011, 0x1001), "OB", bytes(HEADER_BYTES))
    dataset.save_as(plain)
    whole = plain.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = meta(DEFLATED) + packer.compress(whole[start:]) + packer.flush()
    (tmp_path / "deflated.dcm").write_bytes(packed)
    assert read_header(tmp_path, "plain.dcm").view == "LATERAL"
    assert not read_header(tmp_path, "deflated.dcm").readable


def test_the_path_of_an_unreadable_file_shows_nobody(tmp_path):
    write_dicom(tmp_path / "ward" / "12345678" / "IM000001.dcm", "1")
    lost = {
        "ward/12345678/IM000002.dcm": "ward/12345678/IM000002.dcm",
        "ward/SECRET_Word/IM000001.dcm": "ward/*_*/IM000001.dcm-",
        "ward/19431217/IM000001.dcm": "ward/*/IM000001.dcm-",
        "ward/171243/IM000001.dcm": "ward/*/IM000001.dcm-",
        "ward/12345678/secret.dcm": "ward/12345678/*.dcm-",
    }
    for path in lost:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"broken")
    found = {own.path: own.image_id for own in read_headers(tmp_path) if not own.readable}
    assert found.keys() == lost.keys()
    for path, shown in lost.items():
        assert found[path].startswith(shown)
    assert len(set(found.values())) == len(found)


def test_what_a_header_says(sound):
    (header,) = read_headers(sound)
    assert (header.path, header.patient_id, header.modality) == ("a/image.dcm", "007", "DX")
    assert (header.date, header.time) == (datetime.date(2020, 1, 31), "101501")
    assert (header.age, header.sex, header.view, header.study) == (1.5, "F", "PA", "1.2.3")
    assert header.readable
    assert header.chest
    assert not header.references_image
    assert not header.identifying_path
    assert header.image_id.startswith("007-101501-")


def test_no_name_and_no_birth_date_is_in_a_header(sound):
    said = repr(read_headers(sound)).casefold()
    assert "secret" not in said
    assert fixtures.BIRTH_DATE not in said


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        ("secret", True),
        ("WARD_SECRET_2020", True),
        ("1943-12-17", True),
        ("born19431217", True),
        ("secretariat", False),
        ("007", False),
    ],
)
def test_a_path_that_shows_the_patient_is_marked(tmp_path, folder, shown):
    write_dicom(tmp_path / folder / "image.dcm", "007")
    (header,) = read_headers(tmp_path)
    assert header.identifying_path is shown
    nameless = DicomHeader(header.path, identifying_path=shown)
    assert (folder not in nameless.image_id) is shown


@pytest.mark.parametrize(
    ("name", "birth", "folder", "shown"),
    [
        ("SECRET^WORD", "", "SecretWord_1", True),
        ("SECRET^WORD", "", "wsecret", True),
        ("GRÜN^CAFÉ", "", "Grun_1", True),
        ("GRÜN^CAFÉ", "", "gruen", True),
        ("GRÜN^CAFÉ", "", "x/cafe2", True),
        ("OX^IN", "", "Ox_3", True),
        ("OX^IN", "", "oxen", False),
        ("HAND^OX", "", "handbook", False),
        ("ANONYMOUS^PATIENT", "", "anonymous/patient1", False),
        ("X^Y", "19500314", "14031950", True),
        ("X^Y", "19500314", "03-14-1950", True),
        ("X^Y", "19500314", "14.04.1950", False),
    ],
)
def test_other_spellings_of_names_and_dates_show_the_patient(tmp_path, name, birth, folder, shown):
    tags = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": name, "PatientBirthDate": birth}
    write_dicom(tmp_path / folder / "image.dcm", "007", **tags)
    assert read_headers(tmp_path)[0].identifying_path is shown


def test_an_empty_reference_to_an_image_is_none(tmp_path):
    write_dicom(tmp_path / "x.dcm", "1", ReferencedImageSequence=Sequence([]))
    assert not read_headers(tmp_path)[0].references_image


def test_a_name_that_is_the_id_shows_nobody(tmp_path):
    write_dicom(tmp_path / "A0801" / "image.dcm", "A0801", PatientName="A0801")
    assert not read_headers(tmp_path)[0].identifying_path


def test_the_view_code_and_the_referenced_image_are_read(tmp_path):
    code = Dataset()
    code.CodeMeaning = "left lateral"
    write_dicom(tmp_path / "x.dcm", "1", references="1.2", ViewCodeSequence=Sequence([code]))
    (header,) = read_headers(tmp_path)
    assert header.view == "LATERAL"
    assert header.references_image


@pytest.mark.parametrize("name", ["truncated.dcm", "empty.dcm", "text.dcm", "link.dcm"])
def test_a_broken_file_is_named(sound, name):
    whole = (sound / "a" / "image.dcm").read_bytes()
    contents = {"truncated.dcm": whole[:150], "empty.dcm": b"", "text.dcm": b"no DICOM"}
    if name in contents:
        (sound / name).write_bytes(contents[name])
    else:
        (sound / name).symlink_to(sound / "nowhere")
    assert [header.readable for header in read_headers(sound)] == [True, False]
    assert read_headers(sound)[1].path == name


def test_other_files_are_passed_over_and_the_suffix_does_not_matter(sound):
    (sound / "a" / "IM000001").write_bytes((sound / "a" / "image.dcm").read_bytes())
    for name in ("notes.txt", "DICOMDIR", ".hidden.dcm"):
        (sound / name).write_bytes(b"\0" * 128 + (b"" if name == "notes.txt" else b"DICM"))
    assert [header.path for header in read_headers(sound)] == ["a/IM000001", "a/image.dcm"]


def test_links_to_folders_are_followed_once(sound):
    (sound / "a" / "again").symlink_to(sound, target_is_directory=True)
    assert [header.path for header in read_headers(sound)] == ["a/image.dcm"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(sound):
    os.mkfifo(sound / "pipe.dcm")
    assert [header.readable for header in read_headers(sound)] == [True, False]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere cannot be read"):
        read_headers(tmp_path / "nowhere")


def nested(depth):
    """Sequences of undefined length inside each other."""
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return meta(EXPLICIT) + opening * depth


def huge_identifier(size):
    return meta(EXPLICIT) + b"\x10\x00\x20\x00UN\0\0" + size.to_bytes(4, "little") + b"1" * size


def endless_sequence(size):
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x09\x00\x10\x00UN\0\0\xff\xff\xff\xff"
    return meta(EXPLICIT) + b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + item + b"\0" * size


def many_elements(count):
    return meta(EXPLICIT) + b"\x09\x00\x01\x00UN\0\0\0\0\0\0" * count


def bomb(size):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta(DEFLATED) + packer.compress(b"\0" * size) + packer.flush()


@pytest.mark.parametrize(
    "content",
    [
        nested(100_000),
        huge_identifier(30_000_000),
        endless_sequence(30_000_000),
        many_elements(2_000_000),
        bomb(200_000_000),
    ],
    ids=["nested", "huge identifier", "endless sequence", "many elements", "bomb"],
)
def test_hostile_headers_end_in_bounded_memory(tmp_path, content):
    (tmp_path / "x.dcm").write_bytes(content)
    tracemalloc.start()
    try:
        header = read_header(tmp_path, "x.dcm")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert header == DicomHeader("x.dcm", readable=False)
    assert peak < 60_000_000


def test_large_elements_that_are_not_needed_are_skipped(tmp_path):
    write_dicom(
        tmp_path / "x.dcm",
        "1",
        pixels=np.zeros((2000, 2000), np.uint16),
        EncapsulatedDocument=b"\0" * 20_000_000,
        ViewPosition="AP",
    )
    tracemalloc.start()
    try:
        header = read_header(tmp_path, "x.dcm")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (header.patient_id, header.view) == ("1", "AP")
    assert peak < 2_000_000


def test_mutated_headers_never_raise(sound):
    whole = bytearray((sound / "a" / "image.dcm").read_bytes())
    end = whole.index(b"Secret") + 200
    stream = np.random.default_rng(3)
    outcomes = set()
    for _ in range(400):
        mutated = whole.copy()
        for at in stream.integers(132, end, size=stream.integers(1, 12)):
            mutated[at] = stream.integers(256)
        (sound / "a" / "image.dcm").write_bytes(mutated[: stream.integers(140, len(whole))])
        header = read_header(sound, "a/image.dcm")
        outcomes.add(header.readable)
        said = repr(header).casefold()
        assert "secret" not in said
        assert fixtures.BIRTH_DATE not in said
    assert outcomes == {True, False}


def test_the_order_does_not_depend_on_the_threads(tmp_path, monkeypatch):
    for number in range(40):
        write_dicom(tmp_path / f"{number % 7}" / f"{number:02d}.dcm", str(number))
    found = read_headers(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert read_headers(tmp_path) == found
    assert [header.path for header in found] == sorted(header.path for header in found)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20200131", datetime.date(2020, 1, 31)),
        ("2020.01.31", datetime.date(2020, 1, 31)),
        ("20201331", None),
        ("2020011", None),
        ("", None),
        ("2020W051", None),
    ],
)
def test_dates(text, day):
    assert dicom_date(text) == day


def test_headers_agree_with_pydicom_on_real_files(data_folder):
    folder = data_folder / "dicom"
    headers = {header.path: header for header in read_headers(folder)}
    assert len(headers) == 3
    for path, header in headers.items():
        dataset = pydicom.dcmread(folder / path)
        assert header.readable
        assert header.patient_id == dataset.get("PatientID", "")
        assert header.modality == dataset.Modality
        assert header.view == dataset.ViewPosition
        assert header.instance == dataset.SOPInstanceUID
        assert header.chest
