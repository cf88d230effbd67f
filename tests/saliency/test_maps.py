"""Maps against independent libraries, and on images where the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from prognobench.backbones import catalog
from prognobench.backbones.backbone import Backbone, create_network, load_backbone
from prognobench.backbones.conversions import transformers as conversions
from prognobench.saliency.maps import attention_rollout, grad_cam, method_of
from prognobench.saliency.sanity import randomised
from prognobench.strategies.strategy import get_strategy

transformers = pytest.importorskip("transformers")

SMALL_VIT = {"embed_dim": 64, "depth": 3, "num_heads": 4}


def images(size, count=2):
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=random)


def head_of(features):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Linear(features, 1).requires_grad_(False)


class Classifier(nn.Module):
    """Backbone and head as captum wants them."""

    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, batch):
        return self.head(self.backbone.features(batch.to(torch.uint8)))


def cnn(name):
    entry = catalog.get_entry(name)
    if entry.flexible_input:
        entry = dataclasses.replace(entry, input_size=96)
    backbone, head = randomised(entry, (name,))
    # Without statistics of its own a deep network at random weights gives next to nothing.
    backbone.train()
    with torch.no_grad():
        backbone.features(images(entry.image_size, 4))
    backbone.eval()
    batch = images(entry.image_size)
    if float(grad_cam(backbone, head, batch)[0].max()) == 0:
        head.weight.neg_()  # nothing raised this logit: look at the other one
    return backbone, head, batch


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("efficientnet_lite0", "bn2"),
        ("densenet121", "features.norm5"),
        ("convnext_tiny", "stages"),
    ],
)
def test_grad_cam_is_that_of_captum(name, layer):
    backbone, head, batch = cnn(name)
    found, logits = grad_cam(backbone, head, batch)
    classifier = Classifier(backbone.requires_grad_(True), head)
    oracle = LayerGradCam(classifier, backbone.network.get_submodule(layer))
    expected = oracle.attribute(batch.float(), target=0, relu_attributions=True)[:, 0]
    assert float(found.max()) > 0
    assert torch.allclose(found, expected.detach(), rtol=1e-3, atol=1e-7)
    assert torch.allclose(logits, classifier(batch)[:, 0].detach(), atol=1e-6)


def test_grad_cam_of_a_network_with_channels_last_weighs_channels():
    backbone, head, batch = cnn("medclip_vit")
    found, _ = grad_cam(backbone, head, batch)
    kept = []
    backbone.requires_grad_(True).network.norm.register_forward_hook(
        lambda _module, _inputs, output: (output.retain_grad(), kept.append(output))[1]
    )
    head(backbone.features(batch)).sum().backward()
    (features,) = kept
    weights = features.grad.mean(dim=(1, 2))
    expected = torch.einsum("bhwc,bc->bhw", features, weights).relu()
    assert float(found.max()) > 0
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)


def planted(count, size, side, seed):
    """Noise, and in half of the images a bright finding; its place [row, column] in pixels."""
    random = np.random.default_rng(seed)
    pixels = random.normal(90, 20, (count, 1, size, size))
    places = random.integers(0, size // side, (count, 2)) * side
    targets = np.arange(count) % 2
    for number, (row, column) in enumerate(places):
        if targets[number]:
            pixels[number, 0, row : row + side, column : column + side] += 120
    return torch.tensor(pixels.clip(0, 255).astype(np.uint8)), targets, places


def test_grad_cam_finds_the_planted_finding():
    entry = dataclasses.replace(catalog.get_entry("efficientnet_lite0"), input_size=192)
    backbone = load_backbone(entry)
    pixels, targets, _ = planted(40, 192, 64, seed=1)
    with torch.inference_mode():
        features = backbone.features(pixels).numpy()
    fitted = LogisticRegression(C=0.01, max_iter=500).fit(features, targets)
    head = nn.Linear(entry.feature_dim, 1)
    head.weight.data = torch.tensor(fitted.coef_, dtype=torch.float32)
    head.bias.data = torch.tensor(fitted.intercept_, dtype=torch.float32)
    fresh, targets, places = planted(12, 192, 64, seed=2)
    maps, logits = grad_cam(backbone, head, fresh)
    assert ((logits > 0).numpy() == targets).all()
    shares = []
    for number in np.flatnonzero(targets):
        row, column = places[number] // 32
        own = maps[number]
        inside = own[row : row + 2, column : column + 2]
        shares.append(float(inside.sum() / own.sum()))
        assert inside.max() > 0.9 * own.max()
    # The finding covers a ninth of the image.
    assert np.mean(shares) > 0.3


def by_hand(attentions):
    """Abnar and Zuidema's equation, from what transformers gives."""
    flow = None
    for attention in attentions:
        own = 0.5 * attention.mean(dim=1) + 0.5 * torch.eye(attention.shape[-1])
        own = own / own.sum(dim=-1, keepdim=True)
        flow = own if flow is None else torch.bmm(own, flow)
    return flow


def in_timm(name, model, convert, folder, **changes):
    model.save_pretrained(folder)
    state = convert(load_file(folder / "model.safetensors"))
    entry = dataclasses.replace(catalog.get_entry(name), feature_dim=64, **changes)
    network = create_network(entry)
    network.load_state_dict(state)
    return Backbone(entry, network).requires_grad_(False).eval()


def pixels_of(backbone, batch):
    return (batch.float() - backbone.mean) / backbone.std


@pytest.mark.parametrize(("blocks", "patches"), [(1, False), (2, False), (1, True)])
def test_rollout_is_that_of_the_attentions_of_transformers(blocks, patches, tmp_path):
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, patch_size=14, image_size=518,
        layerscale_value=0.7, initializer_range=0.3, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.Dinov2Model(config).eval()
    backbone = in_timm(
        "dinov2_vits14", model, conversions.dinov2, tmp_path,
        architecture_options=SMALL_VIT, blocks=blocks, patches=patches,
    )  # fmt: skip
    batch = images(518, 1)
    head = head_of(64 * (blocks + patches))
    found, logits = attention_rollout(backbone, head, batch)
    with torch.inference_mode():
        attentions = model(pixels_of(backbone, batch), output_attentions=True).attentions
        assert torch.allclose(logits, head(backbone.features(batch))[:, 0], atol=1e-5)
    flow = by_hand(attentions)
    read = flow[:, 0] if not patches else (flow[:, 0] + flow[:, 1:].mean(dim=1)) / 2
    expected = read[:, 1:].reshape(1, 37, 37)
    assert float(expected.std() / expected.mean()) > 0.05
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-8)
    assert all(block.attn.fused_attn for block in backbone.network.blocks)


def test_rollout_goes_through_an_attention_pooling(tmp_path):
    torch.manual_seed(0)
    config = transformers.SiglipVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        image_size=224, patch_size=16, hidden_act="gelu_pytorch_tanh",
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.SiglipVisionModel(config).eval()
    for own in model.parameters():
        nn.init.normal_(own, std=0.2)
    backbone = in_timm(
        "siglip2_vitb16", model, conversions.siglip, tmp_path,
        architecture_options={**SMALL_VIT, "act_layer": "gelu_tanh"},
    )  # fmt: skip
    batch = images(224)
    found, _ = attention_rollout(backbone, head_of(64), batch)
    vision = getattr(model, "vision_model", model)
    weights = []

    def ask(module, _inputs, keywords):
        keywords["need_weights"] = True
        return _inputs, keywords

    pool = vision.head.attention
    pool.register_forward_pre_hook(ask, with_kwargs=True)
    pool.register_forward_hook(lambda _module, _inputs, output: weights.append(output[1]))
    with torch.inference_mode():
        attentions = model(pixels_of(backbone, batch), output_attentions=True).attentions
    expected = torch.bmm(weights[0], by_hand(attentions)).reshape(2, 14, 14)
    assert float(expected.std() / expected.mean()) > 0.02
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_rollout_finds_the_planted_finding_of_a_transformer_made_to_look_at_it():
    entry = catalog.get_entry("demo_vit")
    backbone, head = randomised(entry, ("planted",))
    network = backbone.network
    width = entry.feature_dim
    with torch.no_grad():
        # The first feature of a patch is its brightness; attention goes where that is high.
        network.pos_embed.zero_()
        network.patch_embed.proj.weight.zero_()
        network.patch_embed.proj.bias.normal_(generator=torch.Generator().manual_seed(0))
        network.patch_embed.proj.weight[0] = 1 / network.patch_embed.proj.weight[0].numel()
        network.patch_embed.proj.bias[0] = 0
        for block in network.blocks:
            block.attn.qkv.weight.zero_()
            block.attn.qkv.bias.zero_()
            block.attn.qkv.bias[:width] = 1  # every query the same
            block.attn.qkv.weight[width : 2 * width, 0] = 1  # keys are the brightness
            block.attn.proj.weight.zero_()  # nothing is added to what a patch is
            block.mlp.fc2.weight.zero_()
    fresh, targets, places = planted(12, 96, 32, seed=3)
    maps, _ = attention_rollout(backbone, head, fresh)
    assert maps.shape == (12, 6, 6)
    for number in np.flatnonzero(targets):
        row, column = places[number] // 16
        own = maps[number]
        share = float(own[row : row + 2, column : column + 2].sum() / own.sum())
        assert share > 2 * 4 / 36
    flat = maps[targets == 0]
    assert float((flat.amax(dim=(1, 2)) / flat.mean(dim=(1, 2))).max()) < 1.5


@pytest.mark.parametrize("strategy", ["lora", "ia3", "full"])
def test_maps_of_an_adapted_transformer_belong_to_its_logit(strategy):
    backbone = load_backbone(catalog.get_entry("demo_vit"))
    own = get_strategy(strategy)
    own.attach(backbone, own.resolve({}, "vit"))
    backbone.eval()
    head = head_of(backbone.entry.feature_dim)
    batch = images(96)
    maps, logits = method_of(backbone).draw(backbone, head, batch)
    with torch.inference_mode():
        assert torch.allclose(logits, head(backbone.features(batch))[:, 0], atol=1e-5)
    assert torch.allclose(maps.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)


def test_the_method_goes_by_what_the_network_has():
    expected = {"medclip_vit": "Grad-CAM", "ark_plus": "Grad-CAM"}
    for name in catalog.backbone_names():
        entry = catalog.get_entry(name)
        with torch.device("meta"):
            backbone = Backbone(entry, create_network(entry))
        kind = "Grad-CAM" if entry.kind == "cnn" else "attention rollout"
        assert method_of(backbone).name == expected.get(name, kind), name
