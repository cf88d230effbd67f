"""Checkpoints that hold more than the vision encoder: its tensors are taken, the rest left."""

from __future__ import annotations

from typing import Any

from prognobench.backbones.conversions.names import below, renamed
from prognobench.backbones.conversions.transformers import swin


def biomedclip(state: dict[str, Any]) -> dict[str, Any]:
    """Take the timm trunk of open_clip's BiomedCLIP; its projection is left out."""
    return below(state, "visual.trunk.")


def medclip_resnet50(state: dict[str, Any]) -> dict[str, Any]:
    """Take torchvision's ResNet50 out of MedCLIP; ``fc``, its projection, is left out."""
    return renamed(below(state, "vision_model.model.", "model."), (), r"fc\.weight")


def medclip_vit(state: dict[str, Any]) -> dict[str, Any]:
    """Take transformers' Swin out of MedCLIP; its projection head is left out."""
    return swin(below(state, "vision_model.model.", "model."))


def xrv_densenet121(state: dict[str, Any]) -> dict[str, Any]:
    """Take the features of TorchXRayVision's DenseNet; its classifier is left out."""
    return renamed(state, (), r"classifier\..*|op_threshs|upsample.*")


def biovil_t(state: dict[str, Any]) -> dict[str, Any]:
    """Take the ResNet50 trunk of BioViL-T; the temporal transformer and projection are left."""
    return renamed(below(state, "encoder.encoder."), (), r"fc\..*")


def ark_plus(state: dict[str, Any]) -> dict[str, Any]:
    """Take the Swin of Ark+; its heads and projector are left out."""
    own = renamed(state, ((r"^module\.", ""),), r"(module\.)?(omni_heads|head|projector)\..*")
    return renamed(own, (), r".*\.(relative_position_index|attn_mask)")
