"""The spec: defaults, overrides, and one clear sentence for every mistake."""

from __future__ import annotations

import math

import pytest

from prognobench.errors import UserError
from prognobench.spec import Variant, load_spec, parse_spec
from prognobench.training.recipe import Recipe

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
    labels = [variant.label for part in spec.strategies for variant in part.variants()]
    assert labels == ["lora r=4", "lora r=8", "linear"]
    assert spec.strategies[0].variants()[1].grid == ({"r": 8, "lora_alpha": 4},)


def test_an_option_that_is_a_list_is_not_expanded():
    spec = parse_spec({**BASE, "strategies": [{"name": "linear", "C": [0.1, 1.0]}]}, "spec")
    assert spec.strategies[0].variants() == [Variant("linear", ({"C": [0.1, 1.0]},))]


def test_learning_rates_are_a_grid_within_each_candidate():
    lora = {"name": "lora", "lr": [1e-4, 1e-3], "r": [4, 8]}
    spec = parse_spec({**BASE, "strategies": [lora, {"name": "full", "lr": 1e-4}]}, "spec")
    first, second = spec.strategies[0].variants()
    assert (first.label, second.label) == ("lora r=4", "lora r=8")
    assert first.grid == ({"r": 4, "lr": 1e-4}, {"r": 4, "lr": 1e-3})
    assert spec.strategies[1].variants() == [Variant("full", ({"lr": 1e-4},))]


def test_the_papers_values_are_a_preset_that_the_file_precedes(tmp_path):
    data = {
        **BASE,
        "strategies": ["linear", "full", {"name": "lora", "r": 2}],
        "recipe": {"preset": "paper", "epochs": 7},
    }
    spec = parse_spec(data, "spec")
    assert (spec.recipe.epochs, spec.recipe.patience, spec.recipe.schedule) == (7, 100, "plateau")
    grids = {variant.label: variant.grid for part in spec.strategies for variant in part.variants()}
    assert [one["lr"] for one in grids["linear"]] == [1e-2, 1e-3, 1e-4]
    assert grids["full"] == ({"lr": 1e-5},)
    (lora,) = grids["lora"]
    assert (lora["lr"], lora["r"], lora["lora_alpha"], lora["lora_dropout"]) == (1e-4, 2, 1, 0.1)
    labels = [
        v.label
        for p in parse_spec({**data, "strategies": ["lora"]}, "spec").strategies
        for v in p.variants()
    ]
    assert labels == ["lora r=4", "lora r=8", "lora r=16"]
    path = tmp_path / "benchmark.yaml"
    path.write_text(spec.as_yaml())
    assert load_spec(path) == spec
    assert parse_spec({**BASE, "recipe": "paper"}, "spec").recipe.epochs == 1000
    path.write_text(parse_spec(BASE, "spec").as_yaml())
    assert load_spec(path, ["recipe=paper"]).recipe.epochs == 1000


def test_every_strategy_of_the_paper_has_its_values_in_the_preset():
    """Names of options are those of the strategies: a preset that could not resolve is an error."""
    six = ["full", "linear", "lora", "vera", "bitfit", "ia3"]
    spec = parse_spec({**BASE, "strategies": six, "recipe": "paper"}, "spec")
    for part in spec.strategies:
        for kind in ("vit", "cnn"):
            for given in part.variants()[0].grid:
                assert part.strategy().resolve(given, kind).lr == given["lr"]


def test_a_solved_probe_is_one_under_the_preset_too():
    linear = {"name": "linear", "C": [0.1, 1.0]}
    spec = parse_spec({**BASE, "strategies": [linear], "recipe": "paper"}, "spec")
    (part,) = spec.strategies
    (given,) = part.variants()[0].grid
    options = part.strategy().resolve(given, "vit")
    assert (options.C, options.lr) == ((0.1, 1.0), None)


def test_null_stands_for_the_default_of_the_strategy():
    lora = {"name": "lora", "weight_decay": None, "lr": [None, 1e-2]}
    (part,) = parse_spec({**BASE, "strategies": [lora]}, "spec").strategies
    plain = part.strategy().resolve({}, "vit")
    first, second = (part.strategy().resolve(own, "vit") for own in part.variants()[0].grid)
    assert (first.lr, first.weight_decay) == (plain.lr, plain.weight_decay)
    assert None not in (plain.lr, plain.weight_decay)
    assert second.lr == 1e-2


def test_only_values_that_can_change_a_result_identify_a_recipe():
    recipe = parse_spec(BASE, "spec").recipe
    same = Recipe(**{**recipe.model_dump(), "preset": "paper"})
    assert same.identity() == recipe.identity()
    for key, value in {"schedule": "plateau", "imbalance": "none", "precision": "float32"}.items():
        other = Recipe(**{**recipe.model_dump(), key: value})
        assert other.identity() != recipe.identity(), key


TASK = {"cohort": {"source": "mhh"}, "endpoints": ["icu"]}

MISTAKES = [
    ({"endpoint": ["icu"]}, "unknown key 'endpoint': did you mean 'endpoints'"),
    ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch': did you mean 'epochs'"),
    ({"audit": {"near_duplicate": 1}}, "'audit.near_duplicate': did you mean 'near_duplicates'"),
    (
        {"tasks": [{"cohort": {"source": "mhh"}, "endpoint": ["icu"]}]},
        "unknown key 'tasks.0.endpoint': did you mean 'endpoints'",
    ),
    (
        {"tasks": [{**TASK, "regimes": [{"name": "full_data", "fold": 3}]}]},
        "unknown key 'tasks.0.regimes.0.fold': did you mean 'folds'",
    ),
    ({"recipe": {"epochs": 0}}, "recipe.epochs"),
    ({"recipe": {"epochs": "many"}}, "recipe.epochs"),
    ({"backbones": ["demo_vitt"]}, "unknown backbone 'demo_vitt': did you mean 'demo_vit'"),
    ({"backbones": [{"name": "demo_vit", "size": 3}]}, "unknown key 'backbones.0.size'"),
    ({"backbones": [{"name": "demo_vit", "input_size": 224}]}, "takes images of 96 pixels only"),
    (
        {"backbones": [{"name": "demo_vit", "features": {"block": 2}}]},
        "unknown key 'backbones.0.features.block': did you mean 'blocks'",
    ),
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
    ({"recipe": "papers"}, "recipe.preset: input should be 'default' or 'paper'"),
    ({"recipe": {"loss": "focal"}}, "recipe.loss: a solved linear probe"),
    (
        {"recipe": {"loss": "focal"}, "strategies": [{"name": "linear", "lr": [None, 0.01]}]},
        "recipe.loss: a solved linear probe",
    ),
    ({"recipe": {"imbalance": "smote"}}, "recipe.imbalance"),
    ({"recipe": 3}, "recipe"),
    ({"strategies": [{"name": "lora", "lr": [1e-3, 1e-3]}]}, "lr of lora .* names a value twice"),
    ({"strategies": [{"name": "lora", "r": []}]}, "r of lora is empty"),
    ({"strategies": [{"name": "lora", "lr": [1e-3, math.inf]}]}, "lr of lora.*finite"),
    ({"strategies": [{"name": "linear", "fixed_C": math.inf}]}, "fixed_C of linear.*finite"),
    ({"strategies": [{"name": "linear", "C": [math.inf]}]}, "C of linear.*finite"),
    ({"recipe": {"head_lr": math.inf}}, "recipe.head_lr.*finite"),
    ({"recipe": {"gradient_clip": math.inf}}, "recipe.gradient_clip.*finite"),
    ({"seeds": [10**22]}, "seeds"),
    ({"regimes": [{"name": "few_shot", "shots": [2, 2]}]}, "shots: a value stands in it twice"),
    ({"regimes": [{"name": "train_size", "fractions": [1.0, 1]}]}, "fractions: a value"),
    ({"strategies": [{"name": "lora", "lr": []}]}, "lr of lora is empty"),
    ({"strategies": [{"name": "full", "lr": [1e-3, -1.0]}]}, "lr of full"),
    ({"strategies": [{"name": "linear", "lr": 0.1, "C": [1.0]}]}, "give C .* or lr"),
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
