"""Whether maps show the model at all: with weights drawn at random they must come out otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import ConstantInputWarning, spearmanr
from torch import nn

from prognobench.backbones.backbone import Backbone, create_network
from prognobench.backbones.entry import BackboneEntry
from prognobench.randomness import derived_seed
from prognobench.saliency.maps import MapMethod

DRAWS = 3
"""How often weights are drawn."""

TOO_ALIKE = 0.5
"""Rank correlation from which on maps are said to hardly depend on what was learnt."""


@dataclass(frozen=True)
class Sanity:
    """How alike the maps of a model are to those of random networks.

    Attributes:
        correlation: Spearman's correlation over the places of a map, the mean over images and
            draws, in [-1, 1]; None where maps did not vary.
        compared: Pairs of maps that it is of.
    """

    correlation: float | None
    compared: int

    @property
    def words(self) -> str:
        """What it says, in sentences."""
        if self.correlation is None:
            return (
                "The maps of networks with random weights could not be compared with these: there "
                "was nothing in them."
            )
        told = (
            "Sanity check: with all weights drawn at random the maps have a rank correlation of "
            f"{_signed(self.correlation)} with these (mean of {self.compared} pairs; 1 would mean "
            "that a map does not depend on the model, Adebayo et al. 2018)."
        )
        if self.correlation >= TOO_ALIKE:
            told += (
                " That is much: these maps show the image and the architecture rather than what "
                "was learnt, and are no reasons of the model."
            )
        return told


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def randomised(entry: BackboneEntry, identity: Sequence[object]) -> tuple[Backbone, nn.Linear]:
    """Return a backbone and a head with weights as before any training, on the CPU.

    Args:
        entry: The backbone.
        identity: What the weights are drawn for.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("saliency", "random weights", *identity))
        network = create_network(entry)
        resize = getattr(network, "set_input_size", None)
        if entry.weights_size is not None and callable(resize):
            resize(img_size=(entry.input_size, entry.input_size))
        head = nn.Linear(entry.feature_dim, 1)
    return Backbone(entry, network).requires_grad_(False).eval(), head.requires_grad_(False)


def sanity_check(
    maps: torch.Tensor, entry: BackboneEntry, images: torch.Tensor, method: MapMethod, run: str
) -> Sanity:
    """Compare maps with those of networks whose weights were drawn at random.

    It is the parameter randomisation test of Adebayo et al. 2018 (NeurIPS, section 3), all layers
    at once.

    Args:
        maps: The maps of the trained model, [B, h, w].
        entry: Its backbone, before it was adapted.
        images: uint8 [B, 1, S, S] on the device to compute on.
        method: How they were drawn.
        run: Id of the run, for the random streams.
    """
    found = []
    for draw in range(DRAWS):
        backbone, head = randomised(entry, (run, draw))
        other, _ = method.draw(backbone.to(images.device), head.to(images.device), images)
        found += [_correlation(one, two) for one, two in zip(maps, other, strict=True)]
    known = [value for value in found if value is not None]
    return Sanity(float(np.mean(known)) if known else None, len(known))


def _correlation(one: torch.Tensor, two: torch.Tensor) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = spearmanr(one.cpu().numpy().ravel(), two.cpu().numpy().ravel()).statistic
    return float(value) if np.isfinite(value) else None
