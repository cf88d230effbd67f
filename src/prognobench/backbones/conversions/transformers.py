"""Vision encoders as the library transformers saves them: CLIP, DINOv2, Swin and SigLIP."""

from __future__ import annotations

from typing import Any

from prognobench.backbones.conversions.names import below, fused, renamed

_LAYERS = (
    (r"^encoder\.layers?\.", "blocks."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.self_attn\.", ".attn."),
)


def clip(state: dict[str, Any]) -> dict[str, Any]:
    """Rename the vision tower of a CLIPModel or CLIPVisionModel.

    The text tower and both projections are left out: the feature is the class token after the
    last normalisation, before the projection.
    """
    own = renamed(
        below(state, "vision_model.", "model.vision_model."),
        (
            (r"^embeddings\.class_embedding$", "cls_token"),
            (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
            (r"^pre_layrnorm\.", "norm_pre."),
            (r"^post_layernorm\.", "norm."),
            *_LAYERS,
        ),
        dropped=r"embeddings\.position_ids|(visual|text)_projection\.weight",
    )
    own = fused(own, ("q_proj", "k_proj", "v_proj"))
    return _shaped(own, cls_token=(1, 1, -1), pos_embed=None)


def siglip(state: dict[str, Any]) -> dict[str, Any]:
    """Rename the vision tower of a SiglipModel or SiglipVisionModel."""
    import torch

    own = renamed(
        below(state, "vision_model.", "model.vision_model."),
        (
            (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
            (r"^post_layernorm\.", "norm."),
            (r"^head\.probe$", "attn_pool.latent"),
            (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
            (r"^head\.layernorm\.", "attn_pool.norm."),
            (r"^head\.mlp\.", "attn_pool.mlp."),
            *_LAYERS,
        ),
        dropped=r"embeddings\.position_ids",
    )
    own = fused(own, ("q_proj", "k_proj", "v_proj"))
    for end in ("weight", "bias"):
        together = own.pop(f"head.attention.in_proj_{end}", None)
        if together is not None:
            query, key, value = torch.chunk(together, 3)
            own[f"attn_pool.q.{end}"] = query
            own[f"attn_pool.kv.{end}"] = torch.cat([key, value])
    return _shaped(own, pos_embed=None)


def dinov2(state: dict[str, Any]) -> dict[str, Any]:
    """Rename a Dinov2Model; the mask token, used in pretraining only, is left out."""
    own = renamed(
        below(state, "dinov2.", "model."),
        (
            (r"^embeddings\.cls_token$", "cls_token"),
            (r"^embeddings\.position_embeddings$", "pos_embed"),
            (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"^encoder\.layer\.", "blocks."),
            (r"\.attention\.attention\.", ".attn."),
            (r"\.attention\.output\.dense\.", ".attn.proj."),
            (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
            (r"^layernorm\.", "norm."),
        ),
        dropped=r"embeddings\.mask_token",
    )
    return fused(own, ("query", "key", "value"))


def dinov2_any(state: dict[str, Any]) -> dict[str, Any]:
    """Rename a DINOv2 checkpoint in either naming, that of transformers or the original one."""
    if any(".attn.qkv." in key for key in state):
        return renamed(state, (), r"mask_token")
    return dinov2(state)


def swin(state: dict[str, Any]) -> dict[str, Any]:
    """Rename a SwinModel.

    timm counts a downsampling to the stage that it leads to, transformers to the one it leaves.
    """
    own = renamed(
        below(state, "swin."),
        (
            (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"^embeddings\.norm\.", "patch_embed.norm."),
            (r"^encoder\.layers\.", "layers."),
            (r"\.layernorm_before\.", ".norm1."),
            (r"\.layernorm_after\.", ".norm2."),
            (r"\.attention\.output\.dense\.", ".attn.proj."),
            (r"\.attention\.self\.", ".attn."),
            (r"\.intermediate\.dense\.", ".mlp.fc1."),
            (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
            (r"^layernorm\.", "norm."),
        ),
        dropped=r".*\.relative_position_index",
    )
    shifted = {}
    for key, value in fused(own, ("query", "key", "value")).items():
        parts = key.split(".")
        if parts[0] == "layers" and "downsample" in parts:
            parts[1] = str(int(parts[1]) + 1)
        shifted[".".join(parts)] = value
    return shifted


def _shaped(state: dict[str, Any], **shapes: tuple[int, ...] | None) -> dict[str, Any]:
    """Give tensors timm's leading dimensions: a shape, or one more dimension for None."""
    for name, shape in shapes.items():
        if name in state:
            value = state[name]
            state[name] = value.unsqueeze(0) if shape is None else value.reshape(shape)
    return state
