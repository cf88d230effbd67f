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


@pytest.mark.parametrize(
    ("regimes", "spec", "said"),
    [
        (["full_data"], {}, ("internal testing", "no external test", "early stopping")),
        (["leave_one_site_out"], {}, ("at each site by models of", "a site that was not", "early")),
        (["fixed_split"], {"column": "dataset"}, ("another data set", "another data set", "early")),
        (["fixed_split"], {"column": "year"}, ("named by year", "for the authors to say", "early")),
        (["few_shot"], {}, ("internal testing", "no external test", "fixed beforehand")),
        (["full_data", "fixed_split"], {"column": "site"},
         ("internal testing and testing on patients of other sites",
          "other sites. In the other settings none", "early stopping")),
    ],
)  # fmt: skip
def test_testing_and_choices_are_told_by_the_regimes(content, regimes, spec, said):
    one = next(cell for cell in cells(content) if cell.regime == "full_data")
    found = [replace(one, regime=name) for name in regimes]
    named = [{"name": name, **(spec if name == "fixed_split" else {})} for name in regimes]
    recipe = {"epochs": 7, "patience": 3, "few_shot_steps": 40, "batch_size": 8}
    given = yaml.safe_dump({"name": "own", "regimes": named, "recipe": recipe})
    known = facts(replace(content, spec=given), found)
    for key, words in zip(("aim", "difference", "choice"), said, strict=True):
        assert words in known[key]
    few = "few_shot" in regimes
    assert ("no validation part" in known["choice"]) == few
    assert ("early stopping" in known["choice"]) != few
    assert ("few shot steps 40" in known["training"]) == few
    assert ("epochs 7" in known["training"] and "patience 3" in known["training"]) != few


@pytest.mark.parametrize(
    ("regime", "asked", "said", "corrected"),
    [
        ("full_data", "class_weights", "Class weights in training", True),
        ("full_data", "none", "Nothing was done about it in training.", False),
        ("few_shot", "none", "few-shot draws have as many", True),
        ("imbalance_events", "none", "regimes of imbalance draw", True),
    ],
)
def test_imbalance_is_told_by_what_was_done(content, regime, asked, said, corrected):
    found = [replace(cells(content)[0], regime=regime)]
    given = yaml.safe_dump({"name": "own", "recipe": {"imbalance": asked}})
    told = facts(replace(content, spec=given), found)["imbalance"]
    assert said in told
    assert ("probabilities are corrected" in told) == corrected
