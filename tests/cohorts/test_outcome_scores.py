import pytest

from build_cohort import cohort_of
from prognobench.cohorts.assemble import clinical_columns
from prognobench.cohorts.cohort import tells_outcome
from prognobench.cohorts.combine import combine
from prognobench.cohorts.task import select_task

ROWS = [
    {"icu": place % 2, "severity": place // 2, "severity_score": place, "severity_score_a": 1}
    | {"severity_scored_by": "someone"}
    for place in range(4)
]
BOTH = {"icu": "admitted", "severity": "severe"}


@pytest.mark.parametrize(
    ("column", "tells"),
    [
        ("severity", True),
        ("severity_day", True),
        ("severity_score", True),
        ("severity_score_senior", True),
        ("severity_scored_by", False),
        ("icu_score", False),
        ("age", False),
    ],
)
def test_which_columns_tell_an_outcome(column, tells):
    assert tells_outcome(column, "severity") is tells


def test_the_score_of_an_endpoint_is_kept_and_is_no_predictor():
    cohort = cohort_of(ROWS, endpoints=BOTH)
    assert cohort.table["severity_score"].tolist() == [0, 1, 2, 3]
    assert clinical_columns(cohort) == ["severity_scored_by"]
    assert "severity_score" not in select_task(cohort, "icu", "all").table
    assert "severity_score" not in select_task(cohort, "severity", "all").patient_columns()


def test_combined_cohorts_lose_the_scores_of_endpoints_that_not_all_have():
    one = cohort_of(ROWS, endpoints=BOTH, name="one")
    two = cohort_of([{"icu": place % 2} for place in range(4)], name="two")
    whole = combine("whole", [one, two])
    assert [name for name in whole.table if str(name).startswith("severity")] == [
        "severity_scored_by"
    ]
    assert "severity_score_a" in combine("w", [one, one.renamed("three")]).table
