"""Random streams, each derived from the identity of what it is for."""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(*identity: object) -> int:
    """Return a seed in [0, 2**63) that depends on ``identity`` and on nothing else.

    Streams with different identities are independent, so that a result never depends on
    the order in which things are done or on what else is done.

    Args:
        identity: What the stream is for, outermost first: ``derived_seed(run_id, "batches")``.
    """
    text = "\x1f".join(str(part) for part in identity)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*identity: object) -> np.random.Generator:
    """Return a NumPy generator seeded by :func:`derived_seed`."""
    return np.random.default_rng(derived_seed(*identity))
