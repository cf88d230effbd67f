"""What a backbone costs: its parameters and the operations of one image, as counted before."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Cost:
    """The size of a backbone.

    Attributes:
        parameters: Parameters of the vision encoder, without a classifier.
        flops: Floating-point operations of one image at the native input size, forward; a
            multiplication with its addition counts as two.
    """

    parameters: int
    flops: int


def cost_of(name: str) -> Cost | None:
    """Return the cost of a backbone of the catalog; None for one that was not counted.

    The numbers are written by ``tools/describe_backbones.py``, so that listing them loads no
    network.
    """
    found = _counted().get(name)
    return Cost(**found) if found else None


@functools.lru_cache(maxsize=1)
def _counted() -> dict[str, dict[str, int]]:
    text = (files(__package__) / "costs.json").read_text(encoding="utf-8")
    counted: dict[str, dict[str, int]] = json.loads(text)
    return counted
