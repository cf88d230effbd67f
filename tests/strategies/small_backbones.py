"""Small networks with random weights, one of each kind that strategies must cope with."""

from __future__ import annotations

import functools
from pathlib import Path

import timm
import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.backbones.entry import BackboneEntry, LocalFile, Weights

SIDE = 64

VIT_ROLES = {
    "attention_in": r"blocks\.\d+\.attn\.qkv",
    "attention_out": r"blocks\.\d+\.attn\.proj",
    "mlp_in": r"blocks\.\d+\.mlp\.fc1",
    "mlp_out": r"blocks\.\d+\.mlp\.fc2",
    "normalisation": r"blocks\.\d+\.norm[12]|norm|fc_norm",
}
SWIN_ROLES = {
    role: pattern.replace("blocks", r"layers\.\d+\.blocks") for role, pattern in VIT_ROLES.items()
}
SEPARATE_ROLES = {
    **VIT_ROLES,
    "attention_in": r"blocks\.\d+\.attn\.[qkv]_proj",
    "mlp_in": r"blocks\.\d+\.mlp\.fc1_[gx]",
}
RESNET_ROLES = {
    "convolution": r"layer\d\.\d\.(conv\d|downsample\.0)",
    "normalisation": r"(.*\.)?bn\d",
}
EFFICIENTNET_ROLES = {
    "convolution": r"blocks\.\d+\.\d+\.conv_pwl?|conv_head",
    "normalisation": r"(.*\.)?bn\d",
}
HIDDEN_ROLES = {
    "mlp_in": r"blocks\.\d+\.linear1",
    "mlp_out": r"blocks\.\d+\.linear2",
    "normalisation": r"blocks\.\d+\.norm[12]",
}

_VIT = {"img_size": SIDE, "embed_dim": 48, "depth": 2, "num_heads": 3}
_EVA = {**_VIT, "patch_size": 16, "ref_feat_shape": (4, 4)}
_SWIN = {
    "img_size": SIDE,
    "window_size": 4,
    "embed_dim": 24,
    "depths": (1, 1, 2),
    "num_heads": (1, 2, 4),
}
TIMM = {
    "vit": ("vit", VIT_ROLES, "vit_tiny_patch16_224", _VIT),
    "demo_vit_like": (
        "vit",
        VIT_ROLES,
        "vit_tiny_patch16_224",
        {**_VIT, "in_chans": 1, "class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
    "eva": ("vit", VIT_ROLES, "eva02_tiny_patch14_224", _EVA),
    "eva_separate": ("vit", SEPARATE_ROLES, "eva02_base_patch14_224", _EVA),
    "beit": ("vit", VIT_ROLES, "beitv2_base_patch16_224", _VIT),
    "swin": ("vit", SWIN_ROLES, "swin_tiny_patch4_window7_224", _SWIN),
    "swin_v2": ("vit", SWIN_ROLES, "swinv2_tiny_window8_256", _SWIN),
    # With zero_init_last, the last normalisation of a block is zero, and what stands before it
    # gets no gradient: pretrained networks are not like that.
    "resnet": ("cnn", RESNET_ROLES, "resnet10t", {"zero_init_last": False}),
    "efficientnet": ("cnn", EFFICIENTNET_ROLES, "efficientnet_lite0", {}),
}
"""Kind, roles, timm architecture and its options."""

TRANSFORMERS = tuple(name for name, (kind, *_) in TIMM.items() if kind == "vit")
CNNS = tuple(name for name, (kind, *_) in TIMM.items() if kind == "cnn")


class HiddenProjections(nn.Module):
    """A transformer around torch.nn.MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 16, 16)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True) for _ in range(2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.mean(1)


def entry_of(name: str) -> BackboneEntry:
    kind, roles, architecture, options = TIMM.get(name, ("vit", HIDDEN_ROLES, "", {}))
    channels = options.get("in_chans", 3)
    return BackboneEntry(
        name=name,
        title=name,
        kind=kind,
        architecture=architecture,
        architecture_options=options,
        feature_dim=network_of(name).num_features if name in TIMM else 32,
        input_size=SIDE,
        mean=(0.5,) * channels,
        std=(0.3,) * channels,
        roles=roles,
        weights=Weights(file=LocalFile(Path()), origin="random"),
        license="none",
        pretraining="none",
    )


@functools.cache
def network_of(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name not in TIMM:
            return HiddenProjections().eval()
        _, _, architecture, options = TIMM[name]
        network = timm.create_model(architecture, num_classes=0, **options).eval()
        for key, tensor in [*network.named_parameters(), *network.named_buffers()]:
            # Everything at random: what begins at zero or one could be dropped unnoticed, and what
            # stands before it would get no gradient.
            if key.endswith(("bias", "running_mean")) and not key.endswith("k_bias"):
                nn.init.normal_(tensor, std=0.1)
            elif key.endswith("running_var") or (tensor.ndim == 1 and "k_bias" not in key):
                nn.init.uniform_(tensor, 0.5, 1.5)
            elif tensor.ndim == 2 and tensor.is_floating_point():
                nn.init.normal_(tensor, std=tensor.shape[1] ** -0.5)
        return network


def backbone_of(name: str) -> Backbone:
    """A fresh frozen backbone."""
    import copy

    backbone = Backbone(entry_of(name), copy.deepcopy(network_of(name)))
    return backbone.requires_grad_(False).eval()


def random_images(count: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
