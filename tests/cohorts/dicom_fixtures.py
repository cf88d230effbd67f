"""DICOM collections in the layout and with the quirks of the published ones, in small.

Each function writes one collection into a folder; the images are sound DICOM files of 96 x 96
pixels of 12 bits, with opacities in the lungs of patients with the event. The dozen patients of a
collection have enough of either class to be trained on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

NAME_OF_A_PATIENT = "Secret^Patient"
BIRTH_DATE = "19431217"
SIDE = 96

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
_CLASSES = {"CR": CR, "DX": DX, "CT": CT, "SR": "1.2.840.10008.5.1.4.1.1.88.11"}


def radiograph(seed: int, event: bool = False) -> np.ndarray:
    """Stored values of 12 bits: two dark lungs in a bright chest, opaque below with the event."""
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    values = 2600.0 + 500.0 * down
    for centre in (0.3, 0.7):
        lung = ((across - centre) / 0.16) ** 2 + ((down - 0.5) / 0.33) ** 2 < 1
        values[lung] -= 1500.0
        values[lung & (down > 0.55)] += 900.0 * event
    noise = np.random.default_rng(seed).normal(0.0, 60.0, values.shape)
    return np.clip(values + noise, 0, 4095).astype(np.uint16)


def write_dicom(
    path: Path,
    patient_id: str,
    modality: str = "DX",
    day: date | None = None,
    pixels: np.ndarray | None = None,
    implicit: bool = False,
    references: str = "",
    photometric: str = "MONOCHROME2",
    **tags: Any,
) -> str:
    """Write one file and return its SOP Instance UID, which follows from its path."""
    # The last folders say which file it is, wherever the tree is written to.
    uid = pydicom.uid.generate_uid(entropy_srcs=["/".join(path.parts[-4:])])
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = _CLASSES.get(modality, DX)
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID", uid)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = uid
    dataset.Modality = modality
    dataset.PatientName = NAME_OF_A_PATIENT
    dataset.PatientBirthDate = BIRTH_DATE
    dataset.PatientID = patient_id
    if day is not None:
        dataset.StudyDate = day.strftime("%Y%m%d")
    if references:
        item = Dataset()
        item.ReferencedSOPClassUID = dataset.SOPClassUID
        item.ReferencedSOPInstanceUID = references
        dataset.ReferencedImageSequence = DicomSequence([item])
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    if modality in {"CR", "DX", "CT"}:
        stored = radiograph(0) if pixels is None else pixels
        stored = 4095 - stored if photometric == "MONOCHROME1" else stored
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = photometric
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


def study_folder(collection: Path, patient: str, day: date, description: str, uid: str) -> Path:
    """The folder of a study as the NBIA Data Retriever names it."""
    return collection / patient / f"{day:%m-%d-%Y}-NA-{description}-{uid[-5:]}"


def write_workbook(path: Path, rows: Sequence[Sequence[Any]], sheet: str = "Sheet1") -> None:
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    book.save(path)


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


AR_TABLE = "COVID_19_AR_ClinicalCorrelates_July202020.xlsx"
AR_COLUMNS = [
    "PATIENT_ID",
    "AGE",
    "SEX",
    "RACE",
    "ZIP",
    "LATEST BMI",
    "latest weight",
    "latest height",
    "tuberculosis",
    "systemic lupus erythmatosus",
    "rheumatoid arthritis",
    "extensive burns",
    "asplenia",
    "hyposplenia",
    "measles",
    "cytomegalovirus",
    "chicken pox",
    "herpes zoster",
    "malnutrition",
    "current pregnant",
    "chronic kidney disease",
    "diabetes type I",
    "diabetes type II",
    "transplant",
    "hemodialysis pre diagnosis",
    "hemodialysis post diagnosis",
    "cancer",
    "COVID TEST POSITIVE",
    "test name",
    "ICU Admit",
    "# ICU admits",
    "MORTALITY",
]
AR_ICU = (0, 2, 4, 6, 8)
AR_DIED = (0, 4, 8, 10)


def ar_patient(number: int) -> str:
    return f"COVID-19-AR-{16406000 + number * 41}"


def write_covid19_ar(folder: Path, patients: int = 12) -> None:
    """COVID-19-AR: 12 patients with one or two frontal studies, and these quirks.

    Patient 0 has a lateral under ``XR CHEST AP ONLY``; 1 a PA and a lateral in one study, and a
    third image of it that says nothing; 2 an abdomen; 3 a CT; 4 has a file that ends in its
    header. Patient 5 is in the table without the leading zeros of the image's id, one patient is
    in the table only, and one has an image only.
    """
    collection = folder / "manifest-1594658036421" / "COVID-19-AR"
    start = date(2012, 1, 15)
    row_ids = []
    for number in range(patients):
        patient = ar_patient(number) if number != 5 else "COVID-19-AR-00644205"
        row_ids.append(patient.replace("-00", "-"))
        first = start + timedelta(days=number)
        event = number % 12 in {*AR_ICU, *AR_DIED}
        _ar_image(collection, patient, first, seed=number, event=event)
        if number % 2:
            later = first + timedelta(days=4)
            _ar_image(collection, patient, later, "XR CHEST AP ONLY", "", "", number, event)
    zero, one, two, three, four = map(ar_patient, range(5))
    hidden = "XR CHEST AP ONLY"
    _ar_image(collection, zero, start + timedelta(days=1), hidden, "Lateral L", "")
    both, day = "XR CHEST PA AND LATERAL", start + timedelta(days=6)
    uid = pydicom.uid.generate_uid(entropy_srcs=["both"])
    for view, series in (("PA", "PA"), ("LL", "Lateral L"), ("", "")):
        _ar_image(collection, one, day, both, series, view, study_uid=uid)
    abdomen = "XR ACUTE ABDOMINAL SERIES W PA CHEST PORTABLE"
    _ar_image(collection, two, start + timedelta(days=9), abdomen, "", "AP", body_part="ABDOMEN")
    write_dicom(collection / three / "ct" / "1-1.dcm", three, "CT", start)
    broken = collection / four / "broken" / "1-1.dcm"
    broken.parent.mkdir(parents=True)
    broken.write_bytes((b"\0" * 128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff")
    _ar_image(collection, "COVID-19-AR-16499999", start)
    rows: list[list[Any]] = [["COVID-19-AR clinical correlates"], AR_COLUMNS]
    for number, patient in enumerate([*row_ids, "COVID-19-AR-16488888"]):
        words = dict.fromkeys(AR_COLUMNS, "N")
        words |= {"PATIENT_ID": patient, "AGE": str(30 + 4 * number), "SEX": "FM"[number % 2]}
        words |= {"RACE": "White", "ZIP": "72205", "LATEST BMI": "31.2", "test name": "PCR"}
        words |= {"latest weight": "", "latest height": "", "COVID TEST POSITIVE": "Y"}
        words["ICU Admit"] = "Y" if number % 12 in AR_ICU else "N"
        words["# ICU admits"] = str(int(number % 12 in AR_ICU))
        words["MORTALITY"] = "Y" if number % 12 in AR_DIED else "N"
        rows.append([words[name] for name in AR_COLUMNS])
    write_workbook(folder / AR_TABLE, rows)
    listing = [["Series UID", "Collection", "File Location"], ["1.2.3", "COVID-19-AR", "./x"]]
    write_csv(collection.parent / "metadata.csv", listing)


def _ar_image(
    collection: Path,
    patient: str,
    day: date,
    description: str = "XR CHEST AP PORTABLE",
    series: str = "AP",
    view: str = "AP",
    seed: int = 0,
    event: bool = False,
    body_part: str = "CHEST",
    study_uid: str = "",
) -> None:
    uid = study_uid or pydicom.uid.generate_uid(entropy_srcs=[patient, str(day), series])
    folder = study_folder(collection, patient, day, description, uid)
    number = len(list(folder.glob("*"))) + 1
    write_dicom(
        folder / f"100{number}.000000-{series or 'NA'}-00046" / "1-1.dcm",
        patient,
        "CR" if seed % 6 == 5 else "DX",
        day,
        radiograph(seed + 1000 * number, event),
        implicit=True,
        photometric="MONOCHROME1" if seed % 8 == 7 else "MONOCHROME2",
        StudyInstanceUID=uid,
        StudyTime="101500",
        StudyDescription=description,
        SeriesDescription=series,
        ViewPosition=view,
        BodyPartExamined=body_part,
    )


SBU_TABLE = "deidentified_overlap_tcia.csv.cleaned.csv_20210806.csv"
SBU_DICTIONARY = "deidentified_overlap_tcia.csv.cleaned.csv.template_20210806.csv"
SODIUM = "2951-2_Sodium [Moles/volume] in Serum or Plasma"
SBU_COLUMNS = (
    "to_patient_id,covid19_statuses,last.status,age.splits,gender_concept_name,"
    "visit_start_datetime,visit_concept_name,is_icu,was_ventilated,invasive_vent_days,"
    "length_of_stay,Acute.Hepatic.Injury..during.hospitalization.,"
    "Acute.Kidney.Injury..during.hospitalization.,Urine.protein,kidney_replacement_therapy,"
    "kidney_transplant,htn_v,dm_v,cad_v,hf_ef_v,ckd_v,malignancies_v,copd_v,other_lung_disease_v,"
    "acei_v,arb_v,antibiotics_use_v,nsaid_use_v,days_prior_sx,smoking_status_v,cough_v,"
    "dyspnea_admission_v,nausea_v,vomiting_v,diarrhea_v,abdominal_pain_v,fever_v,BMI.over30,"
    f"Sodium.above145,8331-1_Oral temperature,{SODIUM},{SODIUM},therapeutic.exnox.Boolean,"
    "therapeutic.heparin.Boolean,Other.anticoagulation.therapy"
).split(",")
SBU_DIED = (1, 4, 7, 10)
SBU_ICU = (1, 2, 4, 8, 11)


def sbu_patient(number: int) -> str:
    return f"A{801 + 7 * number:06d}"


def write_ny_sbu(folder: Path, patients: int = 12) -> None:
    """COVID-19-NY-SBU: 12 patients, every study as the original and a processed copy of it.

    Besides: patient 0 has a study from before the visit, 1 a lateral, 2 an abdomen and a kidney, 3
    a study whose only image refers to another one. Patient 6 has a second study later. One patient
    of the table has no image. The table has a column twice, and its dictionary lies beside it.
    """
    collection = folder / "manifest-1628608914773" / "COVID-19-NY-SBU"
    rows: list[list[Any]] = [SBU_COLUMNS]
    for number in range(patients + 1):
        visit = date(1900, 12, 31) + timedelta(days=11 * number)
        event = number % 12 in {*SBU_DIED, *SBU_ICU}
        rows.append(_sbu_row(number, visit))
        if number == patients:
            break
        _sbu_study(collection, number, visit + timedelta(days=number % 3), event)
        if number == 6:
            _sbu_study(collection, number, visit + timedelta(days=9), event)
    visits = [date(1900, 12, 31) + timedelta(days=11 * number) for number in range(4)]
    _sbu_study(collection, 0, visits[0] - timedelta(days=40))
    _sbu_study(collection, 1, visits[1] + timedelta(days=5), view="LATERAL")
    _sbu_study(collection, 2, visits[2] + timedelta(days=5), body_part="ABDOMEN")
    _sbu_study(collection, 2, visits[2] + timedelta(days=6), body_part="KIDNEY")
    _sbu_study(collection, 3, visits[3] + timedelta(days=7), original=False)
    write_csv(folder / SBU_TABLE, rows)
    listed = [[name, "character", "FALSE"] for name in SBU_COLUMNS]
    write_csv(
        folder / SBU_DICTIONARY, [["column_name", "column_type", "is_chart_abstracted"], *listed]
    )


def _sbu_row(number: int, visit: date) -> list[str]:
    place = number % 12
    known = {
        "to_patient_id": sbu_patient(number),
        "covid19_statuses": "positive",
        "last.status": "deceased" if place in SBU_DIED else "discharged",
        "age.splits": ("[18,59]", "(59,74]", "(74,90]")[number % 3],
        "gender_concept_name": ("MALE", "FEMALE", "MALE", "")[number % 4],
        "visit_start_datetime": f"{visit:%Y-%m-%d}T00:00:00Z",
        "visit_concept_name": "Inpatient Visit",
        "is_icu": "TRUE" if place in SBU_ICU else "FALSE",
        "was_ventilated": "Yes" if place in SBU_ICU else "No",
        "length_of_stay": str(3 + number),
        "htn_v": "Yes" if number % 2 else "No",
        "days_prior_sx": str(number),
        SODIUM: "138",
    }
    return [known.get(name, "") for name in SBU_COLUMNS]


def _sbu_study(
    collection: Path,
    number: int,
    day: date,
    event: bool = False,
    view: str = "AP",
    body_part: str = "CHEST",
    original: bool = True,
) -> None:
    patient = sbu_patient(number)
    uid = pydicom.uid.generate_uid(entropy_srcs=[patient, str(day), view, body_part])
    folder = study_folder(collection, patient, day, f"XR {body_part}", uid)
    about = {
        "StudyInstanceUID": uid,
        "StudyTime": "081500",
        "StudyDescription": f"XR {body_part} PORTABLE 1 VIEW",
        "BodyPartExamined": body_part,
        "ViewPosition": view,
    }
    image = radiograph(number + 40 * day.toordinal() % 100_000, event)
    first = "1.2.3.4"
    if original:
        first = write_dicom(
            folder / "1.000000-AP-1" / "1-1.dcm", patient, "CR", day, image, **about
        )
    copy = np.minimum(image.astype(np.uint32) * 5 // 4, 4095).astype(np.uint16)
    write_dicom(
        folder / "2.000000-AP-2" / "1-1.dcm", patient, "CR", day, copy, references=first, **about
    )


RICORD_STEM = "1c_mdai_rsna_project_MwBeK3Nr_annotations_labelgroup_all_2021-01-08-164102"
RICORD_TABLE = "MIDRC-RICORD-1c Clinical Data Jan 13 2021 .xlsx"
RICORD_LABELS = {
    "typical": "Typical Appearance",
    "indeterminate": "Indeterminate Appearance",
    "atypical": "Atypical Appearance",
    "negative": "Negative for Pneumonia",
    "mild": "Mild Opacities  (1-2 lung zones)",
    "moderate": "Moderate Opacities (3-4 lung zones)",
    "severe": "Severe Opacities (>4 lung zones)",
}
_READERS = ("U_aa", "U_bb", "U_cc")
_ADJUDICATOR = "U_zz"
_RICORD_SITES = ("419639", "440808", "SITE2")


def ricord_patient(number: int) -> str:
    return f"{_RICORD_SITES[number % 3]}-{82 + 5 * number:06d}"


def ricord_grades(number: int) -> list[str]:
    """What three readers say of a patient's first study; the event is most of them severe."""
    several = {
        0: ["severe", "severe", "mild"],
        1: ["mild", "moderate", "severe"],
        2: ["negative", "negative", "negative"],
        3: ["mild", "indeterminate", "moderate"],
    }
    return several[number % 4]


def write_ricord(folder: Path, patients: int = 12, as_table: bool = False) -> None:
    """MIDRC-RICORD-1c: 12 patients with a study each, read by three readers.

    Patients 1 and 4 have a second study ten days later, which all readers call severe, as they did
    4's first; patient 2 has a lateral (LL) beside the frontal image; patient 3 has labels of the
    group that MD.ai makes by itself, all severe; of patient 5 two readers say mild and an
    adjudicator severe; patient 6 has two readers only, who disagree. One annotated study has no
    image (it was withdrawn), and one patient's study nobody read.

    Args:
        folder: Where to.
        patients: How many.
        as_table: Whether the annotations are the table with one row a reader and study, or the
            export of MD.ai.
    """
    collection = folder / "manifest-1610656454899" / "MIDRC-RICORD-1C"
    readings: list[tuple[str, date, str, str, str, str]] = []
    studies: list[tuple[str, date, str, str]] = []
    for number in range(patients):
        patient, day = ricord_patient(number), date(2004, 3, 1) + timedelta(days=number)
        uid = _ricord_study(collection, number, day, number % 4 == 0 or number in {1, 5})
        studies.append((patient, day, "XR CHEST 1 VIEW AP", uid))
        grades = ricord_grades(number)
        if number == 5:
            grades = ["mild", "mild"]
            readings.append((patient, day, uid, _ADJUDICATOR, "Adjudication", "severe"))
        if number == 6:
            grades = ["moderate", "severe"]
        if number == 3:
            readings += [
                (patient, day, uid, f"U_{other}", "Default group", "severe") for other in "xyz"
            ]
        for reader, grade in zip(_READERS, grades, strict=False):
            readings.append((patient, day, uid, reader, f"Group {reader[-1]}", grade))
        if number in {1, 4}:
            later = day + timedelta(days=10)
            uid = _ricord_study(collection, number, later, True)
            studies.append((patient, later, "XR CHEST 1 VIEW AP", uid))
            readings += [
                (patient, later, uid, reader, f"Group {reader[-1]}", "severe")
                for reader in _READERS
            ]
    _ricord_study(collection, patients, date(2004, 5, 1), False)
    withdrawn = ("419639-009999", date(2004, 6, 1), "1.2.826.0.1.3680043.10.474.99")
    readings.append((*withdrawn, _READERS[0], "Group a", "mild"))
    if as_table:
        _ricord_csv(folder / f"{RICORD_STEM}_v3.csv", readings)
    else:
        _ricord_json(folder / f"{RICORD_STEM}.json", readings)
    header = ("Anon MRN", "Anon TCIA Study Date", "Anon Exam Description", "Anon Study UID")
    rows = [(mrn, f"{day:%m/%d/%Y}", words, uid) for mrn, day, words, uid in studies]
    write_workbook(folder / RICORD_TABLE, [header, *rows], "CR Pos - TCIA Submission")


def _ricord_study(collection: Path, number: int, day: date, event: bool) -> str:
    patient = f"MIDRC-RICORD-1C-{ricord_patient(number)}"
    uid = pydicom.uid.generate_uid("1.2.826.0.1.3680043.10.474.", [patient, str(day)])
    folder = study_folder(collection, patient, day, "XR CHEST 1 VIEW AP", uid)
    about: dict[str, Any] = {"StudyInstanceUID": uid, "SeriesDate": day.strftime("%Y%m%d")}
    if number % 2:
        about |= {"StudyDescription": "XR CHEST 1 VIEW AP", "PatientAge": f"{40 + number:03d}Y"}
    about |= {"PatientSex": "FM"[number % 2], "BodyPartExamined": "CHEST"}
    kind = "CR" if number % 2 else "DX"
    tone = "MONOCHROME1" if number % 5 == 4 else "MONOCHROME2"
    image = radiograph(number + day.toordinal(), event)
    write_dicom(
        folder / "1.000000-AP-1" / "1-1.dcm",
        patient,
        kind,
        day,
        image,
        photometric=tone,
        ViewPosition="AP",
        **about,
    )
    if number == 2:
        lateral = folder / "2.000000-LL-2" / "1-1.dcm"
        write_dicom(lateral, patient, kind, day, image, ViewPosition="LL", **about)
    return uid


def _ricord_json(path: Path, readings: Sequence[tuple[str, date, str, str, str, str]]) -> None:
    groups = sorted({group for *_, group, _ in readings})
    label_groups = [
        {
            "id": f"G_{place}",
            "name": group,
            "type": None,
            "labels": [
                {"id": f"L_{place}_{key}", "name": name, "scope": "STUDY", "description": ""}
                for key, name in RICORD_LABELS.items()
            ],
        }
        for place, group in enumerate(groups)
    ]
    annotations = []
    for _, _, uid, reader, group, grade in readings:
        for key in _both_labels(grade):
            annotations.append(
                {
                    "id": f"A_{len(annotations)}",
                    "labelId": f"L_{groups.index(group)}_{key}",
                    "StudyInstanceUID": uid,
                    "SeriesInstanceUID": None,
                    "SOPInstanceUID": None,
                    "createdById": reader,
                    "data": None,
                }
            )
    uids = sorted({reading[2] for reading in readings})
    studies = [{"StudyInstanceUID": uid, "number": n} for n, uid in enumerate(uids)]
    dataset = {"id": "D_1", "name": "1c", "annotations": annotations, "studies": studies}
    content = {"id": "MwBeK3Nr", "labelGroups": label_groups, "datasets": [dataset]}
    path.write_text(json.dumps(content), encoding="utf-8")


def _ricord_csv(path: Path, readings: Sequence[tuple[str, date, str, str, str, str]]) -> None:
    rows: list[Sequence[str]] = [
        (
            "Anon MRN",
            "Anon TCIA Study Date",
            "Reader_id",
            "Reader_name",
            "CLASS_labelId",
            "CLASS_label",
            "CLASS_label_description",
            "GRADE_labelId",
            "GRADE_label",
            "GRADE_label_description",
        )
    ]
    for mrn, day, _, reader, group, grade in readings:
        names = [*(RICORD_LABELS[key] for key in _both_labels(grade)), ""]
        rows.append((mrn, f"{day:%m/%d/%Y}", reader, group, "L_1", names[0], "", "", names[1], ""))
    write_csv(path, rows)


def _both_labels(grade: str) -> list[str]:
    return [grade] if grade in {"negative", "indeterminate"} else ["typical", grade]


HOSPITAL_ICU = (0, 3, 6, 9, 11)


def hospital_patient(number: int) -> str:
    return f"{4711 + 13 * number:08d}"


def write_hospital(folder: Path, patients: int = 12) -> None:
    """A hospital's export: ``images/`` in the tree of a DICOM medium, and ``outcomes.xlsx``.

    The workbook has two rows above its columns' names, and its ids lost their leading zeros.
    Patients with the event have an image two days before it and one a day after. Besides: a
    DICOMDIR, a viewer's text file, a file twice, a CT, a report, a file without patient, one
    without DICOM in it, a lateral told by its orientation alone, a patient with two rows that
    differ, and one who is in no row.
    """
    tree = folder / "images" / "DICOM"
    rows: list[list[Any]] = [
        ["Outcomes of the ward"],
        [None],
        ["PatientID", "Admitted", "ICU", "ICU from", "Age", "Sex", "Site", "Smoker", "Surname"],
    ]
    for number in range(patients):
        patient = hospital_patient(number)
        admitted = date(2020, 3, 1) + timedelta(days=number)
        event = number % 12 in HOSPITAL_ICU
        transferred = admitted + timedelta(days=4) if event else None
        for visit, after in enumerate((2, 5)):
            write_dicom(
                tree / f"ST{number:06d}" / f"SE{visit:06d}" / "IM000001",
                patient,
                "CR",
                admitted + timedelta(days=after),
                radiograph(100 * number + visit, event),
                StudyInstanceUID=f"1.2.3.{number + 1}.{visit + 1}",
                AcquisitionTime="093000.123",
                ViewPosition=("AP", "PA")[number % 2],
                SeriesDescription="Thorax",
                PatientSex="FM"[number % 2],
            )
        row = [int(patient), admitted, "transferred" if event else "ward", transferred]
        rows.append([*row, 50 + number, "FM"[number % 2], f"{number % 2:03d}", "no", "Secret"])
    rows.append([*rows[3][:2], "ward" if rows[3][2] == "transferred" else "transferred"])
    rows[-1] += [None] * 6
    day = date(2020, 3, 3)
    odd = tree / "ST900000" / "SE000000"
    same = tree / "ST000001" / "SE000000" / "IM000001"
    odd.mkdir(parents=True)
    (odd / "IM000001").write_bytes(same.read_bytes())
    write_dicom(odd / "IM000002", hospital_patient(1), "CT", day)
    write_dicom(odd / "IM000003", hospital_patient(1), "SR", day)
    write_dicom(odd / "IM000004", "", "CR", day)
    (odd / "IM000005.dcm").write_bytes(b"no DICOM")
    write_dicom(odd / "IM000006", hospital_patient(2), "CR", day, PatientOrientation=["A", "F"])
    write_dicom(odd / "IM000007", "99999999", "CR", day, ViewPosition="AP")
    (folder / "images" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "images" / "README.TXT").write_text("a viewer's text", encoding="utf-8")
    write_workbook(folder / "outcomes.xlsx", rows)
