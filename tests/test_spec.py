"""The spec: defaults, overrides, and one clear sentence for every mistake."""

from __future__ import annotations

import pytest

from prognobench.errors import UserError
from prognobench.spec import load_spec, parse_spec

BASE = {
    "name": "small",
    "cohort": {"source": "synthetic", "patients": 40},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
}


def test_names_stand_for_mappings_and_defaults_are_filled_in():
    spec = parse_spec(
        {**BASE, "regimes": ["full_data", {"name": "few_shot", "shots": [4]}]}, "spec"
    )
    assert spec.regimes[0].folds == 5
    assert spec.regimes[1].episodes == 20
    assert spec.seeds == (42,)
    assert spec.cohort.settings() == {"source": "synthetic", "patients": 40}


def test_the_resolved_spec_reads_back_the_same(tmp_path):
    spec = parse_spec({**BASE, "strategies": ["full", {"name": "lora", "r": [4, 8]}]}, "spec")
    path = tmp_path / "benchmark.yaml"
    path.write_text(spec.as_yaml())
    assert load_spec(path) == spec


def test_overrides_take_precedence(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(parse_spec(BASE, "spec").as_yaml())
    spec = load_spec(path, ["recipe.epochs=3", "cohort.policy=all", "endpoints=[icu]"])
    assert spec.recipe.epochs == 3
    assert spec.cohort.policy == "all"
    assert spec.endpoints == ("icu",)
    replaced = load_spec(path, ["cohort={source: mhh, root: x}", "regimes.0.folds=3"])
    assert set(replaced.cohort.settings()) == {"source", "root"}
    assert replaced.regimes[0].folds == 3


def test_lists_of_strategy_options_are_expanded_into_labelled_candidates():
    spec = parse_spec(
        {**BASE, "strategies": [{"name": "lora", "r": [4, 8], "lora_alpha": 4}, "linear"]}, "spec"
    )
    labels = [label for part in spec.strategies for label, _ in part.variants()]
    assert labels == ["lora r=4", "lora r=8", "linear"]
    assert spec.strategies[0].variants()[1][1] == {"r": 8, "lora_alpha": 4}


def test_an_option_that_is_a_list_is_not_expanded():
    spec = parse_spec({**BASE, "strategies": [{"name": "linear", "C": [0.1, 1.0]}]}, "spec")
    assert spec.strategies[0].variants() == [("linear", {"C": [0.1, 1.0]})]


MISTAKES = [
    ({"endpoint": ["icu"]}, "unknown key 'endpoint': did you mean 'endpoints'"),
    ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch': did you mean 'epochs'"),
    ({"recipe": {"epochs": 0}}, "recipe.epochs"),
    ({"recipe": {"epochs": "many"}}, "recipe.epochs"),
    ({"backbones": ["demo_vitt"]}, "unknown backbone 'demo_vitt': did you mean 'demo_vit'"),
    ({"backbones": [{"name": "demo_vit", "size": 3}]}, "unknown key 'backbones.0.size'"),
    ({"backbones": [{"name": "demo_vit", "input_size": 224}]}, "takes images of 96 pixels only"),
    ({"backbones": []}, "backbones"),
    ({"backbones": ["demo_vit", "demo_vit"]}, "'demo_vit' stands in it twice"),
    ({"strategies": ["lorra"]}, "unknown strategy 'lorra': did you mean 'lora'"),
    ({"strategies": [{"name": "lora", "rank": 4}]}, "rank"),
    ({"strategies": [{"name": "lora", "r": [0]}]}, "r"),
    ({"strategies": [{"name": "lora", "r": 4}, {"name": "lora", "r": 8}]}, r"r: \[4, 8\]"),
    ({"regimes": ["few_shots"]}, "unknown regime"),
    ({"regimes": [{"name": "few_shot", "shot": [4]}]}, "did you mean 'shots'"),
    ({"regimes": [{"name": "full_data", "folds": 1}]}, "folds"),
    ({"evaluation": {"metric": "acc"}}, "unknown metric 'acc'"),
    ({"cohort": {"patients": 3}}, "name either a source or a manifest"),
    ({"cohort": {"source": "mhh", "policy": "last"}}, "cohort.policy"),
    ({"cohort": "mhh"}, "cohort"),
    ({"name": ""}, "name"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_each_mistake_gets_a_sentence_that_names_it(change, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        parse_spec({**BASE, **change}, "spec.yaml")
    message = str(caught.value)
    assert message.startswith("spec.yaml: ")
    assert "\n" not in message


def test_a_missing_key_is_named():
    data = {key: value for key, value in BASE.items() if key != "endpoints"}
    with pytest.raises(UserError, match="the key 'endpoints' is missing"):
        parse_spec(data, "spec.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", "cannot be read as YAML"),
        ("- a\n- b\n", "holds no mapping|cannot be read"),
        ("name: !!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("\xff\xfe", "cannot be read|holds no mapping"),
        ("", "name"),
    ],
)
def test_files_that_are_no_spec(tmp_path, text, sentence):
    path = tmp_path / "spec.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=sentence):
        load_spec(path)


def test_a_missing_file_and_a_bad_override(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_spec(tmp_path / "none.yaml")
    path = tmp_path / "spec.yaml"
    path.write_text(parse_spec(BASE, "spec").as_yaml())
    with pytest.raises(UserError, match="is no key=value"):
        load_spec(path, ["recipe.epochs"])
