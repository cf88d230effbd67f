"""What a strategy trained, in a folder, without the backbone's own weights.

Adapters of peft are in peft's own format (``adapter_config.json`` and
``adapter_model.safetensors``), which ``peft.PeftModel.from_pretrained`` reads; what full
fine-tuning and BitFit trained is in ``trained.safetensors``, with the statistics of batch
normalisation where they moved. The head is in ``head.safetensors``, and ``model.json`` says what
they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.backbones.separate_qkv import separate_qkv, unite_biases
from prognobench.errors import UserError
from prognobench.files import atomic_folder, atomic_path, file_digest, write_json
from prognobench.strategies.adapters import PROJECTION_ROLES
from prognobench.strategies.strategy import Strategy

DESCRIPTION = "model.json"
ADAPTER = "adapter_model.safetensors"
TRAINED = "trained.safetensors"
HEAD = "head.safetensors"

_AGAIN = "the model has to be trained again"


def save_adapter(backbone: Backbone, strategy: Strategy, folder: Path) -> None:
    """Write what training changed in an adapted backbone.

    Args:
        backbone: The adapted backbone.
        strategy: How it was adapted.
        folder: Where to; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = backbone.network
    if isinstance(network, PeftModel):
        for config in network.peft_config.values():
            if isinstance(config, AdaLoraConfig):
                # Its pattern of ranks may be of a later step than the weights that were kept;
                # without it all ranks are saved, those given up with a zero.
                config.rank_pattern = None
        network.save_pretrained(str(folder))
        # peft's template of a model card, which says nothing of this model.
        (folder / "README.md").unlink(missing_ok=True)
    else:
        trained = {name for name, p in network.named_parameters() if p.requires_grad}
        if strategy.trains_normalisation:
            trained |= {name for name, _ in network.named_buffers()}
        state = network.state_dict()
        _save({name: state[name] for name in trained & state.keys()}, folder / TRAINED)
    write_json(
        folder / DESCRIPTION,
        {
            "backbone": backbone.entry.identity(),
            "strategy": strategy.name,
            "separate_qkv": backbone.entry.roles.keys() >= PROJECTION_ROLES,
            "sha256": {
                path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))
            },
        },
    )


def save_model(backbone: Backbone, head: nn.Linear, strategy: Strategy, folder: Path) -> None:
    """Write adapter and head; the folder appears, or replaces an older one, when it is whole.

    Args:
        backbone: The adapted backbone.
        head: Its head, on raw features.
        strategy: How the backbone was adapted.
        folder: Where to.
    """
    with atomic_folder(folder) as temporary:
        save_adapter(backbone, strategy, temporary)
        save_head(head, temporary)


def load_adapter(backbone: Backbone, folder: Path) -> None:
    """Give a backbone, in place, what :func:`save_adapter` wrote; it is then for evaluation only.

    Args:
        backbone: The backbone with its pretrained weights, as the catalog loads it.
        folder: The folder.

    Raises:
        UserError: When a file is missing or broken, or belongs to another backbone.
    """
    description = read_description(folder)
    if description.get("backbone") != json.loads(json.dumps(backbone.entry.identity())):
        raise UserError(
            f"{folder / DESCRIPTION} belongs to another backbone than {backbone.entry.name} with "
            "its present weights and input size: load it into its own"
        )
    for name, digest in description.get("sha256", {}).items():
        _read(folder / name)
        if file_digest(folder / name) != digest:
            raise UserError(f"{folder / name} has changed since it was written: {_AGAIN}")
    if (folder / "adapter_config.json").is_file():
        if description.get("separate_qkv"):
            separate_qkv(backbone)
        else:
            unite_biases(backbone)
        _read(folder / ADAPTER)  # without it, peft would fall back to a pickle beside it
        device = str(next(backbone.parameters()).device)
        backbone.network = PeftModel.from_pretrained(
            backbone.network, str(folder), torch_device=device
        )
    else:
        found = backbone.network.load_state_dict(_read(folder / TRAINED), strict=False)
        if found.unexpected_keys:
            raise UserError(
                f"{folder / TRAINED} does not fit {backbone.entry.name}: "
                f"it has no {found.unexpected_keys[0]}"
            )
    backbone.requires_grad_(False).eval()


def save_head(head: nn.Linear, folder: Path) -> None:
    """Write a linear head: ``weight`` [1, D] and ``bias`` [1], of the logit of raw features."""
    _save(head.state_dict(), folder / HEAD)


def load_head(folder: Path) -> nn.Linear:
    """Return the head that :func:`save_head` wrote, for evaluation.

    Raises:
        UserError: When the file is missing or broken.
    """
    state = _read(folder / HEAD)
    head = nn.Linear(state["weight"].shape[1], state["weight"].shape[0], dtype=torch.float32)
    head.load_state_dict(state)
    return head.requires_grad_(False).eval()


def read_description(folder: Path) -> dict[str, Any]:
    """Return what ``model.json`` says.

    Raises:
        UserError: When it is missing or broken.
    """
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: name a folder under models/") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no mapping: name a folder under models/")
    return found


def _save(state: Mapping[str, torch.Tensor], path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file({name: own.detach().cpu().contiguous() for name, own in state.items()}, temporary)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises a class of its own for broken files
        raise UserError(f"{path} cannot be read ({type(error).__name__}): {_AGAIN}") from error
