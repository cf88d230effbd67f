"""Convolutional networks trained on photographs, from the timm hub."""

from __future__ import annotations

from prognobench.backbones.catalog.roles import CONVNEXT_ROLES, DENSENET_ROLES, RESNET_ROLES
from prognobench.backbones.catalog.statistics import IMAGENET_MEAN, IMAGENET_STD
from prognobench.backbones.entry import BackboneEntry, HubFile, Weights


def _entry(  # noqa: PLR0917  a row of the catalog
    name: str,
    title: str,
    architecture: str,
    feature_dim: int,
    roles: dict[str, str],
    licence: str,
    pretraining: str = "ImageNet-1k, 1.3 million photographs, supervised",
) -> BackboneEntry:
    repository = f"timm/{architecture}"
    return BackboneEntry(
        name=name,
        title=title,
        kind="cnn",
        # Always with its tag: the bare names stand for other weights.
        architecture=architecture,
        feature_dim=feature_dim,
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        roles=roles,
        weights=Weights(HubFile(repository, "model.safetensors"), f"timm hub, {repository}"),
        license=licence,
        pretraining=pretraining,
        flexible_input=True,
    )


ENTRIES = (
    _entry("resnet18", "ResNet-18", "resnet18.tv_in1k", 512, RESNET_ROLES, "BSD-3-Clause"),
    _entry("resnet50", "ResNet-50", "resnet50.tv_in1k", 2048, RESNET_ROLES, "BSD-3-Clause"),
    _entry(
        "densenet121", "DenseNet-121", "densenet121.tv_in1k", 1024, DENSENET_ROLES, "Apache-2.0"
    ),
    _entry(
        "convnext_tiny",
        "ConvNeXt-T",
        "convnext_tiny.fb_in22k_ft_in1k",
        768,
        CONVNEXT_ROLES,
        "Apache-2.0",
        "ImageNet-22k, 14 million photographs, supervised, then ImageNet-1k",
    ),
)
