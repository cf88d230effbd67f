"""What a run trained, written and read again: the same features, in peft's own format."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from adapting import IMAGES, attached, train
from peft import PeftModel
from safetensors.torch import load_file, save_file
from small_backbones import CNNS, TIMM, TRANSFORMERS, backbone_of
from torch import nn

from prognobench.backbones.separate_qkv import separate_qkv, unite_biases
from prognobench.cli import app
from prognobench.errors import UserError
from prognobench.spec import parse_spec
from prognobench.strategies.saving import (
    ADAPTER,
    DESCRIPTION,
    HEAD,
    TRAINED,
    load_adapter,
    load_head,
    save_adapter,
    save_model,
)

ADAPTERS = [
    *((name, strategy, {}) for strategy in ("lora", "ia3") for name in TIMM),
    *((name, "vera", {}) for name in TRANSFORMERS),
    *((name, "lora", {"target_modules": ["attention_in"]}) for name in ("vit", "eva", "swin_v2")),
    ("vit", "peft DORA", {}),
    ("vit", "peft ADALORA", {"init_r": 6, "target_r": 3}),
    ("vit", "peft OFT", {"oft_block_size": 16}),
    ("vit", "peft LN_TUNING", {}),
    ("vit", "peft RANDLORA", {"r": 4}),
    ("resnet", "peft DORA", {}),
]


def named(case):
    return "-".join(map(str, case[:2])) + "-".join(map(str, case[2].values()))


def trained(name, strategy, **options):
    adapted = attached(name, strategy, **options)
    train(adapted)
    return adapted


def read_again(name, folder):
    backbone = backbone_of(name)
    load_adapter(backbone, folder)
    with torch.no_grad():
        return backbone, backbone.features(IMAGES)


@pytest.mark.parametrize("name, strategy, options", ADAPTERS, ids=map(named, ADAPTERS))
def test_adapters_survive_in_peft_s_own_format(name, strategy, options, tmp_path):
    adapted = trained(name, strategy, **options)
    features = adapted.features()
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "model.json",
    ]
    backbone, loaded = read_again(name, tmp_path)
    assert torch.equal(loaded, features)
    assert (features - adapted.frozen).abs().max() > 1e-4
    assert not any(p.requires_grad for p in backbone.parameters())

    # And by peft alone, on the network that model.json describes.
    plain = backbone_of(name)
    separate = json.loads((tmp_path / DESCRIPTION).read_text())["separate_qkv"]
    if plain.entry.kind == "vit":
        (separate_qkv if separate else unite_biases)(plain)
    plain.network = PeftModel.from_pretrained(plain.network, str(tmp_path))
    with torch.no_grad():
        assert torch.equal(plain.eval().features(IMAGES), features)


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("strategy", ["full", "bitfit"])
def test_what_full_and_bitfit_trained_survives(name, strategy, tmp_path):
    adapted = trained(name, strategy)
    features = adapted.features()
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    state = load_file(tmp_path / TRAINED)
    statistics = {key for key in state if "running_" in key}
    assert bool(statistics) == (strategy == "full" and name in CNNS)
    assert set(adapted.trained()) <= set(state)
    _, loaded = read_again(name, tmp_path)
    assert torch.equal(loaded, features)


def test_without_its_statistics_a_fully_tuned_network_is_another(tmp_path):
    adapted = trained("resnet", "full")
    features = adapted.features()
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    state = load_file(tmp_path / TRAINED)
    kept = {key: value for key, value in state.items() if "running_" not in key}
    save_file(kept, tmp_path / TRAINED)
    description = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**description, "sha256": {}}))
    _, loaded = read_again("resnet", tmp_path)
    assert (loaded - features).abs().max() > 1e-3


def test_adalora_is_saved_as_it_was_kept_and_not_as_its_last_step_would_prune_it(tmp_path):
    adapted = attached("vit", "peft ADALORA", init_r=6, target_r=2)
    train(adapted, steps=6)
    with torch.no_grad():  # the state of an earlier step, where no rank had been given up
        for key, parameter in adapted.trained().items():
            if "lora_E" in key:
                parameter.fill_(0.3)
    features = adapted.features()
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    _, loaded = read_again("vit", tmp_path)
    assert torch.equal(loaded, features)


@pytest.mark.parametrize("strategy, file", [("lora", ADAPTER), ("bitfit", TRAINED)])
def test_one_flipped_byte_is_seen(strategy, file, tmp_path):
    adapted = attached("vit", strategy)
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    content[-1] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=r"safetensors has changed since it was written"):
        load_adapter(backbone_of("vit"), tmp_path)


def test_vera_brings_its_projections_along(tmp_path):
    adapted = trained("vit", "vera", r=8)
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    state = load_file(tmp_path / ADAPTER)
    assert sum("vera_A" in key or "vera_B" in key for key in state) == 2
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["projection_prng_key"] == (
        adapted.backbone.network.peft_config["default"].projection_prng_key
    )


def test_a_head_survives_and_a_folder_is_replaced_as_a_whole(tmp_path):
    adapted, folder = attached("vit", "bitfit"), tmp_path / "models" / "run"
    head = nn.Linear(48, 1)
    for _ in range(2):
        save_model(adapted.backbone, head, adapted.strategy, folder)
        assert sorted(path.name for path in folder.iterdir()) == [HEAD, DESCRIPTION, TRAINED]
        (folder / "left over").touch()
    save_model(adapted.backbone, head, adapted.strategy, folder)
    assert not (folder / "left over").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    loaded = load_head(folder)
    assert torch.equal(loaded.weight, head.weight)
    assert torch.equal(loaded.bias, head.bias)


def test_an_adapter_is_not_put_on_another_backbone(tmp_path):
    adapted = attached("vit", "lora")
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    other = backbone_of("vit")
    other.entry = replace(other.entry, input_size=96)
    with pytest.raises(UserError, match=r"model\.json belongs to another backbone than vit"):
        load_adapter(other, tmp_path)


@pytest.mark.parametrize(
    "strategy, file", [("lora", ADAPTER), ("full", TRAINED), ("lora", DESCRIPTION)]
)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_what_is_missing_or_broken_is_named(strategy, file, damage, tmp_path):
    adapted = attached("vit", strategy)
    save_adapter(adapted.backbone, adapted.strategy, tmp_path)
    path = tmp_path / file
    if damage == "missing":
        path.unlink()
        # A pickle beside it is never fallen back to.
        torch.save({}, tmp_path / "adapter_model.bin")
    else:
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match=file.replace(".", r"\.")):
        load_adapter(backbone_of("vit"), tmp_path)


def test_a_saved_benchmark_predicts_what_it_predicted(tmp_path, monkeypatch):
    """``save_models``: adapter and head give the logits by which the run was judged."""
    import pandas as pd
    import yaml
    from typer.testing import CliRunner

    from prognobench.backbones.backbone import load_backbone
    from prognobench.backbones.catalog import get_entry
    from prognobench.execution.prepare import prepare

    data = {
        "name": "saved",
        "cohort": {"source": "synthetic", "patients": 40, "seed": 0},
        "endpoints": ["icu"],
        "backbones": ["demo_vit"],
        "strategies": ["linear", "lora", "bitfit", {"peft": "DORA", "r": 2}],
        "regimes": [{"name": "full_data", "folds": 2}],
        "recipe": {"epochs": 1},
        "save_models": True,
        "controls": [],
        "report": {"saliency": False},
        "audit": {"near_duplicates": False},
    }
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(data))
    output = tmp_path / "out"
    done = CliRunner().invoke(app, ["run", str(path), "--output", str(output)])
    assert done.exit_code == 0, done.output
    prepared = prepare(parse_spec(data, "test"))
    ((_, images),) = prepared.images().items()
    pixels = torch.from_numpy(np.array(images.pixels)).unsqueeze(1)
    assert {p.name for p in (output / "models").iterdir()} == {run.id for run in prepared.runs}
    for run in prepared.runs:
        stored = pd.read_parquet(output / "predictions" / f"{run.id}.parquet")
        stored = stored[stored["part"] != "train"].set_index("image_id")["logit"]
        backbone = load_backbone(get_entry("demo_vit"))
        load_adapter(backbone, output / "models" / run.id)
        head = load_head(output / "models" / run.id)
        with torch.no_grad():
            logits = head(backbone.features(pixels)).squeeze(1).double().numpy()
        own = [row for row, image in enumerate(images.image_ids) if image in stored.index]
        assert len(own) == len(stored)
        expected = stored.loc[[images.image_ids[row] for row in own]].to_numpy()
        assert np.abs(logits[own] - expected).max() < 1e-4, run.strategy
    texts = list((output / "models").rglob("*.json"))
    assert texts
    assert not [p for p in texts if str(tmp_path) in p.read_text()]
