"""A model folder from a stranger: nothing in it runs, and nothing outside of it is read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file, save_file

from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.catalog import get_entry
from prognobench.backbones.separate_qkv import separate_qkv
from prognobench.errors import UserError
from prognobench.images.decode import DECODE_VERSION
from prognobench.images.geometry import GEOMETRY_VERSION
from prognobench.prediction.description import describe
from prognobench.prediction.folder import SUMS, write_digests
from prognobench.prediction.model import load_model
from prognobench.strategies.saving import save_model
from prognobench.strategies.strategy import get_strategy


def description() -> dict:
    entry = get_entry("demo_vit")
    return {
        "format": 1,
        "task": {"dataset": "d", "endpoint": "icu", "positive": "icu", "policy": "first"},
        "backbone": {
            "spec": {"name": "demo_vit"},
            "identity": json.loads(json.dumps(entry.identity())),
            "license": entry.license,
            "origin": "",
            "included": False,
        },
        "strategy": {
            "name": "lora",
            "label": "lora",
            "options": {"r": 2, "target_modules": ["query", "value"]},
        },
        "preprocessing": {
            "decode": DECODE_VERSION,
            "geometry": GEOMETRY_VERSION,
            "image_size": entry.image_size,
            "input_size": entry.input_size,
            "mean": list(entry.mean),
            "std": list(entry.std),
        },
        "thresholds": {"fixed": 0.5},
        "calibration": {
            "prior_logit_shift": 0.0,
            "method": "none",
            "intercept": 0.0,
            "slope": 1.0,
        },
        "training": {},
        "performance": {},
        "origin": {},
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound model folder."""
    folder = tmp_path_factory.mktemp("sound") / "model"
    folder.mkdir()
    backbone, lora = load_backbone(get_entry("demo_vit")), get_strategy("lora")
    lora.attach(backbone, lora.resolve({"r": 2}, "vit"))
    head = torch.nn.Linear(backbone.entry.feature_dim, 1)
    save_model(backbone, head, lora, folder / "trained")
    (folder / "export.json").write_text(json.dumps(description()))
    (folder / "README.md").write_text("# A model\n")
    write_digests(folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "model"))


class Evil:
    """A pickle of it writes a file when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def refused(folder, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        load_model(folder, "cpu")
    assert "\n" not in str(caught.value)


def rewritten(folder, change):
    """Change the description, and the digests with it, as whoever means harm would."""
    data = json.loads((folder / "export.json").read_text())
    change(data)
    (folder / "export.json").write_text(json.dumps(data))
    write_digests(folder)


def test_a_sound_folder_is_loaded(folder):
    model = load_model(folder, "cpu")
    assert model.about.task.endpoint == "icu"
    # The card is there to be written on.
    (folder / "README.md").write_text("# Mine\n")
    load_model(folder, "cpu")


@pytest.mark.parametrize(
    "name", ["export.json", "trained/head.safetensors", "trained/adapter_model.safetensors"]
)
def test_an_altered_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, "has been altered since the model was exported")
    (folder / name).unlink()
    refused(folder, "is missing")


def test_a_folder_without_digests_is_refused(folder):
    (folder / SUMS).unlink()
    refused(folder, f"holds no {SUMS}")


@pytest.mark.parametrize(
    "name", ["trained/adapter_model.bin", "trained/pytorch_model.bin", "model.pkl", "code.py"]
)
def test_a_pickle_or_code_in_the_folder_is_refused_and_not_run(folder, tmp_path, name):
    mark = tmp_path / "ran"
    (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    refused(folder, "does not belong into a model folder")
    write_digests(folder)
    refused(folder, "does not belong into a model folder")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["trained/head.safetensors", "trained/adapter_model.safetensors"])
def test_a_pickle_under_the_name_of_safetensors_is_refused_and_not_run(folder, tmp_path, name):
    mark = tmp_path / "ran"
    torch.save({"weight": Evil(mark)}, folder / name)
    write_digests(folder)
    refused(folder, "is no sound safetensors file")
    assert not mark.exists()


def test_peft_s_configuration_in_the_folder_is_not_read(folder, tmp_path, monkeypatch):
    # peft imports the module that this key names, if it begins with one of a few words.
    package = tmp_path / "megatron"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "core.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = folder / "trained" / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"megatron_config": {"tensor_model_parallel_size": 1}}
    config |= {"megatron_core": "megatron.core"}
    path.write_text(json.dumps(config))
    write_digests(folder)
    load_model(folder, "cpu")
    assert not (tmp_path / "ran").exists()
    # The same folder read by peft shows that the danger is real.
    backbone = load_backbone(get_entry("demo_vit"))
    separate_qkv(backbone)
    with pytest.raises(AttributeError):
        PeftModel.from_pretrained(backbone.network, str(folder / "trained"))
    assert (tmp_path / "ran").exists()
    for name in ("megatron", "megatron.core"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("strategy", "options", "megatron_config"), {"a": 1}, "options"),
        (("strategy", "options", "megatron_core"), "os.path", "options"),
        (("strategy", "options", "init_lora_weights"), "/etc/passwd", "options"),
        (("strategy", "options", "r"), 10**9, "options"),
        (("strategy", "options", "r"), 4, "is not what lora trains|does not fit lora"),
        (("strategy", "name"), "os", "unknown strategy 'os'"),
        (("strategy", "name"), "../../lora", "unknown strategy"),
        (("backbone", "spec", "name"), "../../demo_vit", "must be named as in"),
        (("backbone", "spec", "name"), "hf-hub:../..", "must be named as in"),
        (("backbone", "spec", "name"), "timm:local-dir:/tmp", "unknown backbone"),
        (("backbone", "spec", "name"), "/etc/passwd", "must be named as in"),
        (("backbone", "spec", "name"), "efficientnet_lite0", "another efficientnet_lite0"),
        (("backbone", "spec", "weights"), "/etc/passwd", "must be named as in"),
        (("backbone", "identity", "architecture"), "hf-hub:evil/model", "its architecture differs"),
        (("backbone", "identity", "weights"), "0" * 64, "needs the weights of demo_vit"),
        (("backbone", "included"), True, "backbone.safetensors is missing"),
        (("preprocessing", "image_size"), 4000, "takes images of 4000 pixels"),
        (("preprocessing", "image_size"), 10**9, "image_size"),
        (("preprocessing", "decode"), 99, "version 99 of the rule 'decode'"),
        (("calibration", "slope"), -1.0, "slope"),
        (("thresholds", "fixed"), "__import__('os')", "thresholds.fixed"),
        (("format",), 2, "of the form 2"),
        (("__class__",), "x", "__class__"),
    ],
)
def test_a_description_that_means_harm_is_refused(folder, keys, value, sentence):
    def change(data):
        *path, last = keys
        for key in path:
            data = data[key]
        data[last] = value

    rewritten(folder, change)
    refused(folder, sentence)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "[" * 100_000,
        '{"format": NaN}',
        "[]",
        "\x00",
    ],
)
def test_what_is_no_json_object_is_refused(folder, text):
    (folder / "export.json").write_text(text)
    write_digests(folder)
    refused(folder, "export.json")


def test_links_are_refused(folder, tmp_path):
    secret = tmp_path / "secret.safetensors"
    head = folder / "trained" / "head.safetensors"
    shutil.move(head, secret)
    head.symlink_to(secret)
    refused(folder, "is a link")
    head.unlink()
    shutil.move(secret, head)
    shutil.move(folder / "trained", tmp_path / "elsewhere")
    (folder / "trained").symlink_to(tmp_path / "elsewhere")
    refused(folder, "is a link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "backbone.safetensors")
    refused(folder, "no plain file")


def test_digests_do_not_lead_outside(folder, tmp_path):
    (tmp_path / "outside.json").write_text("{}")
    sums = folder / SUMS
    sums.write_text(sums.read_text() + f"{'0' * 64}  ../outside.json\n")
    refused(folder, "a line that export does not write")


def test_absurd_sizes_are_refused_before_they_are_read(folder):
    with (folder / "export.json").open("r+b") as stream:
        stream.truncate(10**12)
    refused(folder, "has 1000000000000 bytes")


@pytest.mark.parametrize("shape", [(0, 1), (2**21,)])
def test_absurd_tensors_are_refused(folder, shape):
    head = folder / "trained" / "head.safetensors"
    save_file({"weight": torch.zeros(shape), "bias": torch.zeros(1)}, head)
    write_digests(folder)
    refused(folder, "holds a tensor of the shape")


def test_a_header_that_claims_more_than_there_is_is_refused(folder):
    head = folder / "trained" / "head.safetensors"
    claim = {"weight": {"dtype": "F32", "shape": [1, 10**6], "data_offsets": [0, 4 * 10**6]}}
    text = json.dumps(claim).encode()
    head.write_bytes(len(text).to_bytes(8, "little") + text)
    write_digests(folder)
    refused(folder, "is no sound safetensors file")


@pytest.mark.parametrize("damage", ["more", "fewer", "other"])
def test_tensors_that_do_not_fit_are_refused(folder, damage):
    adapter = folder / "trained" / "adapter_model.safetensors"
    state = load_file(adapter)
    name = next(iter(state))
    if damage == "more":
        state["base_model.model.more"] = torch.zeros(1)
    elif damage == "fewer":
        del state[name]
    else:
        state[name] = torch.zeros(3, 3)
    save_file(state, adapter)
    write_digests(folder)
    refused(folder, "adapter_model.safetensors")


def test_values_that_are_no_numbers_are_told(folder):
    import numpy as np

    head = folder / "trained" / "head.safetensors"
    state = load_file(head)
    save_file({**state, "bias": torch.tensor([float("nan")])}, head)
    write_digests(folder)
    model = load_model(folder, "cpu")
    side = model.about.preprocessing.image_size
    with pytest.raises(UserError, match="no finite numbers"):
        model.logits(np.zeros((1, side, side), dtype=np.uint8))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_description_says_it_is_read_or_refused(data):
    found = description()
    for _ in range(data.draw(st.integers(1, 2))):
        place = found
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        place[key] = data.draw(PLAIN)
    try:
        describe(found, "export.json")
    except UserError as error:
        assert len(str(error)) < 2000
