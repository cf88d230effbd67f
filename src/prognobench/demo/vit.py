"""demo_vit: what the embedded backbone is, as data for the backbone catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

INPUT_SIZE: Final = 96
"""Side of the square input in pixels."""

PATCH_SIZE: Final = 16
"""Side of a patch in pixels."""

FEATURE_DIM: Final = 128
"""Number of features: the mean over the normalised patch tokens."""

ARCHITECTURE: Final = "vit_tiny_patch16_224"
"""The timm model it is a variant of."""

ARCHITECTURE_OPTIONS: Final[dict[str, Any]] = {
    "img_size": INPUT_SIZE,
    "patch_size": PATCH_SIZE,
    "embed_dim": FEATURE_DIM,
    "depth": 6,
    "num_heads": 4,
    "in_chans": 1,
    "num_classes": 0,
    "class_token": False,
    "global_pool": "avg",
    "fc_norm": False,
}
"""Keyword arguments of ``timm.create_model`` beside the name."""

MEAN: Final = 0.5
"""Subtracted from the grey levels once they are in [0, 1]."""

STD: Final = 0.3
"""What the difference is divided by."""

WEIGHTS: Final = Path(__file__).parent / "weights" / "demo_vit.safetensors"
"""The weights, stored as float16 under timm's own names; load them as float32."""

WEIGHTS_SHA256: Final = "49b8c8227aaf61b2f0a9f7802db901dbb025a9a38effbbd23a10f7a4431a00f4"
"""SHA-256 of the file of weights."""
