"""Vision towers trained on images with their texts from the web."""

from __future__ import annotations

from prognobench.backbones.catalog.roles import VIT_ROLES
from prognobench.backbones.catalog.statistics import CLIP_MEAN, CLIP_STD, HALF
from prognobench.backbones.entry import BackboneEntry, HubFile, Weights

ENTRIES = (
    BackboneEntry(
        name="clip_vitb16",
        title="CLIP ViT-B/16",
        kind="vit",
        architecture="vit_base_patch16_clip_quickgelu_224.openai",
        feature_dim=768,
        input_size=224,
        patch_size=16,
        mean=CLIP_MEAN,
        std=CLIP_STD,
        roles=VIT_ROLES,
        weights=Weights(
            HubFile("timm/vit_base_patch16_clip_224.openai", "model.safetensors"),
            "timm hub, timm/vit_base_patch16_clip_224.openai",
        ),
        license="MIT",
        pretraining="400 million pairs of images and texts from the web",
        flexible_input=True,
        class_token=True,
    ),
    BackboneEntry(
        name="clip_vitl14",
        title="CLIP ViT-L/14",
        kind="vit",
        architecture="vit_large_patch14_clip_quickgelu_224.openai",
        feature_dim=1024,
        input_size=224,
        patch_size=14,
        mean=CLIP_MEAN,
        std=CLIP_STD,
        roles=VIT_ROLES,
        weights=Weights(
            HubFile("timm/vit_large_patch14_clip_224.openai", "model.safetensors"),
            "timm hub, timm/vit_large_patch14_clip_224.openai",
        ),
        license="MIT",
        pretraining="400 million pairs of images and texts from the web",
        flexible_input=True,
        class_token=True,
    ),
    BackboneEntry(
        name="siglip2_vitb16",
        title="SigLIP 2 ViT-B/16",
        kind="vit",
        architecture="vit_base_patch16_siglip_224.v2_webli",
        # As it was trained; timm's definition has the exact GELU, which is off by 1e-4.
        architecture_options={"act_layer": "gelu_tanh"},
        feature_dim=768,
        input_size=224,
        patch_size=16,
        mean=HALF,
        std=HALF,
        roles=VIT_ROLES,
        weights=Weights(
            HubFile("timm/vit_base_patch16_siglip_224.v2_webli", "model.safetensors"),
            "timm hub, timm/vit_base_patch16_siglip_224.v2_webli",
        ),
        license="Apache-2.0",
        pretraining="WebLI, pairs of images and texts from the web",
        flexible_input=True,
    ),
)
