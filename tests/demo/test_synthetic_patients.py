"""Synthetic patients: reproducible, plausible in time, and without side doors to the label."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prognobench.demo.outcomes import OUTCOMES
from prognobench.demo.patients import SITE_SHARES, Patient, draw_patient, extent_on


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [draw_patient(8, number) for number in range(3000)]


def test_a_patient_depends_on_seed_and_number_alone() -> None:
    assert draw_patient(5, 12) == draw_patient(5, 12)
    assert draw_patient(5, 12).patient_id == "syn-5-00012"
    assert draw_patient(5, 12).extent != draw_patient(6, 12).extent
    np.testing.assert_array_equal(draw_patient(5, 12).pixels(0), draw_patient(5, 12).pixels(0))


def test_times_are_plausible(patients: list[Patient]) -> None:
    for patient in patients:
        days = [visit.day for visit in patient.visits]
        death, intensive_care = patient.outcome_days["mortality"], patient.outcome_days["icu"]
        assert days[0] == 0
        assert days == sorted(set(days))
        assert death is None or max(days) <= death
        assert death is None or intensive_care is None or intensive_care < death
        assert intensive_care is None or intensive_care > 0
    images = sum(len(patient.visits) for patient in patients)
    assert 1.9 < images / len(patients) < 2.5
    late = [
        visit.day > (patient.outcome_days["icu"] or 99)
        for patient in patients
        for visit in patient.visits
    ]
    assert 0.05 < np.mean(late) < 0.2


def test_the_first_image_shows_the_extent_that_decides(patients: list[Patient]) -> None:
    for patient in patients:
        shown = patient.visits[0].findings.extent
        assert shown == pytest.approx(np.clip(patient.extent, 0.002, 0.998), abs=1e-6)


@pytest.mark.parametrize("endpoint", OUTCOMES)
def test_nothing_but_extent_and_age_says_anything_about_the_outcome(
    patients: list[Patient], endpoint: str
) -> None:
    outcome = np.array([patient.outcome_days[endpoint] is not None for patient in patients])
    truth = OUTCOMES[endpoint].probability(
        [patient.extent for patient in patients], [patient.age for patient in patients]
    )
    traits = {
        "everybody": [1.0 for _ in patients],
        "extent": [patient.extent for patient in patients],
        "age": [patient.age / 10 for patient in patients],
        "female": [patient.female for patient in patients],
        "view": [patient.visits[0].view == "AP" for patient in patients],
        "effusion": [max(patient.visits[0].findings.effusions) for patient in patients],
        "heart": [patient.visits[0].findings.heart for patient in patients],
        "contrast": [patient.visits[0].exposure.contrast for patient in patients],
        "habitus": [patient.anatomy.habitus for patient in patients],
        **{site: [patient.site == site for patient in patients] for site in SITE_SHARES},
    }
    for name, values in traits.items():
        trait = np.asarray(values, dtype=float)
        if name not in ("everybody", "extent", "age"):
            trait = trait - trait.mean()
        excess = (outcome - truth) @ trait / np.sqrt((truth * (1 - truth)) @ trait**2)
        assert abs(excess) < 3.5, name


def test_late_images_tell_more_than_they_should(patients: list[Patient]) -> None:
    several = [patient for patient in patients if len(patient.visits) > 1]
    outcome = [patient.outcome_days["icu"] is not None for patient in several]
    first = roc_auc_score(outcome, [patient.visits[0].findings.extent for patient in several])
    last = roc_auc_score(outcome, [patient.visits[-1].findings.extent for patient in several])
    assert last > first + 0.05


def test_opacities_spread_until_the_outcome_and_clear_without_one() -> None:
    spreading = [extent_on(day, 0.3, {"icu": 4, "mortality": 9}) for day in (0, 3, 9, 12)]
    assert spreading == pytest.approx([0.3, 0.44, 0.72, 0.72])
    clearing = [extent_on(day, 0.3, {"icu": None, "mortality": None}) for day in (0, 5, 15)]
    assert clearing == sorted(clearing, reverse=True)
    assert clearing[0] == 0.3
