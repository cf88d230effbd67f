"""The guidelines' answers on images and controls are those of the benchmark file."""

from dataclasses import replace

import pytest
import yaml
from fake_benchmark import SPEC

from prognobench.evaluation.metrics import METRICS
from prognobench.report.checklist import checklists, facts
from prognobench.report.content import cells


@pytest.fixture
def answer(content):
    """Return the answer to an item, with changes of the benchmark file."""

    def asked(guideline, number, **changes):
        spec = yaml.safe_dump({**yaml.safe_load(SPEC), **changes})
        audits = {task: {"missing values": {"age": 3}} for task in content.audits}
        given = replace(content, spec=spec, audits=audits)
        made = {own.name: own for own in checklists(given, cells(given))}[guideline]
        return next(text for item, _, text, _ in made.rows if item == number)

    return asked


@pytest.mark.parametrize(
    ("policy", "said"),
    [("first", "are left out"), ("all_before_outcome", "are left out"), ("all", "are used too")],
)
def test_images_after_the_outcome_are_told_by_the_policy(answer, policy, said):
    told = answer("TRIPOD+AI", "9b", cohort={"source": "mhh", "policy": policy})
    assert f"Images taken after the outcome {said}" in told


def test_policies_and_kinds_that_differ_are_told_by_task(content):
    one = cells(content)[0]
    names = ("here/icu", "there/icu", "there/score", "there/death")
    metrics = (one.metric, one.metric, METRICS["mae"], METRICS["c_index"])
    found = [
        replace(one, dataset=name.split("/")[0], endpoint=name.split("/")[1], metric=own)
        for name, own in zip(names, metrics, strict=True)
    ]
    groups = [
        {"cohort": {"source": "mhh"}, "endpoints": ["icu"]},
        {"cohort": {"source": "csv", "policy": "all"}, "endpoints": ["icu", "score", "death"]},
    ]
    spec = yaml.safe_dump({"name": "two", "tasks": groups})
    flows = dict.fromkeys(names, content.flows["mhh/icu"])
    told = facts(replace(content, spec=spec, flows=flows), found)["timing"]
    assert "here/icu: Images taken after the outcome are left out" in told
    assert "there/icu: Images taken after the outcome are used too" in told
    assert "there/score: A score is that of the image itself" in told
    assert "there/death: Images taken after the event or the end of the follow-up are left" in told


@pytest.mark.parametrize(
    ("guideline", "number"),
    [("TRIPOD+AI", "9a"), ("TRIPOD+AI", "11"), ("CLAIM", "12"), ("CLAIM", "30")],
)
def test_controls_are_told_of_where_there_are_any(answer, guideline, number):
    assert "ontrols" in answer(guideline, number)
    told = answer(guideline, number, controls=[])
    assert "ontrols" not in told.replace("The benchmark has no controls", "")


def test_controls_are_told_by_what_they_read(answer):
    some = {"controls": ["view_and_site", "border"]}
    assert answer("CLAIM", "30", **some).startswith(
        "Controls stand in every table (view and site and border)"
    )
    assert "projection and site are used by the controls" in answer("TRIPOD+AI", "9a", **some)
    assert "median" not in answer("CLAIM", "12", **some)
    assert "age and sex are" in answer("TRIPOD+AI", "9a", controls=["age_and_sex"])
    assert "median" in answer("CLAIM", "12", controls=["age_and_sex"])
    assert answer("TRIPOD+AI", "9a", controls=["border"]) == "The image alone."


@pytest.mark.parametrize(
    ("guideline", "number"), [("TRIPOD+AI", "7"), ("TRIPOD+AI", "12b"), ("CLAIM", "9")]
)
def test_what_is_asked_of_images_is_told(answer, guideline, number):
    plain = answer(guideline, number)
    assert "percentiles" not in plain and "lungs" not in plain
    stretched = answer(guideline, number, images={"percentiles": [2.0, 98.0]})
    assert "black and white at the percentiles 2 and 98 of its own values" in stretched
    crop = {"lung_crop": True, "lung_margin": 0.1}
    cut = answer(guideline, number, images=crop)
    assert "cut to the square around the lungs with a margin of 10\u00a0%" in cut
    assert "it is shown whole" in cut
    dropped = answer(guideline, number, images={**crop, "without_lungs": "drop"})
    assert "it is left out" in dropped
