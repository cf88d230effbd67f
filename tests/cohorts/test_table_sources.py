import shutil

import openpyxl
import pandas as pd
import pytest
import table_fixtures as fixtures
from dicom_fixtures import SIDE

from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.load import load_cohort
from prognobench.cohorts.manifest import read_manifest, write_manifest
from prognobench.cohorts.source import get_source
from prognobench.cohorts.task import select_task
from prognobench.errors import UserError
from prognobench.images.decode import decode

DOWNLOADS = {
    "archive": ("aiforcovid", fixtures.write_aiforcovid, {}),
    "challenge": ("aiforcovid", fixtures.write_aiforcovid, {"distribution": "challenge"}),
    "database": ("cocross", fixtures.write_cocross, {}),
    "export": ("cocross", fixtures.write_cocross, {"layout": "export"}),
    "cdsl": ("cdsl", fixtures.write_cdsl, {}),
    "dated": ("brixia", fixtures.write_brixia, {}),
    "undated": ("brixia", fixtures.write_brixia, {"dated": False}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("downloads")
    for name, (_, write, options) in DOWNLOADS.items():
        (root / name).mkdir()
        write(root / name, **options)
    return root


@pytest.fixture(scope="module")
def cohorts(folders):
    return {
        name: load_cohort({"source": source, "root": folders / name})
        for name, (source, _, _) in DOWNLOADS.items()
    }


@pytest.fixture
def copied(folders, tmp_path):
    def copy(name):
        return shutil.copytree(folders / name, tmp_path / name)

    return copy


def read(name, root, **options):
    return load_cohort({"source": DOWNLOADS[name][0], "root": root, **options})


def taken(cohort):
    return {
        drop.rule: (drop.images, drop.patients)
        for drop in cohort.drops
        if drop.images or drop.patients
    }


def edit(path, change):
    """Change the rows of a text table, each a list of cells."""
    encoding = "latin-1" if path.name == "patient_01.csv" else "utf-8-sig"
    delimiter = ";" if path.name.startswith("metadata_global") else ","
    rows = [line.split(delimiter) for line in path.read_text(encoding).splitlines()]
    text = "\n".join(delimiter.join(row) for row in change(rows))
    path.write_text(text, encoding.removesuffix("-sig"))


def without_columns(*names):
    def change(rows):
        places = [rows[0].index(name) for name in names]
        return [[cell for place, cell in enumerate(row) if place not in places] for row in rows]

    return change


@pytest.mark.parametrize("name", DOWNLOADS)
def test_the_flow_adds_up_and_every_image_can_be_decoded(cohorts, name):
    cohort = cohorts[name]
    patients = cohort.table["patient_id"].nunique()
    assert cohort.source_images - sum(drop.images for drop in cohort.drops) == len(cohort.table)
    assert cohort.source_patients - sum(drop.patients for drop in cohort.drops) == patients
    for path in cohort.table["path"]:
        assert decode(cohort.root / path).shape == (SIDE, SIDE)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_manifest_holds_all_of_it(cohorts, name, tmp_path):
    write_manifest(cohorts[name], tmp_path / "m.csv")
    back = read_manifest(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(back.table, cohorts[name].table)
    assert back.drops[: len(cohorts[name].drops)] == cohorts[name].drops


@pytest.mark.parametrize("source", ["aiforcovid", "cohen", "brixia", "cocross", "cdsl"])
def test_each_says_where_it_is_obtained(source):
    about = get_source(source).provenance
    assert all((about.licence, about.access, about.citation))
    assert about.url.startswith("https://")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("archive", "lacks AIforCOVID.xlsx with the folder imgs, and trainClinData.xls"),
        ("database", "lacks CoCrossDatabase.xlsx, and imgs"),
        ("cdsl", "lacks patient_01.csv and IMAGES and CDSL-1.0.0-dicom-metadata.csv"),
        ("dated", "lacks metadata_global_v2.csv, and public-annotations.csv"),
    ],
)
def test_a_folder_of_something_else_gets_a_sentence(name, words, tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=words):
            read(name, root)
    with pytest.raises(UserError, match=r"lacks metadata.csv and images"):
        load_cohort({"source": "cohen", "root": tmp_path})


class TestAiforcovid:
    def test_the_archive_with_two_releases(self, cohorts):
        cohort = cohorts["archive"]
        assert taken(cohort) == {"contradictory_outcomes": (1, 1), "missing_file": (1, 1)}
        assert cohort.drops[0].image_ids == ("P_8",)
        assert sorted(cohort.table["site"].unique()) == list("ABCDEF")
        assert {"P_1", "P_48", "P_2_1", "P_2_12"} < set(cohort.table["patient_id"])
        by_id = cohort.table.set_index("patient_id")
        assert by_id.loc["P_2_3", "path"] == "imgs_r2/P_2_3.dcm"
        assert by_id.loc["P_9", "site"] == "C"  # written 'C ' in the table
        assert "BPCO" not in cohort.table  # empty throughout

    def test_the_outcomes_are_those_of_the_table(self, cohorts, folders):
        table = pd.read_excel(folders / "archive" / "AIforCOVID.xlsx", engine="openpyxl").set_index(
            "ImageFile"
        )
        first = (
            cohorts["archive"]
            .table.set_index("image_id")
            .loc[lambda t: ~t.index.str[2:].str.contains("_")]
        )
        expected = table.loc[first.index]
        assert first["severity"].tolist() == expected["Prognosis"].eq("SEVERE").tolist()
        assert first["mortality"].tolist() == expected["Death"].tolist()
        assert first["severity"].sum() == 24
        # The second release does not tell who died.
        task = select_task(cohorts["archive"], "mortality")
        assert (len(task.patients), int(task.patients["target"].sum())) == (46, 12)
        assert all((task.patients.groupby("site")["target"].nunique() == 2).tolist())

    def test_the_challenge(self, cohorts, folders):
        cohort = cohorts["challenge"]
        assert taken(cohort) == {"contradictory_outcomes": (1, 1), "missing_file": (1, 1)}
        assert cohort.table.set_index("image_id").loc["P_50", "path"] == "TestSet/TestSet/P_50.png"
        task = select_task(cohort, "severity")
        assert (len(task.patients), int(task.patients["target"].sum())) == (46, 24)
        assert taken(task.cohort)["missing_label"] == (6, 6)
        inside = read("challenge", folders / "challenge" / "TrainSet")
        assert inside.table["path"].iloc[0] == "TrainSet/P_1.png"
        assert len(inside.table) == 46

    def test_test_outcomes_that_were_published_later_are_read_instead(self, copied):
        root = copied("challenge")
        rows = [
            fixtures.AFC_COLUMNS,
            *(fixtures._afc_row(n, f"P_{n + 1}.png") for n in range(48, 54)),
        ]
        fixtures.write_old_workbook(root / "TestSet" / "completeTestClinData.xls", rows)
        cohort = read("challenge", root)
        assert len(cohort.table) == 52
        assert cohort.table["severity"].notna().all()

    def test_a_table_of_the_test_set_without_its_images(self, copied):
        root = copied("challenge")
        (root / "TestSet" / "testClinData.xls").rename(root / "testClinData.xls")
        cohort = read("challenge", root)  # the images are found in their folder
        assert "P_50" in set(cohort.table["image_id"])
        shutil.rmtree(root / "TestSet")
        lost = read("challenge", root)
        assert taken(lost)["missing_file"] == (7, 7)
        assert len(lost.table) == 46

    def test_every_documented_column_is_read_whatever_its_case(self, copied):
        root = copied("archive")
        book = openpyxl.load_workbook(root / "AIforCOVID.xlsx")
        for cell in book.active[1]:
            if cell.value not in ("Row_number", "ImageFile", "Hospital", "Prognosis", "Death"):
                for row in range(2, book.active.max_row + 1):
                    book.active.cell(row, cell.column).value = row % 3
            cell.value = f" {cell.value.upper()} "
        book.save(root / "AIforCOVID.xlsx")
        others = {"Row_number", "ImageFile", "Hospital", "Prognosis", "Death", "Age", "Sex"}
        expected = {"age", "sex", *set(fixtures.AFC_COLUMNS) - others}
        assert set(clinical_columns(read("archive", root))) == expected

    def test_without_any_death_there_is_one_endpoint(self, copied):
        root = copied("archive")
        (root / "AIforCOVID.xlsx").unlink()
        cohort = read("archive", root)
        assert list(cohort.endpoints) == ["severity"]
        assert "mortality" not in cohort.table

    def test_what_is_missing_is_named(self, copied):
        root = copied("archive")
        shutil.rmtree(root / "imgs")
        shutil.rmtree(root / "imgs_r2")
        with pytest.raises(
            UserError, match=r"lacks imgs beside AIforCOVID.xlsx and imgs_r2 beside"
        ):
            read("archive", root)

    def test_missing_columns_and_unknown_words_are_named(self, copied):
        root = copied("archive")
        book = openpyxl.load_workbook(root / "AIforCOVID.xlsx")
        place = fixtures.AFC_COLUMNS.index("Prognosis") + 1
        book.active.cell(3, place).value = "MODERATE"
        book.save(root / "AIforCOVID.xlsx")
        with pytest.raises(UserError, match=r"'Prognosis' .*'MODERATE'"):
            read("archive", root)
        book.active.delete_cols(place)
        book.active.delete_cols(fixtures.AFC_COLUMNS.index("Hospital") + 1)
        book.save(root / "AIforCOVID.xlsx")
        with pytest.raises(UserError, match="'Hospital' and 'Prognosis'"):
            read("archive", root)

    def test_both_distributions_are_the_same_patients(self, folders, copied):
        root = copied("archive")
        shutil.copytree(folders / "challenge" / "TrainSet", root / "TrainSet")
        with pytest.raises(UserError, match=r"twice, in AIforCOVID.xlsx and in trainClinData.xls"):
            read("archive", root)


class TestCocross:
    @pytest.mark.parametrize("name", ["database", "export"])
    def test_both_layouts_give_the_same(self, cohorts, name):
        cohort = cohorts[name]
        expected = {"no_image": (0, 1), "not_in_table": (2, 1), "contradictory_outcomes": (1, 1)}
        found = taken(cohort)
        if name == "export":  # nothing says that 99 and 99_2 are of one patient
            expected["not_in_table"] = (2, 2)
        assert found == expected
        task = select_task(cohort, "mortality")
        died = task.patients.set_index("patient_id")["target"]
        assert died.to_dict() == {
            str(number): number % 2 for number in range(1, 17) if number not in (5, 6)
        }
        assert cohort.table.set_index("patient_id")["age"].to_dict()["7"] == 52

    def test_several_images_are_in_the_order_of_their_names(self, cohorts):
        task = select_task(cohorts["database"], "mortality")
        assert "3/XR/XR_1.jpg" in set(task.table["path"])
        assert taken(task.cohort)["not_first"] == (4, 0)
        assert any("several images" in warning for warning in task.warnings)

    def test_an_id_that_begins_another_one(self, folders, copied):
        root = copied("export")
        edit(root / "CoCross.csv", lambda rows: [*rows, ["99_2", "F", "70", "", "", "", "Death"]])
        cohort = read("export", root)
        assert taken(cohort)["not_in_table"] == (1, 1)
        edit(root / "CoCross.csv", lambda rows: [*rows, ["99", "F", "70", "", "", "", "Alive"]])
        own = read("export", root).table.set_index("path")["patient_id"]
        assert own[["imgs/99.jpeg", "imgs/99_2.jpeg"]].tolist() == ["99", "99_2"]
        assert own[["imgs/1.jpeg", "imgs/3_2.jpeg"]].tolist() == ["1", "3"]

    def test_what_is_missing_is_named(self, copied):
        root = copied("export")
        (root / "CoCross.csv").rename(root.parent / "CoCross.csv")
        with pytest.raises(UserError, match="lacks a table beside imgs"):
            read("export", root)
        for name in ("one.csv", "two.csv"):
            shutil.copy(root.parent / "CoCross.csv", root / name)
        with pytest.raises(UserError, match=r"several tables, one.csv and two.csv"):
            read("export", root)
        (root / "two.csv").unlink()
        edit(root / "one.csv", without_columns("ICU Outcome"))
        with pytest.raises(UserError, match="lacks the column 'ICU Outcome'"):
            read("export", root)

    def test_without_images_or_without_the_sheet(self, copied):
        root = copied("database")
        for folder in root.glob("*/XR"):
            shutil.rmtree(folder)
        with pytest.raises(UserError, match="has no image"):
            read("database", root)
        book = openpyxl.load_workbook(root / "CoCrossDatabase.xlsx")
        book["Data"].title = "Dat"
        book.save(root / "CoCrossDatabase.xlsx")
        with pytest.raises(UserError, match="no sheet 'Data': did you mean 'Dat'"):
            read("database", root)


class TestCdsl:
    def test_every_drop_is_counted(self, cohorts):
        assert taken(cohorts["cdsl"]) == {
            "no_image": (0, 1),
            "not_radiograph": (4, 1),
            "not_chest": (1, 0),
            "not_in_table": (1, 1),
            "outside_stay": (2, 0),
            "unknown_view": (1, 0),
            "not_frontal": (1, 0),
            "missing_file": (1, 0),
        }

    def test_days_are_since_admission(self, cohorts):
        table = cohorts["cdsl"].table
        one = table[table["patient_id"] == fixtures.cdsl_patient(1)]
        assert one["acquired"].tolist() == [-1.0, 4.0]
        assert one[["icu_day", "mortality_day"]].drop_duplicates().to_numpy().tolist() == [
            [3.0, 11.0]
        ]

    def test_who_lived_has_no_day_of_death(self, cohorts):
        table = cohorts["cdsl"].table
        assert table.query("mortality == 0")["mortality_day"].isna().all()
        assert table.query("mortality == 1")["mortality_day"].notna().all()

    def test_the_tasks(self, cohorts):
        died = select_task(cohorts["cdsl"], "mortality").patients.set_index("patient_id")["target"]
        left = [number for number in range(12) if number != 9]
        assert died.to_dict() == {
            fixtures.cdsl_patient(number): int(number in fixtures.CDSL_DIED) for number in left
        }
        intensive = select_task(cohorts["cdsl"], "icu", "all_before_outcome")
        assert taken(intensive.cohort)["after_outcome"] == (5, 0)
        assert intensive.patients["target"].sum() == len(fixtures.CDSL_ICU)

    def test_what_was_measured_first(self, cohorts):
        by_id = cohorts["cdsl"].table.drop_duplicates("patient_id").set_index("patient_id")
        assert by_id.loc[fixtures.cdsl_patient(1), "temp_first_emerg"] == 36.8
        assert pd.isna(by_id.loc[fixtures.cdsl_patient(0), "temp_first_emerg"])
        assert not {"mechvent", "icu_days", "destin_discharge"} & set(by_id.columns)

    def test_the_spanish_version_and_unknown_words(self, copied):
        root = copied("cdsl")
        words = {"Death": "Fallecimiento", "Home": "Domicilio"}
        edit(root / "patient_01.csv", lambda rows: [[words.get(c, c) for c in row] for row in rows])
        assert select_task(read("cdsl", root), "mortality").patients["target"].sum() == 4
        words = {"Fallecimiento": "Muerte"}
        edit(root / "patient_01.csv", lambda rows: [[words.get(c, c) for c in row] for row in rows])
        with pytest.raises(UserError, match=r"'destin_discharge' .*'Domicilio', 'Muerte'"):
            read("cdsl", root)

    def test_rows_that_contradict_each_other(self, copied):
        root = copied("cdsl")
        edit(
            root / "patient_01.csv",
            lambda rows: [*rows, rows[1], [*rows[2][:1], "99", *rows[2][2:]]],
        )
        assert taken(read("cdsl", root))["several_rows"] == (2, 1)

    def test_missing_columns_are_named(self, copied):
        root = copied("cdsl")
        edit(root / "CDSL-1.0.0-dicom-metadata.csv", without_columns("study_id", "ViewPosition"))
        with pytest.raises(UserError, match="'study_id' and 'ViewPosition'"):
            read("cdsl", root)
        edit(root / "patient_01.csv", without_columns("icu_date_in", "destin_discharge"))
        with pytest.raises(UserError, match="'icu_date_in' and 'destin_discharge'"):
            read("cdsl", root)

    def test_a_date_that_is_none(self, copied):
        root = copied("cdsl")
        edit(
            root / "patient_01.csv",
            lambda rows: [["spring" if c == "2020-03-14" else c for c in row] for row in rows],
        )
        with pytest.raises(UserError, match=r"'admission_d_inpat' .*'spring'"):
            read("cdsl", root)


class TestBrixia:
    def test_the_score_is_that_of_the_zones_with_its_zeros(self, cohorts):
        row = cohorts["dated"].table.set_index("image_id").loc[fixtures.brixia_file(0, 2)]
        zones = [row[f"severity_score_{zone}"] for zone in "abcdef"]
        assert zones == [0, 2, 3, 0, 1, 3]
        assert (row["severity_score"], row["severity_score_clinical"]) == (9, 9)
        assert row["age"] == 47  # group 9 is 45 to 49 years

    def test_scores_are_no_clinical_columns(self, cohorts):
        kept = clinical_columns(cohorts["dated"])
        assert kept == ["age", "sex", "modality", "manufacturer", "consensus_testset"]
        assert not any("score" in name for name in select_task(cohorts["dated"], "severity").table)

    def test_dated_images_after_the_first_severe_one_are_left_out(self, cohorts):
        cohort = cohorts["dated"]
        assert taken(cohort) == {"inconsistent_score": (1, 0)}
        assert not cohort.table.query("patient_id == '5004'")["severity"].any()
        by_id = cohort.table.set_index("image_id")
        assert by_id.loc[[fixtures.brixia_file(0, n) for n in range(3)], "acquired"].tolist() == [
            0,
            3,
            6,
        ]
        assert by_id.loc[fixtures.brixia_file(0), ["severity", "severity_day"]].tolist() == [1, 6.0]
        task = select_task(cohort, "severity", "all_before_outcome")
        assert (len(task.table), int(task.patients["target"].sum())) == (30, 12)
        lower = select_task(read_as(cohort, 2), "severity", "all_before_outcome")
        assert taken(lower.cohort)["after_outcome"] == (6, 0)

    def test_undated_images_are_those_of_the_highest_score(self, cohorts):
        cohort = cohorts["undated"]
        assert taken(cohort) == {"inconsistent_score": (1, 0), "undated_lower_score": (12, 0)}
        assert (cohort.table["severity"] == (cohort.table["severity_score"] >= 9)).all()
        dated = select_task(cohorts["dated"], "severity").patients.set_index("patient_id")["target"]
        assert (
            select_task(cohort, "severity").patients.set_index("patient_id")["target"].equals(dated)
        )

    def test_the_consensus_of_the_experts(self, folders):
        cohort = read("dated", folders / "dated", reader="consensus")
        assert taken(cohort) == {"not_read": (25, 12)}
        row = cohort.table.set_index("image_id").loc[fixtures.brixia_file(0)]
        assert (row["severity_score"], row["severity_score_clinical"]) == (7, 1)

    def test_the_threshold_is_an_option(self, folders):
        cohort = read("dated", folders / "dated", threshold=10)
        assert cohort.endpoints["severity"].startswith(
            "the subject's Brixia score reached 10 of 18"
        )
        assert select_task(cohort, "severity").patients["target"].sum() == 3
        with pytest.raises(UserError, match="'threshold'"):
            read("dated", folders / "dated", threshold=19)

    def test_wrong_options_columns_and_cells_are_named(self, copied):
        root = copied("dated")
        with pytest.raises(UserError, match=r"no reader 'senior' of metadata_global_v2.csv"):
            read("dated", root, reader="senior")
        edit(
            root / "metadata_global_v2.csv",
            lambda rows: [["114023" if c == "112023" else c for c in row] for row in rows],
        )
        with pytest.raises(UserError, match=r"'BrixiaScore' .*'114023'"):
            read("dated", root)
        edit(root / "metadata_global_v2.csv", without_columns("BrixiaScoreGlobal", "Subject"))
        with pytest.raises(UserError, match="'BrixiaScoreGlobal' and 'Subject'"):
            read("dated", root)
        shutil.rmtree(root / "dicom_clean")
        with pytest.raises(UserError, match="lacks dicom_clean"):
            read("dated", root)


def read_as(cohort, threshold):
    return load_cohort({"source": "brixia", "root": cohort.root, "threshold": threshold})


class TestPublicBrixia:
    @pytest.fixture
    def options(self, data_folder):
        return {"root": data_folder / "brixia", "cohen": data_folder / "cohen"}

    @pytest.mark.parametrize("reader", ["", "junior"])
    def test_the_measured_counts(self, options, data_folder, reader):
        cohort = load_cohort({"source": "brixia", **options, "reader": reader})
        assert (cohort.source_images, len(cohort.table)) == (192, 85)
        assert taken(cohort) == {"unknown_patient": (104, 1), "undated_lower_score": (3, 0)}
        listed = pd.read_csv(data_folder / "brixia" / "annotations_in_pack.csv").set_index(
            "filename"
        )
        own = cohort.table.set_index("image_id")
        column = "J-Global" if reader else "S-Global"
        assert (own["severity_score"] == listed.loc[own.index, column]).all()
        assert own["severity_score_senior"].corr(own["severity_score_junior"]) > 0.85

    def test_the_subjects_that_reached_nine(self, options):
        cohort = load_cohort({"source": "brixia", **options})
        task = select_task(cohort, "severity")
        assert (len(task.patients), int(task.patients["target"].sum())) == (61, 29)
        before = select_task(cohort, "severity", "all_before_outcome")
        scores = before.cohort.table.set_index("image_id")["severity_score"]
        # Of an image before its subject's first severe one the score is below the threshold.
        earlier = before.cohort.table.query("acquired < severity_day")["image_id"]
        assert len(earlier) > 0
        assert (scores[earlier] < 9).all()

    def test_the_images_are_those_of_another_dataset(self, options, tmp_path):
        with pytest.raises(UserError, match="give its folder as the option 'cohen'"):
            load_cohort({"source": "brixia", "root": options["root"]})
        with pytest.raises(UserError, match=r"lacks metadata.csv and images: give as 'cohen'"):
            load_cohort({"source": "brixia", "root": options["root"], "cohen": tmp_path})
