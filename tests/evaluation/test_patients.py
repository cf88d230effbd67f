import numpy as np
import pytest
from scipy.special import expit, logit
from simulated import predictions_table

from prognobench.evaluation.patients import UnusablePredictionsError, patient_predictions


def test_a_patient_is_the_mean_of_the_images_of_the_test_part():
    table = predictions_table(["b", "a", "b", "c"], [1, 0, 1, 0], logit([0.2, 0.3, 0.6, 0.9]))
    table.loc[3, "part"] = "train"
    patients = patient_predictions(table)
    assert list(patients.patient_id) == ["a", "b"]
    assert patients.target.tolist() == [0, 1]
    assert patients.images.tolist() == [1, 2]
    assert patients.probability == pytest.approx([0.3, 0.4])
    assert patients.positives == 1


def test_the_prior_is_taken_back_before_the_mean():
    table = predictions_table(["a", "a", "b"], [1, 1, 0], [1.0, 2.0, -1.0])
    patients = patient_predictions(table, prior_logit_shift=1.5)
    assert patients.corrected == pytest.approx([expit([-0.5, 0.5]).mean(), expit(-2.5)])
    assert patients.probability == pytest.approx([expit([1.0, 2.0]).mean(), expit(-1.0)])


def test_equal_images_are_an_exact_tie_whatever_their_number():
    logits = [logit(0.1)] * 4
    patients = patient_predictions(predictions_table("aaab", [0, 0, 0, 1], logits))
    assert patients.probability[0] == patients.probability[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="logit"), "lack the column logit"),
        (lambda t: t.assign(part="train"), "no image of the test part"),
        (lambda t: t.assign(target=[0, 1, 0]), "different targets"),
        (lambda t: t.assign(target=[0, 0, 2]), "neither 0 nor 1"),
        (lambda t: t.assign(target=[0, 0, np.nan]), "neither 0 nor 1"),
        (lambda t: t.assign(logit=[0.0, np.nan, 0.0]), "not a finite number"),
        (lambda t: t.assign(probability=[0.5, np.inf, 0.5]), "not a finite number"),
        (lambda t: t.assign(probability=[0.5, 1.5, 0.5]), "outside 0 to 1"),
        (lambda t: t.assign(patient_id=["a", None, "b"]), "without a patient"),
    ],
)
def test_unusable_predictions_get_a_sentence(change, sentence):
    table = predictions_table(["a", "a", "b"], [0, 0, 1], [0.0, 1.0, 2.0])
    with pytest.raises(UnusablePredictionsError, match=sentence):
        patient_predictions(change(table))
