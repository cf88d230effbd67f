"""Features of a frozen backbone: computed once for a backbone and a set of images, then cached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from prognobench.backbones.backbone import Backbone
from prognobench.files import atomic_path, cache_folder, file_digest, identity, write_json

BATCH = 64


def extract_features(backbone: Backbone, images: torch.Tensor) -> npt.NDArray[np.float32]:
    """Return the features of images, in evaluation mode, in float32.

    Args:
        backbone: The backbone.
        images: uint8 [N, 1, S, S] on the backbone's device.

    Returns:
        float32 [N, D].
    """
    backbone.eval()
    with torch.inference_mode():
        parts = [backbone.features(batch).cpu().numpy() for batch in torch.split(images, BATCH)]
    return np.concatenate(parts).astype(np.float32)


def cached_features(
    backbone: Backbone, images: torch.Tensor, images_key: str
) -> npt.NDArray[np.float32]:
    """Return the features of images, from the cache if they are there and whole.

    Args:
        backbone: The frozen backbone, as the catalog loads it.
        images: uint8 [N, 1, S, S].
        images_key: Hash of the images' content and order.

    Returns:
        float32 [N, D].
    """
    key = identity({"backbone": backbone.entry.identity(), "images": images_key}, 32)
    path = cache_folder("features") / f"{key}.npy"
    seal = path.with_suffix(".json")
    if _is_whole(path, seal):
        cached: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        return cached
    features = extract_features(backbone, images)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    write_json(seal, {"sha256": file_digest(path)})
    return features


def _is_whole(path: Path, seal: Path) -> bool:
    try:
        return bool(json.loads(seal.read_text())["sha256"] == file_digest(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False
