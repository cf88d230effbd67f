"""Backbones that are not in the catalog: any model of timm, or of the hub in timm's form."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

from prognobench.backbones.catalog.inferred_roles import has_attention, inferred_roles
from prognobench.backbones.conversions.names import below
from prognobench.backbones.entry import BackboneEntry, HubFile, RequestedFile, Weights, WeightsFile
from prognobench.backbones.fetch import fetch_hub_file, find_hub_file
from prognobench.errors import UserError, nearest

TIMM_PREFIX = "timm:"
HUB_PREFIX = "hf-hub:"
CONFIG = "config.json"


def is_outside(name: str) -> bool:
    """Say whether a name is that of a model outside the catalog."""
    return name.startswith((TIMM_PREFIX, HUB_PREFIX))


@functools.lru_cache(maxsize=64)
def outside_entry(name: str) -> BackboneEntry:
    """Return an entry for a model that the catalog does not have.

    What the catalog knows of its own is read off the model: the network is built without values
    to see the size of its feature, and its roles are inferred from its modules. The whole image
    is shown to it, whatever share of the middle its authors evaluated on.

    Args:
        name: ``timm:NAME`` with the tag of its weights, or ``hf-hub:OWNER/NAME[@REVISION]``.

    Raises:
        UserError: When there is no such model, or its description is not on this machine.
    """
    if name.startswith(TIMM_PREFIX):
        return _of_timm(name)
    return _of_hub(name)


def fetch_description(name: str) -> None:
    """Bring the description of a hub model to this machine; without it nothing is known of it.

    Raises:
        UserError: When it cannot be fetched.
    """
    if name.startswith(HUB_PREFIX):
        fetch_hub_file(name, _config_of(name))
        outside_entry.cache_clear()


def _of_timm(name: str) -> BackboneEntry:
    import timm

    architecture = name.removeprefix(TIMM_PREFIX)
    bare, _, tag = architecture.partition(".")
    if not timm.is_model(bare):
        raise UserError(f"unknown backbone '{name}': {nearest(bare, timm.list_models())}")
    tags = [own.partition(".")[2] for own in timm.list_pretrained(f"{bare}.*")]
    if tag not in tags and tags:
        shown = ", ".join(tags[:8]) + (", ..." if len(tags) > 8 else "")
        raise UserError(
            f"'{name}' does not say which weights it means: write {TIMM_PREFIX}{bare}.TAG with one "
            f"of {shown}"
        )
    config = timm.get_pretrained_cfg(architecture)
    about = dataclasses.asdict(config) if config is not None else {}
    repository = about.get("hf_hub_id")
    file: WeightsFile
    if repository:
        file = HubFile(repository, about.get("hf_hub_filename") or "model.safetensors")
    else:
        file = RequestedFile("a checkpoint of your own", "timm has none on the hub")
    return _entry(name, architecture, about, file, {})


def _of_hub(name: str) -> BackboneEntry:
    description = _config_of(name)
    path = find_hub_file(name, description)
    if path is None:
        raise UserError(
            f"the description of {name} ({CONFIG}) is not on this machine: fetch it with "
            f"`prognobench pull {name}`"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = config["architecture"]
        about = config.get("pretrained_cfg", config)
        options = dict(config.get("model_args") or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} of {name} does not describe a model of timm (it names no architecture): "
            "choose another model"
        ) from error
    options.pop("num_classes", None)
    file = HubFile(description.repository, "model.safetensors", description.revision)
    if "global_pool" in config:
        options["global_pool"] = config["global_pool"]
    return _entry(name, str(architecture), about, file, options)


def _config_of(name: str) -> HubFile:
    repository, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    if repository.count("/") != 1:
        raise UserError(f"unknown backbone '{name}': write {HUB_PREFIX}OWNER/NAME")
    return HubFile(repository, CONFIG, revision or "main")


def _entry(
    name: str,
    architecture: str,
    about: dict[str, Any],
    file: WeightsFile,
    options: dict[str, Any],
) -> BackboneEntry:
    import timm
    import torch

    channels, side, *_ = about.get("input_size") or (3, 224, 224)
    try:
        with torch.device("meta"):
            network = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
            feature = network.eval()(torch.zeros(1, channels, side, side))
    except Exception as error:
        raise UserError(
            f"{name} cannot be built by the installed timm ({type(error).__name__}: {error}): "
            "choose another model, or another version of timm"
        ) from error
    if feature.ndim != 2:
        raise UserError(f"{name} has no pooled feature: choose another model")
    licence = str(about.get("license") or "not stated")
    attention = has_attention(network)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    return BackboneEntry(
        name=name,
        title=name,
        kind="vit" if attention else "cnn",
        architecture=architecture,
        architecture_options=options,
        feature_dim=int(feature.shape[1]),
        input_size=int(side),
        patch_size=int(patch[0] if isinstance(patch, tuple) else patch),
        mean=tuple(float(v) for v in about.get("mean") or (0.5,) * channels),
        std=tuple(float(v) for v in about.get("std") or (0.5,) * channels),
        roles=inferred_roles(network),
        weights=Weights(
            file,
            f"Hugging Face hub, {file.repository}" if isinstance(file, HubFile) else "your own",
            convert=unwrapped,
            timm_filter=True,
            terms=f"the licence {licence}, which restricts uses" if "-nc" in licence else "",
        ),
        license=licence,
        pretraining=str(about.get("tag") or "see its model card"),
        flexible_input=not attention or not hasattr(network, "layers"),
        class_token=_class_token(network),
    )


def unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    """Take a network out of what training programs wrap around it, by the prefix of its names."""
    for prefix in ("module.", "model.", "backbone.", "network."):
        if state and all(key.startswith(prefix) for key in state):
            state = below(state, prefix)
    return state


def _class_token(network: Any) -> bool:
    return (
        getattr(network, "cls_token", None) is not None
        and getattr(network, "global_pool", "") == "token"
        and hasattr(network, "forward_intermediates")
    )
