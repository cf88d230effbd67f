"""The backbone of an exported model, adapted, from tensors alone.

The adapter is attached by this package's own strategy, by checked options, and only its tensors
come from the folder: peft would read its configuration from ``adapter_config.json``, of which some
keys name modules to import or other files to load.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from prognobench.backbones.backbone import Backbone, backbone_of_state, load_backbone
from prognobench.backbones.choice import BackboneSpec
from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import check_terms
from prognobench.errors import UserError
from prognobench.prediction.description import ModelDescription
from prognobench.prediction.folder import BACKBONE, TRAINED, check_tensors
from prognobench.strategies import saving
from prognobench.strategies.strategy import Strategy, StrategyOptions, get_strategy

LARGEST_SIDE = 2**20
"""The largest dimension of a tensor that is believed."""

_ANEW = "get the model folder anew"


def load_adapted(
    folder: Path, about: ModelDescription, weights: Path | None = None
) -> tuple[Backbone, nn.Linear]:
    """Return backbone and head of a verified model folder, on the CPU, for evaluation.

    Args:
        folder: The folder, after :func:`~prognobench.prediction.folder.verify`.
        about: Its description.
        weights: The file of the backbone's weights, where it is not in a place where it is found.

    Raises:
        UserError: When the backbone's weights are missing or others, or tensors do not fit.
    """
    entry = _entry(about, weights)
    strategy = get_strategy(about.strategy.name)
    try:
        options = strategy.options.model_validate(about.strategy.options)
    except ValidationError as error:
        raise UserError(
            f"{folder}: the options of {strategy.name} are wrong ({error.errors()[0]['msg']}): "
            f"{_ANEW}"
        ) from error
    trained = folder / TRAINED / saving.TRAINED
    adapter = folder / TRAINED / saving.ADAPTER
    state = _tensors(trained) if trained.is_file() else None
    if adapter.is_file():
        check_tensors(adapter, LARGEST_SIDE)
    backbone = _backbone(folder, about, entry, state)
    if adapter.is_file():
        _attach(backbone, strategy, options, adapter)
    elif state is not None:
        found = backbone.network.load_state_dict(state, strict=False)
        if found.unexpected_keys:
            raise UserError(f"{trained} does not fit {entry.name}: {_ANEW}")
    head = folder / TRAINED / saving.HEAD
    if check_tensors(head, LARGEST_SIDE) != {"weight": (1, entry.feature_dim), "bias": (1,)}:
        raise UserError(f"{head} is no head for the features of {entry.name}: {_ANEW}")
    return backbone.requires_grad_(False).eval(), saving.load_head(folder / TRAINED)


def _entry(about: ModelDescription, weights: Path | None) -> BackboneEntry:
    """Return the catalog's entry, which must be the backbone that the model was trained on."""
    spec = about.backbone.spec
    if weights is not None:
        if not weights.is_file():
            raise UserError(f"the file of weights {weights} does not exist")
        spec = BackboneSpec.model_validate({**spec.model_dump(), "weights": weights})
    entry = spec.entry()
    digest = str(about.backbone.identity.get("weights", ""))
    known = {**_plain(entry), "weights": digest}
    if known != about.backbone.identity:
        wrong = next(
            key
            for key in {**known, **about.backbone.identity}
            if known.get(key) != about.backbone.identity.get(key)
        )
        raise UserError(
            f"the model was trained on another {entry.name} than this prognobench has (its "
            f"{wrong} differs): install the version that exported it"
        )
    if about.preprocessing.image_size != entry.image_size:
        raise UserError(
            f"the model takes images of {about.preprocessing.image_size} pixels, and "
            f"{entry.name} of {entry.image_size}: {_ANEW}"
        )
    if entry.weights.sha256 not in ("", digest) and not about.backbone.included:
        raise UserError(
            f"the model needs the weights of {entry.name} with the SHA-256 {digest}, and those on "
            f"this machine have {entry.weights.sha256}: name the right file with --weights"
        )
    return replace(entry, weights=replace(entry.weights, sha256=digest))


def _plain(entry: BackboneEntry) -> dict[str, object]:
    plain: dict[str, object] = json.loads(json.dumps(entry.identity()))
    return plain


def _backbone(
    folder: Path,
    about: ModelDescription,
    entry: BackboneEntry,
    trained: dict[str, torch.Tensor] | None,
) -> Backbone:
    """Return the backbone before the adapter: from the folder, from what was trained, or fetched.

    Full fine-tuning trains every tensor, so that the pretrained ones are not needed.
    """
    if about.backbone.included:
        path = folder / BACKBONE
        if not path.is_file():
            raise UserError(f"{path} is missing: {_ANEW}")
        try:
            return backbone_of_state(entry, _tensors(path))
        except ValueError as error:
            raise UserError(f"{path} does not fit {entry.name}: {_ANEW}") from error
    if trained is not None:
        try:
            return backbone_of_state(entry, trained)
        except ValueError:
            pass  # a part of it was trained: the rest is the pretrained one's
    check_terms(entry)
    return load_backbone(entry)


def _attach(
    backbone: Backbone, strategy: Strategy, options: StrategyOptions, adapter: Path
) -> None:
    state = load_file(adapter)
    reason = strategy.unsuitable(backbone.entry, options)
    if reason:
        raise UserError(f"{strategy.name} does not fit {backbone.entry.name}: {reason}")
    with torch.random.fork_rng(devices=[]):
        strategy.attach(backbone, options)
    network = backbone.network
    if not isinstance(network, PeftModel):
        raise UserError(f"{adapter} belongs to no strategy like {strategy.name}: {_ANEW}")
    try:
        set_peft_model_state_dict(network, dict(state))
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{adapter} does not fit {strategy.name}: {_ANEW}") from error
    present = get_peft_model_state_dict(network)
    if present.keys() != state.keys() or not all(
        torch.equal(present[name].cpu(), own) for name, own in state.items()
    ):
        raise UserError(f"{adapter} is not what {strategy.name} trains by these options: {_ANEW}")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    check_tensors(path, LARGEST_SIDE)
    return load_file(path)
