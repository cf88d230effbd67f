"""Reading weights: verified by digest, never by running code."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file

from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import locate
from prognobench.errors import UserError
from prognobench.files import file_digest


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a weights file: safetensors by its suffix, otherwise a pickle of plain tensors.

    Raises:
        UserError: When the file is missing, broken, or a pickle that would run code.
    """
    if not path.is_file():
        raise UserError(f"the weights file {path} is missing: install or download it again")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
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
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"the weights file {path} holds no plain mapping of names to tensors")
    return state


def load_weights(network: torch.nn.Module, entry: BackboneEntry) -> None:
    """Load an entry's weights into its network, in float32, every tensor of it or none.

    The classifier of a pretrained network (keys under ``classifier``, ``head`` or ``fc``) is left
    out, since features are taken before it.

    Args:
        network: The network, made without a classifier.
        entry: Its catalog entry.

    Raises:
        UserError: When the digest differs, or names or shapes do not match; nothing is then
            left at random weights silently.
    """
    path = locate(entry)
    if path.is_file() and file_digest(path) != entry.weights.sha256:
        raise UserError(
            f"the weights file {path} of {entry.name} is not the published one (its SHA-256 "
            "differs): install or download it again"
        )
    state = entry.weights.convert(read_weights(path))
    wanted = network.state_dict()
    classifier = ("classifier.", "head.", "fc.")
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
    floating = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(floating)
