"""Reading weights: verified by digest, never by running code."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from prognobench.backbones.entry import BackboneEntry, UrlFile
from prognobench.backbones.fetch import locate
from prognobench.errors import UserError
from prognobench.files import file_digest

WRAPPERS = ("state_dict", "model", "teacher", "module")
"""Keys under which training programs put the tensors, beside other things."""


def read_weights(path: Path, member: str = "") -> dict[str, torch.Tensor]:
    """Read a weights file: safetensors by its suffix, otherwise a pickle of plain tensors.

    Args:
        path: The file.
        member: Where it is a zip archive, the one member that holds the weights; nothing is
            extracted to disk.

    Raises:
        UserError: When the file is missing, broken, or a pickle that would run code.
    """
    if not path.is_file():
        raise UserError(f"the weights file {path} is missing: install or download it again")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if member:
            with zipfile.ZipFile(path) as archive:
                data = io.BytesIO(archive.read(member))
            state = torch.load(data, map_location="cpu", weights_only=True)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"the weights file {path} is a pickle that needs to run code, which is refused: "
            "convert it to safetensors"
        ) from error
    except Exception as error:
        raise UserError(
            f"the weights file {path} cannot be read ({type(error).__name__}): download it again"
        ) from error
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"the weights file {path} holds no plain mapping of names to tensors")
    return state


def load_weights(network: torch.nn.Module, entry: BackboneEntry) -> None:
    """Load an entry's weights into its network, in float32, every tensor of it or none.

    The classifier of a pretrained network (keys under ``classifier``, ``head`` or ``fc``, or what
    timm names as the architecture's) is left out, since features are taken before it.

    Args:
        network: The network, made without a classifier.
        entry: Its catalog entry.

    Raises:
        UserError: When the digest differs, or names or shapes do not match; nothing is then
            left at random weights silently.
    """
    path = locate(entry)
    known = entry.weights.sha256
    if known and path.is_file() and file_digest(path) != known:
        raise UserError(
            f"the weights file {path} of {entry.name} is not the published one (its SHA-256 "
            "differs): install or download it again"
        )
    file = entry.weights.file
    state = read_weights(path, file.member if isinstance(file, UrlFile) else "")
    state = entry.weights.convert(state)
    if entry.weights.timm_filter:
        # timm's own renaming of older or original checkpoints, beside each architecture.
        own = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        state = own(state, network) if own is not None else state
    wanted = network.state_dict()
    classifier = ("classifier.", "head.", "fc.", *_classifier(network))
    state = {k: v for k, v in state.items() if k in wanted or not k.startswith(classifier)}
    problems = [f"missing {key}" for key in sorted(wanted.keys() - state.keys())]
    problems += [f"unexpected {key}" for key in sorted(state.keys() - wanted.keys())]
    problems += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state.keys())
        if state[key].shape != wanted[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + ("; ..." if len(problems) > 8 else "")
        raise UserError(f"the weights file {path} does not fit {entry.name}: {shown}")
    tensors = [v for v in state.values() if v.is_floating_point()]
    if not all(bool(torch.isfinite(v).all()) for v in tensors):
        raise UserError(f"the weights file {path} of {entry.name} holds values that are not finite")
    floating = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(floating)


def _classifier(network: torch.nn.Module) -> list[str]:
    named = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    return [f"{name}." for name in ([named] if isinstance(named, str) else named)]
