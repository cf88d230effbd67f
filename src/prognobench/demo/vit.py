"""demo_vit: what the embedded backbone is, as data for the backbone catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

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


def preprocess(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pad images to squares with black and resize them to the input size, with antialiasing.

    Args:
        images: Grey images, each of shape [height, width] and of any size.

    Returns:
        uint8, shape [number of images, INPUT_SIZE, INPUT_SIZE].
    """
    # Imported here: the catalog reads this module without loading torch.
    import torch

    resized = np.empty((len(images), INPUT_SIZE, INPUT_SIZE), dtype=np.uint8)
    for index, image in enumerate(images):
        height, width = image.shape
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((1, 1, side, side), dtype=np.float32)
        square[0, 0, top : top + height, left : left + width] = image
        small = torch.nn.functional.interpolate(
            torch.from_numpy(square), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True
        )
        resized[index] = small[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    return resized


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Turn grey levels into what the network expects.

    Args:
        images: uint8, shape [number of images, INPUT_SIZE, INPUT_SIZE].

    Returns:
        float32, shape [number of images, 1, INPUT_SIZE, INPUT_SIZE].
    """
    return (images[:, None].float() / 255 - MEAN) / STD
