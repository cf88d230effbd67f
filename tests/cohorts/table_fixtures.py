"""Image folders with tables, in the layout and with the quirks of the published ones, in small.

Each function writes one download into a folder. The images are sound files of 96 x 96 pixels, with
opacities in the lungs of patients with the event; each cohort has enough patients of either class
to be trained on, and AIforCOVID has them in each of its six hospitals.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import xlwt
from dicom_fixtures import radiograph, write_csv, write_dicom, write_workbook
from PIL import Image


def write_image(path: Path, seed: int, event: bool = False) -> None:
    """Write a radiograph of 8 bits, in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((radiograph(seed, event) // 16).astype("uint8")).save(path)


def write_old_workbook(path: Path, rows: list[list[Any]], sheet: str = "Sheet1") -> None:
    """Write a workbook of the kind from before 2007."""
    book = xlwt.Workbook()
    page = book.add_sheet(sheet)
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            page.write(down, across, cell)
    book.save(str(path))


AFC_HEADER = (
    "Row_number ImageFile Hospital Age Sex PositivityAtAdmission Temp_C DaysFever Cough "
    "DifficultyInBreathing WBC RBC CRP Fibrinogen Glucose PCT LDH INR D_dimer Ox_percentage PaO2 "
    "SaO2 PaCO2 pH CardiovascularDisease IschemicHeartDisease AtrialFibrillation HeartFailure "
    "Ictus HighBloodPressure Diabetes Dementia BPCO Cancer ChronicKidneyDisease RespiratoryFailure "
    "Obesity Position Prognosis Death"
)
AFC_COLUMNS = AFC_HEADER.split()
AFC_HOSPITALS = "ABCDEF"
AFC_CONTRADICTORY = 7
"""The patient whose course was mild, and who died."""


def afc_id(number: int, release: int = 1) -> str:
    return f"P_{number + 1}" if release == 1 else f"P_{release}_{number + 1}"


def afc_severe(number: int) -> bool:
    return number // len(AFC_HOSPITALS) % 2 == 0


def afc_died(number: int) -> bool:
    return number // len(AFC_HOSPITALS) % 4 == 0 or number == AFC_CONTRADICTORY


def _afc_row(number: int, file: str, labelled: bool = True) -> list[Any]:
    known: dict[str, Any] = {
        "Row_number": number + 1,
        "ImageFile": file,
        # One hospital is in lower case in places, and one cell has a blank behind it.
        "Hospital": {7: "b", 8: "C "}.get(number, AFC_HOSPITALS[number % len(AFC_HOSPITALS)]),
        "Age": 35 + number % 50,
        "Sex": number % 2,
        "Temp_C": 36.5 + number % 4,
        "WBC": 6.1,
        "CRP": 12.5 * (1 + number % 3) if number % 5 else None,
        "Position": number % 2,
        "Prognosis": ("SEVERE" if afc_severe(number) else "MILD") if labelled else None,
        "Death": float(afc_died(number)) if labelled else None,
    }
    return [known.get(name) for name in AFC_COLUMNS]


def write_aiforcovid(folder: Path, distribution: str = "archive", patients: int = 48) -> None:
    """AIforCOVID: 48 patients of six hospitals, half of them severe, and these quirks.

    Patient 7 had a mild course and died. Patient 9 has no image. ``archive`` is the DICOM form:
    ids without suffix, MONOCHROME1 and 2, and a second release of 12 patients whose table has no
    column Death. ``challenge`` has PNG files named with their suffix, .xls workbooks, and a test
    set of 6 patients without outcomes.

    Args:
        folder: An empty folder.
        distribution: ``archive`` or ``challenge``.
        patients: Patients of the first release, or of the training set.
    """
    {"archive": _afc_archive, "challenge": _afc_challenge}[distribution](folder, patients)


def _afc_archive(folder: Path, patients: int) -> None:
    write_workbook(folder / "AIforCOVID.xlsx", _afc_release(folder / "imgs", 1, patients))
    second = _afc_release(folder / "imgs_r2", 2, 12)
    death = AFC_COLUMNS.index("Death")
    rows = [row[:death] + row[death + 1 :] for row in second]
    write_workbook(folder / "AIforCOVID_r2.xlsx", rows)


def _afc_challenge(folder: Path, patients: int) -> None:
    rows: list[list[Any]] = [AFC_COLUMNS]
    for number in range(patients):
        rows.append(_afc_row(number, f"{afc_id(number)}.png"))
        if number != 9:
            path = folder / "TrainSet" / "TrainSet" / f"{afc_id(number)}.png"
            write_image(path, number, afc_severe(number))
    write_old_workbook(folder / "TrainSet" / "trainClinData.xls", rows)
    tests: list[list[Any]] = [AFC_COLUMNS]
    for number in range(patients, patients + 6):
        tests.append(_afc_row(number, f"{afc_id(number)}.png", labelled=False))
        write_image(folder / "TestSet" / "TestSet" / f"{afc_id(number)}.png", number)
    write_old_workbook(folder / "TestSet" / "testClinData.xls", tests)


def _afc_release(folder: Path, release: int, patients: int) -> list[list[Any]]:
    rows: list[list[Any]] = [AFC_COLUMNS]
    for number in range(patients):
        name = afc_id(number, release)
        rows.append(_afc_row(number, name))
        if release == 1 and number == 9:
            continue
        write_dicom(
            folder / f"{name}.dcm",
            name,
            "CR" if number % 3 else "DX",
            pixels=radiograph(number + 100 * release, afc_severe(number)),
            photometric="MONOCHROME1" if number % 4 == 3 else "MONOCHROME2",
        )
    return rows


def write_cocross(folder: Path, layout: str = "database", patients: int = 16) -> None:
    """CoCross: 16 patients in intensive care, every second of whom died, and these quirks.

    Each has two rows in the table, with the outcome in the second one only. The rows of patient 5
    contradict each other; patient 6 has no image; patient 99 has images and is in no table; every
    third patient has a second image. ``database`` has the images in ``<ID>/XR``, beside other
    recordings; ``export`` in ``imgs``.
    """
    rows: list[list[Any]] = [
        ["ID", "Sex", "Age", "SOFA", "APACHE II", "Charlson Comorbidity index", "ICU Outcome"]
    ]
    for number in range(1, patients + 1):
        outcome = "Death" if number % 2 else "Alive"
        about = [number, "FM"[number % 2], 45 + number, 4 + number % 6, 12 + number % 9]
        rows.append([*about, number % 5, "Alive" if number == 5 else None])
        rows.append([number, None, None, None, None, None, outcome])
    for number in (*range(1, patients + 1), 99):
        if number == 6:
            continue
        for place in range(1 + (number % 3 == 0)):
            if layout == "database":
                path = folder / str(number) / "XR" / f"XR_{place + 1}.jpg"
            else:
                path = folder / "imgs" / f"{number}{f'_{place + 1}' * place}.jpeg"
            write_image(path, 10 * number + place, number % 2 == 1)
    if layout == "database":
        sound = folder / "1" / "sounds" / "1_LeftLungApexFront.wav"
        sound.parent.mkdir()
        sound.write_bytes(b"RIFF")
        _write_sheets(folder / "CoCrossDatabase.xlsx", rows)
    else:
        write_csv(folder / "CoCross.csv", [["" if c is None else c for c in row] for row in rows])


def _write_sheets(path: Path, rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Legend"
    book.active.append(["ICU Outcome", "Death or Alive"])
    page = book.create_sheet("Data")
    for row in rows:
        page.append(row)
    book.save(path)


CDSL_HEADER = (
    "patient_id,age,sex,diag_inpat,admission_d_inpat,icu_date_in,icu_date_out,icu_days,mechvent,"
    "discharge_date,destin_discharge,admission_date_emerg,time_admission_emerg,department_emerg,"
    "diag_emerg,destin_emerg,time_constant_first_emerg,temp_first_emerg,hr_first_emerg,"
    "glu_first_emerg,sat_02_first_emerg,bp_max_first_emerg,bp_min_first_emerg,"
    "time_constant_last_emerg,diuresis_first_emerg,idcdsl,ant_admission_date_in,ant_diag_inpat,"
    "icu_n_ing"
)
CDSL_COLUMNS = CDSL_HEADER.split(",")
CDSL_IMAGE_HEADER = (
    "patient_id,patient_group_folder_id,patient_folder_id,study_id,image_id,StudyDate,StudyTime,"
    "Modality,BodyPart,ViewPosition,Rows,Columns"
)
CDSL_IMAGE_COLUMNS = CDSL_IMAGE_HEADER.split(",")
CDSL_DIED = (1, 4, 7, 10)
CDSL_ICU = (1, 2, 4, 8, 11)


def cdsl_patient(number: int) -> str:
    return str(10030053 + 17 * number)


def write_cdsl(folder: Path, patients: int = 12) -> None:
    """CDSL: 12 patients with an image of the day before admission, and these quirks.

    The table of patients is Latin-1 with decimal commas and zeros for what was not measured.
    Patients in intensive care have a second image of the day after. Patient 0 has a lateral, 2 an
    abdomen, 3 a CT of three slices, 5 images from a year before and after, 6 one without a view;
    patient 9 has only a CT. A patient of the table has no image, and one of the images is in no
    table. The file of patient 3's second radiograph is missing.
    """
    rows: list[list[Any]] = [CDSL_COLUMNS]
    images: list[list[Any]] = [CDSL_IMAGE_COLUMNS]
    for number in range(patients + 1):
        admitted = date(2020, 3, 14) + timedelta(days=number)
        rows.append(_cdsl_row(number, admitted))
        if number == patients:
            break
        event = number % 12 in CDSL_DIED
        before = admitted - timedelta(days=1)
        if number == 9:
            _cdsl_image(folder, images, number, admitted, "CT", view="")
            continue
        _cdsl_image(folder, images, number, before, "DX" if number % 2 else "CR", event=event)
        if number % 12 in CDSL_ICU:
            _cdsl_image(folder, images, number, admitted + timedelta(days=4), event=event)
    start = date(2020, 3, 14)
    _cdsl_image(folder, images, 0, start, view="LL")
    _cdsl_image(folder, images, 2, start + timedelta(days=3), body_part="ABDOMEN")
    for _ in range(3):
        _cdsl_image(folder, images, 3, start + timedelta(days=4), "CT", view="")
    _cdsl_image(folder, images, 3, start + timedelta(days=5), missing=True)
    _cdsl_image(folder, images, 5, start - timedelta(days=365))
    _cdsl_image(folder, images, 5, start + timedelta(days=365))
    _cdsl_image(folder, images, 6, start + timedelta(days=8), view="")
    _cdsl_image(folder, images, 77, start)
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (folder / "patient_01.csv").write_bytes(text.encode("latin-1"))
    write_csv(folder / "CDSL-1.0.0-dicom-metadata.csv", images)


def _cdsl_row(number: int, admitted: date) -> list[Any]:
    place = number % 12
    died, intensive = place in CDSL_DIED, place in CDSL_ICU
    left = admitted + timedelta(days=10 + number)
    known = {
        "patient_id": cdsl_patient(number),
        "age": 40 + 3 * number,
        "sex": ("MALE", "FEMALE")[number % 2],
        "diag_inpat": "NEUMONÍA",
        "admission_d_inpat": admitted,
        "icu_date_in": admitted + timedelta(days=3) if intensive else "",
        "icu_days": 5 if intensive else "",
        "mechvent": "YES" if intensive else "NO",
        "discharge_date": left,
        "destin_discharge": "Death" if died else ("Home", "Transfer to Hospital")[number % 2],
        "admission_date_emerg": admitted - timedelta(days=1),
        "time_admission_emerg": "18:40",
        "temp_first_emerg": '"36,8"' if number else 0,
        "sat_02_first_emerg": 92,
        "idcdsl": cdsl_patient(number),
    }
    return [known.get(name, "") for name in CDSL_COLUMNS]


def _cdsl_image(
    folder: Path,
    images: list[list[Any]],
    number: int,
    day: date,
    modality: str = "CR",
    view: str = "AP",
    body_part: str = "CHEST",
    event: bool = False,
    missing: bool = False,
) -> None:
    patient, place = cdsl_patient(number), len(images)
    group, own, study = f"p{patient[:2]}", f"p{patient}", f"s{75704000 + place}"
    image = f"{place:08x}-0a1b-2c3d-4e5f-{number:012x}"
    images.append(
        [patient, group, own, study, image, day, "10:15:00", modality, body_part, view, 96, 96]
    )
    if not missing:
        path = folder / "IMAGES" / group / own / study / f"{image}.jpg"
        write_image(path, place, event)


BRIXIA_HEADER = (
    "Filename BrixiaScore BrixiaScoreGlobal Modality Manufacturer PhotometricInterpretation "
    "ConsensusTestset Subject Sex AgeAtStudyDateFiveYear TableMotion TableAngle"
)
BRIXIA_COLUMNS = BRIXIA_HEADER.split()
BRIXIA_SCORES = ("023013", "112023", "000001", "333222", "001000", "222111")
"""Scores of the zones by subject: of 9, 9, 1, 15, 1 and 9 in all."""


def brixia_file(number: int, place: int = 0) -> str:
    return f"{18065577577751333693 + 1009 * (10 * number + place)}.dcm"


def write_brixia(folder: Path, dated: bool = True, subjects: int = 18) -> None:
    """BrixIA: 18 subjects with one to three images, half of them severe, and these quirks.

    The scores are numbers, so that those beginning with zero lost it. Every third subject has two
    more images, the first of which has a low score and the second its highest. Subject 4 has a
    second one whose score does not add up. Six images have a consensus, in which every zone of the
    first is one higher.

    Args:
        folder: An empty folder.
        dated: Whether the table has the column StudyDate, as earlier versions have.
        subjects: Number of subjects.
    """
    rows: list[list[Any]] = [[*BRIXIA_COLUMNS, *(["StudyDate"] if dated else [])]]
    consensus: list[list[Any]] = [
        ["Filename"]
        + [f"Mean{zone}" for zone in "ABCDEF"]
        + ["MeanGlobal"]
        + [f"Mode{zone}" for zone in "ABCDEF"]
        + ["ModeGlobal"]
    ]
    for number in range(subjects):
        first = date(2020, 3, 4) + timedelta(days=number)
        last = BRIXIA_SCORES[number % len(BRIXIA_SCORES)]
        course = ["000100", "000011", last] if number % 3 == 0 else [last]
        course += [last] * (number == 4)
        for place, score in enumerate(course):
            file = brixia_file(number, place)
            total = sum(map(int, score)) + 9 * (number == 4 and place == 1)
            about = [file, str(int(score)), total, "CR" if number % 2 else "DX"]
            about += ["SIEMENS" if number % 2 else "Carestream Health", "MONOCHROME2"]
            in_consensus = int(number < 6 and place == 0)
            about += [in_consensus, 5000 + number, "MF"[number % 2], 9 + number % 6, "STATIC", ""]
            taken = first + timedelta(days=3 * place)
            rows.append([*about, *([f"{taken:%Y%m%d}"] if dated else [])])
            if in_consensus:
                modes = [min(3, int(zone) + (number == 0)) for zone in score]
                values = [*(mode + 0.2 for mode in modes), sum(modes) + 1.2, *modes, sum(modes)]
                consensus.append([file, *values])
            write_dicom(
                folder / "dicom_clean" / file,
                f"{5000 + number}",
                "CR" if number % 2 else "DX",
                pixels=radiograph(100 * number + place, total >= 9),
            )
    text = "\n".join(";".join(map(str, row)) for row in rows)
    (folder / "metadata_global_v2.csv").write_text(text, encoding="utf-8-sig")
    write_csv(folder / "metadata_consensus_v1.csv", consensus)
