"""What is wrong with images or labels in the same way in every cohort."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prognobench.cohorts.cohort import Cohort, outcome_day_column
from prognobench.cohorts.radiograph_view import is_frontal
from prognobench.errors import UserError


def drop_not_frontal(cohort: Cohort) -> Cohort:
    """Leave out images whose view is known and is not frontal; an unknown one may be."""
    other = ~cohort.table["view"].map(is_frontal).astype(bool)
    return cohort.without(
        set(cohort.table.loc[other, "image_id"]),
        "not_frontal",
        "the words of the view name no frontal one (AP, PA), or another as well",
    )


def missing_files(cohort: Cohort) -> set[str]:
    """Return the images whose file does not exist.

    Raises:
        UserError: When the image folder or every single file is missing.
    """
    rows = zip(cohort.table["image_id"], cohort.table["path"], strict=True)
    try:
        if not cohort.root.is_dir():
            raise UserError(
                f"the image folder {cohort.root} of the cohort '{cohort.name}' does not exist: "
                "check its root"
            )
        missing = {image for image, path in rows if not _is_file(cohort.root / path)}
    except PermissionError as error:
        raise UserError(
            f"{error.filename} of the cohort '{cohort.name}' cannot be read ({error.strerror}): "
            "check the permissions of the image folder"
        ) from error
    if missing and len(missing) == len(cohort.table):
        raise UserError(
            f"none of the {len(missing)} images of the cohort '{cohort.name}' is there, the first "
            f"is {cohort.root / cohort.table['path'].iloc[0]}: check the root and the paths"
        )
    return missing


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def drop_missing_files(cohort: Cohort) -> Cohort:
    """Leave out images whose file does not exist.

    Raises:
        UserError: When the image folder or every single file is missing.
    """
    return cohort.without(missing_files(cohort), "missing_file", "the image file does not exist")


def no_admission(patients: int) -> tuple[str, str]:
    """Return a line of the participant flow: its rule, and its words.

    Args:
        patients: Of how many days count from the first image, as of others from the admission.
    """
    return "no_admission", (
        "the date of admission is not known, and days count from the first image, of "
        f"{patients} patients"
    )


def with_outcomes_of_patients(cohort: Cohort) -> Cohort:
    """Give every image its patient's outcomes, since the one that has them may be left out.

    Labels and days that contradict each other stay as they are, and so do scores of images.
    """
    table = cohort.table.copy()
    timed = [name for name, own in cohort.others.items() if own.kind == "time_to_event"]
    for endpoint in (*cohort.endpoints, *timed):
        labels = table["patient_id"].map(patient_labels(table, endpoint)).astype("Int64")
        table[endpoint] = table[endpoint].fillna(labels)
        day = outcome_day_column(endpoint)
        table[day] = table[day].fillna(outcome_days(table, endpoint))
    return replace(cohort, table=table)


def clean(cohort: Cohort) -> Cohort:
    """Apply the rules that every source shares.

    Outcomes belong to the patient; views are frontal, and files exist.

    Raises:
        UserError: When the image folder or every single file is missing.
    """
    return drop_missing_files(drop_not_frontal(with_outcomes_of_patients(cohort)))


def patient_labels(table: pd.DataFrame, endpoint: str) -> pd.Series:
    """Return each patient's label by ``patient_id``: 0, 1, or missing.

    A label belongs to the patient: an image without one has that of the patient's others.
    Patients whose images contradict each other are missing here too.
    """
    labels = table[endpoint].astype("float64").groupby(table["patient_id"])
    highest = labels.max()
    return highest.where(highest == labels.min())


def contradictory_patients(table: pd.DataFrame, endpoint: str) -> set[str]:
    """Return the patients with different values of one endpoint on different images."""
    labels = table[endpoint].astype("float64").groupby(table["patient_id"])
    differ = labels.max() > labels.min()
    return set(differ.index[differ])


def outcome_days(table: pd.DataFrame, endpoint: str) -> pd.Series:
    """Return, for each image, the day of its patient's outcome; missing when it is unknown.

    Where a patient's images disagree the earliest day counts, because an image wrongly taken
    for one before the outcome would flatter every model. Of a patient without the event, whose
    day is that on which the patient was last seen, it is the latest.
    """
    column = outcome_day_column(endpoint)
    if column not in table:
        return pd.Series(float("nan"), index=table.index, dtype="float64")
    days = table[column].astype("float64").groupby(table["patient_id"])
    unseen = table["patient_id"].map(patient_labels(table, endpoint)) == 0
    return days.transform("min").mask(unseen, days.transform("max"))


def after_outcome(table: pd.DataFrame, endpoint: str) -> pd.Series:
    """Say of each image whether it was taken after the day of the patient's outcome."""
    labels = table["patient_id"].map(patient_labels(table, endpoint))
    late = table["acquired"].astype("float64") > outcome_days(table, endpoint)
    return (labels == 1) & late
