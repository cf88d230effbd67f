"""Counting what a backbone costs, on a network without values."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from prognobench.backbones.backbone import create_network
from prognobench.backbones.catalog.costs import Cost
from prognobench.backbones.entry import BackboneEntry

_COUNTED: dict[tuple[str, str, int], Cost] = {}


def count_cost(entry: BackboneEntry) -> Cost:
    """Return the parameters of an entry's network and the operations of one image, forward.

    Convolutions, matrix products and attention are counted, at the entry's input size; what
    works element by element is not.
    """
    key = (entry.architecture, repr(sorted(entry.architecture_options.items())), entry.input_size)
    if key not in _COUNTED:
        _COUNTED[key] = _count(entry)
    return _COUNTED[key]


def _count(entry: BackboneEntry) -> Cost:
    side = entry.input_size
    with torch.device("meta"):
        network = create_network(entry).requires_grad_(False)
        resize = getattr(network, "set_input_size", None)
        if entry.weights_size is not None and callable(resize):
            resize(img_size=(side, side))
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, len(entry.mean), side, side))
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops())
