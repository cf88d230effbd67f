from hypothesis import given
from hypothesis import strategies as st

from prognobench.cohorts.patient_ids import match_ids

ids = st.sets(st.from_regex(r"\A(X-|x-)?0{0,3}[0-9]{1,2}\Z"), max_size=12)


def test_lost_zeros_case_and_prefix():
    found = {"0004711", "COVID-19-AR-0012", "a7"}
    listed = {"4711", "12", "A7"}
    pairs = match_ids(found, listed, "COVID-19-AR-")
    assert pairs == {"0004711": "4711", "COVID-19-AR-0012": "12", "a7": "A7"}


def test_two_ids_that_could_be_meant_are_not_joined():
    assert match_ids({"012"}, {"12", "0012"}) == {}
    assert match_ids({"012", "0012"}, {"12"}) == {}
    assert match_ids({"12", "0012"}, {"12"}) == {"12": "12"}
    assert match_ids({"120"}, {"12"}) == {}


@given(ids, ids)
def test_equal_ids_are_joined_and_no_row_belongs_to_two_patients(found, listed):
    pairs = match_ids(found, listed, "X-")
    assert {patient: patient for patient in found & listed}.items() <= pairs.items()
    assert len(set(pairs.values())) == len(pairs)
    assert set(pairs) <= found
    assert set(pairs.values()) <= listed
    numbers = {text: int(text.lower().removeprefix("x-")) for text in found | listed}
    assert all(numbers[patient] == numbers[row] for patient, row in pairs.items())
