"""What the modules of each family of architectures do, as anchored regular expressions."""

VIT_ROLES = {
    "attention_in": r"blocks\.\d+\.attn\.qkv",
    "attention_out": r"blocks\.\d+\.attn\.proj",
    "mlp_in": r"blocks\.\d+\.mlp\.fc1",
    "mlp_out": r"blocks\.\d+\.mlp\.fc2",
    "normalisation": r"blocks\.\d+\.norm[12]|norm|fc_norm",
}
"""Roles in timm's VisionTransformer."""

SWIN_ROLES = {
    "attention_in": r"layers\.\d+\.blocks\.\d+\.attn\.qkv",
    "attention_out": r"layers\.\d+\.blocks\.\d+\.attn\.proj",
    "mlp_in": r"layers\.\d+\.blocks\.\d+\.mlp\.fc1",
    "mlp_out": r"layers\.\d+\.blocks\.\d+\.mlp\.fc2",
    "normalisation": r"layers\.\d+\.blocks\.\d+\.norm[12]|norm",
}
"""Roles in timm's SwinTransformer."""

EVA_ROLES = {
    "attention_in": r"blocks\.\d+\.attn\.(qkv|[qkv]_proj)",
    "attention_out": r"blocks\.\d+\.attn\.proj",
    "mlp_in": r"blocks\.\d+\.mlp\.fc1(_[gx])?",
    "mlp_out": r"blocks\.\d+\.mlp\.fc2",
    "normalisation": r"blocks\.\d+\.norm[12]|norm|fc_norm",
}
"""Roles in timm's Eva."""

RESNET_ROLES = {
    "convolution": r"layer\d\.\d+\.conv\d",
    "normalisation": r"bn1|layer\d\.\d+\.(bn\d|downsample\.1)",
}
"""Roles in timm's ResNet."""

DENSENET_ROLES = {
    "convolution": r"features\.denseblock\d\.denselayer\d+\.conv\d",
    "normalisation": r"features\.(.*\.)?norm\d?",
}
"""Roles in timm's DenseNet."""

CONVNEXT_ROLES = {
    # Its pointwise convolutions, which timm computes as linear layers.
    "convolution": r"stages\.\d\.blocks\.\d+\.mlp\.fc[12]",
    "normalisation": r"stages\.\d\.(blocks\.\d+\.norm|downsample\.0)|head\.norm",
}
"""Roles in timm's ConvNeXt."""
