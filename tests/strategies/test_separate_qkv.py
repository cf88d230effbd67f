"""Separated projections: the same features, other modules; and attention that bypasses its qkv."""

from __future__ import annotations

import pytest
import torch
from small_backbones import TRANSFORMERS, backbone_of, random_images
from torch import nn

from prognobench.backbones.separate_qkv import PROJECTIONS, SeparateQKV, separate_qkv, unite_biases


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_separated_projections_leave_the_features_as_they_were(name):
    backbone, images = backbone_of(name), random_images()
    fused = backbone.features(images)
    separate_qkv(backbone)
    assert (backbone.features(images) - fused).abs().max() <= 1e-6
    modules = dict(backbone.network.named_modules())
    found = {role: backbone.modules_of(role) for role in PROJECTIONS}
    width = modules[found["query"][0]].in_features
    assert {len(names) for names in found.values()} == {len(backbone.modules_of("attention_out"))}
    assert all(modules[n].in_features == modules[n].out_features for n in found["query"])
    assert modules[found["query"][0]].weight.shape == (width, width)
    assert sorted(backbone.modules_of("attention_in")) == sorted(
        name for names in found.values() for name in names
    )


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("first, second", [("query", "value"), ("query", "key"), ("key", "value")])
def test_a_swap_of_two_projections_would_be_seen(name, first, second):
    backbone, images = backbone_of(name), random_images()
    fused = backbone.features(images)
    separate_qkv(backbone)
    modules = dict(backbone.network.named_modules())
    for one, other in zip(backbone.modules_of(first), backbone.modules_of(second), strict=True):
        kept = modules[one].weight.detach().clone()
        modules[one].weight.data.copy_(modules[other].weight)
        modules[other].weight.data.copy_(kept)
    assert (backbone.features(images) - fused).abs().max() > 1e-3


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_each_role_is_the_projection_of_its_name(name):
    """An attention with its values at zero gives nothing; with its queries at zero it averages."""
    backbone, images = backbone_of(name), random_images()
    separate_qkv(backbone)
    modules = dict(backbone.network.named_modules())
    outputs = [backbone.network.get_submodule(n) for n in backbone.modules_of("attention_out")]
    seen: list[torch.Tensor] = []
    for layer in outputs:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for value in backbone.modules_of("value"):
        modules[value].weight.data.zero_()
        if modules[value].bias is not None:
            modules[value].bias.data.zero_()
    for norm in (m for n, m in backbone.network.named_modules() if n.endswith("attn.norm")):
        if isinstance(norm, nn.LayerNorm):
            norm.bias.data.zero_()
    backbone.features(images)
    assert max(tensor.abs().max() for tensor in seen) == 0


def test_separating_again_changes_nothing():
    backbone = backbone_of("vit")
    separate_qkv(backbone)
    network, roles = backbone.network, backbone.entry.roles
    before = [name for name, _ in network.named_modules()]
    separate_qkv(backbone)
    assert [name for name, _ in backbone.network.named_modules()] == before
    assert backbone.entry.roles == roles


def test_what_is_no_fused_projection_is_refused():
    backbone = backbone_of("vit")
    backbone.network.blocks[0].attn.qkv = nn.Linear(48, 100)
    with pytest.raises(ValueError, match=r"blocks\.0\.attn\.qkv .* no fused linear projection"):
        separate_qkv(backbone)


@pytest.mark.parametrize("name", ["eva", "beit", "swin_v2"])
def test_attention_that_passes_by_its_projection_is_mended(name):
    """timm reads ``qkv.weight`` there: a hook on the module shows whether it is called."""
    images = random_images()

    def calls(backbone):
        seen = []
        for layer in backbone.modules_of("attention_in"):
            module = backbone.network.get_submodule(layer)
            module.register_forward_hook(lambda *_: seen.append(1))
        features = backbone.features(images)
        return len(seen), features

    number = len(backbone_of(name).modules_of("attention_in"))
    untouched, expected = calls(backbone_of(name))
    assert untouched == 0
    for mend in (unite_biases, separate_qkv):
        backbone = backbone_of(name)
        mend(backbone)
        called, features = calls(backbone)
        assert called == (number if mend is unite_biases else 3 * number)
        assert (features - expected).abs().max() <= 1e-6
    assert any(p.abs().max() > 0 for n, p in backbone_of(name).named_parameters() if "q_bias" in n)


def test_weights_keep_whether_they_are_trained():
    fused = nn.Linear(6, 18)
    assert all(p.requires_grad for p in SeparateQKV(fused, fused.bias.chunk(3)).parameters())
    fused.requires_grad_(False)
    assert not any(p.requires_grad for p in SeparateQKV(fused, fused.bias.chunk(3)).parameters())
