"""Where a network looked: Grad-CAM for convolutions, attention rollout for transformers.

Both look through the sealed :meth:`~prognobench.backbones.backbone.Backbone.features`, so that a
map belongs to the very logit that the benchmark stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import nn

from prognobench.backbones.backbone import Backbone

Maps: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Maps float32 [B, h, w], 0 or more, and the logits float32 [B] of the same pass."""


@dataclass(frozen=True)
class MapMethod:
    """A way to draw maps.

    Attributes:
        name: Its name.
        words: What a map shows, in sentences.
        draw: From backbone, head and uint8 images [B, 1, S, S] to the maps with their logits.
    """

    name: str
    words: str
    draw: Callable[[Backbone, nn.Linear, torch.Tensor], Maps]


def method_of(backbone: Backbone) -> MapMethod | None:
    """Return how maps of a backbone are drawn; None where neither method applies."""
    if _attentions(backbone):
        return ATTENTION_ROLLOUT
    return GRAD_CAM if _poolings(backbone) else None


def grad_cam(backbone: Backbone, head: nn.Linear, images: torch.Tensor) -> Maps:
    """Return where the last feature map before global pooling raises the logit of the event.

    Each channel is weighted by the mean gradient of the logit over its places, the weighted sum
    is kept where it is positive (Selvaraju et al. 2017, ICCV, equations 1 and 2).

    Args:
        backbone: A backbone, adapted or not, in evaluation mode.
        head: Its head, on raw features.
        images: uint8 [B, 1, S, S] on the backbone's device.
    """
    seen: list[torch.Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        seen.append(inputs[0].detach().requires_grad_())
        return (seen[-1], *inputs[1:])

    handles = [module.register_forward_pre_hook(keep) for module in _poolings(backbone)]
    try:
        with torch.enable_grad():
            logits = head(backbone.features(images)).squeeze(1)
            # The images of a batch do not touch each other: the sum's gradient is that of each.
            (gradient,) = torch.autograd.grad(logits.sum(), seen[-1])
    finally:
        for handle in handles:
            handle.remove()
    features = seen[-1].detach()
    if features.shape[1] != backbone.entry.feature_dim:  # Swin has the channels last
        features, gradient = features.movedim(-1, 1), gradient.movedim(-1, 1)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * features).sum(dim=1).relu().float(), logits.detach()


def attention_rollout(backbone: Backbone, head: nn.Linear, images: torch.Tensor) -> Maps:
    """Return how much of each patch attention carries to what the head reads.

    The attention of each layer is averaged over its heads, half of it is the residual connection,
    and the layers are multiplied (Abnar and Zuidema 2020, ACL, section 3). The head reads the
    class token, the mean of the patch tokens or what an attention pooling made of them, and so
    does the map.

    Args:
        backbone: A transformer, adapted or not, in evaluation mode.
        head: Its head, on raw features.
        images: uint8 [B, 1, S, S] on the backbone's device.
    """
    network = cast(Any, _plain(backbone))
    pooled: list[torch.Tensor] = []
    layers: list[torch.Tensor] = []
    handles = [
        own.attn_drop.register_forward_hook(lambda _module, _inputs, output: layers.append(output))
        for own in _attentions(backbone)
    ]
    pooling = getattr(network, "attn_pool", None)
    if pooling is not None:
        handles.append(
            pooling.register_forward_pre_hook(
                lambda module, inputs: pooled.append(_pooling_weights(module, inputs[0]))
            )
        )
    try:
        with torch.no_grad(), _attention_in_sight(_attentions(backbone)):
            logits = head(backbone.features(images)).squeeze(1)
    finally:
        for handle in handles:
            handle.remove()
    tokens = layers[0].shape[-1]
    flow = torch.eye(tokens, device=images.device).expand(len(images), -1, -1)
    for attention in layers:
        mixed = attention.float().mean(dim=1) + torch.eye(tokens, device=images.device)
        flow = mixed / mixed.sum(dim=-1, keepdim=True) @ flow
    prefix = int(getattr(network, "num_prefix_tokens", 0))
    if pooled:
        read = pooled[0].float()
        first = tokens - read.shape[1]  # an attention pooling may pass over the prefix
        read = (read[:, None, :] @ flow[:, first:, :])[:, 0]
    else:
        read = _read_tokens(backbone, flow, prefix, str(getattr(network, "global_pool", "token")))
    side = round((tokens - prefix) ** 0.5)
    return read[:, prefix:].reshape(len(images), side, side), logits


def _read_tokens(backbone: Backbone, flow: torch.Tensor, prefix: int, pool: str) -> torch.Tensor:
    """Return of what the tokens that the head reads are made, [B, tokens]."""
    entry = backbone.entry
    if entry.class_token and (pool == "token" or entry.blocks > 1 or entry.patches):
        own = flow[:, 0]
        return (own + flow[:, prefix:].mean(dim=1)) / 2 if entry.patches else own
    return flow[:, prefix:].mean(dim=1) if pool != "token" else flow[:, 0]


@contextmanager
def _attention_in_sight(attentions: list[Any]) -> Iterator[None]:
    """Have attentions computed step by step, where fused kernels never show them."""
    before = [own.fused_attn for own in attentions]
    for own in attentions:
        own.fused_attn = False
    try:
        yield
    finally:
        for own, fused in zip(attentions, before, strict=True):
            own.fused_attn = fused


def _pooling_weights(pooling: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return how timm's attention pooling weighs tokens [B, N, C], averaged over heads: [B, N]."""
    batch, count, _ = tokens.shape
    heads, size = pooling.num_heads, pooling.head_dim
    query = pooling.q(pooling.latent.expand(batch, -1, -1))
    query = pooling.q_norm(query.reshape(batch, -1, heads, size).transpose(1, 2))
    key = pooling.kv(tokens).reshape(batch, count, 2, heads, size)[:, :, 0].transpose(1, 2)
    weights = (query * pooling.scale @ pooling.k_norm(key).transpose(-2, -1)).softmax(dim=-1)
    return cast(torch.Tensor, weights.mean(dim=(1, 2)))


def _plain(backbone: Backbone) -> nn.Module:
    """Return the network itself, out of an adapter's wrapping."""
    base = getattr(backbone.network, "get_base_model", None)
    return cast(nn.Module, base()) if callable(base) else backbone.network


def _attentions(backbone: Backbone) -> list[Any]:
    """Return the attentions over all tokens, in the order of the layers; none for windows."""
    blocks = getattr(_plain(backbone), "blocks", None)
    if backbone.entry.kind != "vit" or not isinstance(blocks, nn.Sequential | nn.ModuleList):
        return []
    found = [getattr(block, "attn", None) for block in blocks]
    whole = all(hasattr(own, "attn_drop") and hasattr(own, "fused_attn") for own in found)
    return found if whole else []


def _poolings(backbone: Backbone) -> list[nn.Module]:
    """Return the module that pools a feature map over its places, in a list; none without."""
    return [
        module
        for name, module in _plain(backbone).named_modules()
        if name.rpartition(".")[2] == "global_pool"
    ][-1:]


GRAD_CAM = MapMethod(
    "Grad-CAM",
    "Grad-CAM before global pooling: warm where the image raised the predicted risk. Each map has "
    "a scale of its own, and one without any colour means that nothing raised the risk.",
    grad_cam,
)

ATTENTION_ROLLOUT = MapMethod(
    "attention rollout",
    "Attention rollout: warm where attention carried most to what the head reads, whether that "
    "raised the predicted risk or lowered it; the head itself has no part in the map. Each map "
    "has a scale of its own.",
    attention_rollout,
)
