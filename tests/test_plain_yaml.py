"""Specs are data: they read no environment, run nothing, and stay as small as they are."""

from __future__ import annotations

import time

import pytest
from omegaconf import OmegaConf

from prognobench.errors import UserError
from prognobench.plain_yaml import MOST_BYTES, MOST_CHARACTERS, MOST_VALUES, read_data
from prognobench.spec import load_spec, parse_spec

BASE = {
    "name": "mine",
    "cohort": {"source": "synthetic", "patients": 60, "seed": 0},
    "endpoints": ["mortality"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
}


@pytest.fixture
def spec(tmp_path):
    """Writes a sound spec with one more line."""

    def write(line=""):
        path = tmp_path / "spec.yaml"
        path.write_text(parse_spec(BASE, "spec").as_yaml() + line)
        return path

    return write


@pytest.fixture
def called():
    """What a resolver was called with that a spec tries to reach."""
    calls = []
    OmegaConf.register_resolver("harm", lambda *given: calls.append(given) or "done")
    yield calls
    OmegaConf.clear_resolver("harm")


REFERENCES = [
    "${oc.env:PROGNOBENCH_TEST_SECRET}",
    "${harm:}",
    "x${harm:1}y",
    "${name}",
    "\\${harm:}",
    "${",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("line", ["save_models: '{}'", "'{}': 1", "recipe: {{preset: ['{}']}}"])
def test_nothing_is_referred_to(spec, called, monkeypatch, reference, line):
    monkeypatch.setenv("PROGNOBENCH_TEST_SECRET", "not to be told")
    with pytest.raises(UserError, match="a spec is data and refers to nothing") as caught:
        load_spec(spec(line.format(reference)))
    assert "not to be told" not in str(caught.value)
    for override in (f"name='{reference}'", f"name={reference}", f"{reference}=1"):
        with pytest.raises(UserError, match="refers to nothing"):
            load_spec(spec(), [override])
    assert not called


def test_an_escaped_reference_is_one_too(spec, called):
    with pytest.raises(UserError, match="refers to nothing"):
        load_spec(spec('save_models: "\\x24{harm:}"'))
    assert not called


def test_without_the_check_a_reference_would_be_followed(tmp_path, called, monkeypatch):
    """The references above are real ones."""
    from prognobench import plain_yaml

    monkeypatch.setattr(plain_yaml, "_check_value", lambda *_: None)
    path = tmp_path / "a.yaml"
    path.write_text("a: ${harm:1}")
    made = OmegaConf.to_container(OmegaConf.create(path.read_text()), resolve=True)
    assert made == {"a": "done"}
    assert called.pop() == (1,)
    # Even then the file's stay text, and only an override's would be followed.
    assert read_data(path) == {"a": "${harm:1}"}
    assert not called


def bomb(levels=9, width=10):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "aliases": (bomb(), f"more than {MOST_VALUES} values"),
    "aliases of mappings": (
        "a0: &a0 {k: v}\n" + "\n".join(
            f"a{n}: &a{n} {{p: *a{n - 1}, q: *a{n - 1}}}" for n in range(1, 60)
        ),
        f"more than {MOST_VALUES} values",
    ),
    "merged mappings": (
        "a0: &a0 {k0: v}\n" + "\n".join(
            f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: v}}" for n in range(1, 60)
        ),
        f"more than {MOST_VALUES} values",
    ),
    "an alias in itself": ("a: &a [1, *a]", "part of"),
    "depth": ("a: " + "[" * 20_000, "nested too deeply|cannot be read"),
    "many values": ("a: [" + "1," * MOST_VALUES + "]", f"more than {MOST_VALUES} values"),
    "a long value": ("a: " + "x" * (MOST_CHARACTERS + 1), "more than 4096 characters"),
    "a number without end": ("a: 1" + ":1" * 200_000, "more than 4096 characters"),
    "size": ("# " + "x" * MOST_BYTES, "more than 1 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_what_would_grow_is_refused_at_once(spec, kind):
    text, sentence = BOMBS[kind]
    path = spec("\n" + text)
    began = time.process_time()
    with pytest.raises(UserError, match=sentence):
        load_spec(path)
    assert time.process_time() - began < 5
    if kind in ("aliases", "an alias in itself"):
        flow = "[&a [1, *a]]" if kind == "an alias in itself" else "&a [" + "1," * MOST_VALUES + "]"
        with pytest.raises(UserError, match=sentence):
            load_spec(spec(), [f"seeds={flow}"])


def test_no_number_is_too_long_to_be_told(spec):
    for number in ("0x" + "F" * 4000, "1" + ":1" * 2000, "1" * 4096):
        with pytest.raises(UserError, match="a number of more than 100 digits") as caught:
            load_spec(spec(), [f"seeds={number}"])
        assert len(str(caught.value)) < 200


def test_aliases_and_the_rest_of_yaml_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1e-3, y: [1, 2]}\nb: {<<: *a, z: null}\nc: *a\nd: '$ {HOME} $x'\n")
    assert read_data(path, ["c.x=2", "e=[a, {b: c}]"]) == {
        "a": {"x": 1e-3, "y": [1, 2]},
        "b": {"x": 1e-3, "y": [1, 2], "z": None},
        "c": {"x": 2, "y": [1, 2]},
        "d": "$ {HOME} $x",
        "e": ["a", {"b": "c"}],
    }
