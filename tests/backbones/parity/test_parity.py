"""Conversions: the source library's model with random weights, saved as published, gives the same
features through the catalog's own loading; and a wrong conversion would be seen."""

from __future__ import annotations

import dataclasses
import re
import runpy
import zipfile
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from prognobench.backbones import catalog
from prognobench.backbones.backbone import load_backbone
from prognobench.backbones.conversions import transformers as conversions
from prognobench.backbones.conversions.names import renamed
from prognobench.backbones.entry import LocalFile
from prognobench.backbones.fetch import local_copy
from prognobench.errors import UserError

transformers = pytest.importorskip("transformers")

ROOT = Path(__file__).parents[3]
SMALL_VIT = {"embed_dim": 64, "depth": 3, "num_heads": 4}
SMALL_SWIN = {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8)}


def randomised(model):
    """Give every tensor other values, LayerScale and normalisations among them."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=random)
            if "running_var" in name:
                tensor.copy_(1 + 0.2 * noise.abs())
            elif tensor.ndim > 1:
                tensor.copy_(noise * (2 / max(tensor[0].numel(), 1)) ** 0.5)
            else:
                tensor.copy_((0.0 if name.endswith("bias") else 1.0) + 0.2 * noise)
    return model.eval()


def images(size, count=2):
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=random)


def pixels(entry, batch):
    channels = len(entry.mean)
    mean, std = (torch.tensor(v).view(1, channels, 1, 1) for v in (entry.mean, entry.std))
    return (batch.float().repeat(1, channels, 1, 1) / 255 - mean) / std


def published(model, folder):
    """Return the tensors as the library writes them to the hub, under the published names."""
    model.save_pretrained(folder / "saved")
    return load_file(folder / "saved" / "model.safetensors")


def clip(folder, vision):
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 20}  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    model = randomised(transformers.CLIPModel(config))
    torch.save(published(model, folder), folder / "pytorch_model.bin")
    # The feature is the class token after the last normalisation, before the projection.
    return folder / "pytorch_model.bin", lambda x: model.vision_model(x).pooler_output


def pubmedclip(folder):
    vision = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3,
              "num_attention_heads": 4, "patch_size": 32, "image_size": 224}  # fmt: skip
    return *clip(folder, vision), {"architecture_options": SMALL_VIT, "feature_dim": 64}


def rad_dino(folder):
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, patch_size=14, image_size=518
    )
    model = randomised(transformers.Dinov2Model(config))
    path = folder / "backbone_compatible.safetensors"
    save_file(published(model, folder), path)
    return path, lambda x: model(x).pooler_output, {
        "architecture_options": SMALL_VIT, "feature_dim": 64}  # fmt: skip


def zipped(folder, state, name):
    torch.save(state, folder / "pytorch_model.bin")
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.write(folder / "pytorch_model.bin", "pytorch_model.bin")
    return folder / name


def dual(vision, extra):
    text = {"text_model.model.embeddings.word_embeddings.weight": torch.zeros(3, 2)}
    return {**{f"vision_model.{k}": v for k, v in vision.items()}, **text, **extra}


def medclip_vit(folder):
    config = transformers.SwinConfig(
        embed_dim=12, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], image_size=224
    )
    model = randomised(transformers.SwinModel(config))
    vision = {f"model.{k}": v for k, v in published(model, folder).items()}
    vision["projection_head.weight"] = torch.zeros(512, 96)
    state = dual(vision, {"logit_scale": torch.zeros(())})
    path = zipped(folder, state, "medclip-vit-pretrained.zip")
    return path, lambda x: model(x).pooler_output, {
        "architecture_options": SMALL_SWIN, "feature_dim": 96}  # fmt: skip


def medclip_resnet50(folder):
    model = torchvision.models.resnet50()
    model.fc = torch.nn.Linear(2048, 512, bias=False)
    randomised(model)
    vision = {f"model.{k}": v for k, v in model.state_dict().items()}
    path = zipped(folder, dual(vision, {}), "medclip-pretrained.zip")
    model.fc = torch.nn.Identity()
    return path, model, {}


def biomedclip(folder):
    open_clip = pytest.importorskip("open_clip")
    vision = {"timm_model_name": "vit_base_patch16_224", "timm_model_pretrained": False,
              "timm_pool": "", "timm_proj": "linear", "image_size": 224}  # fmt: skip
    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    model = randomised(open_clip.model.CustomTextCLIP(8, vision, text))
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    # Before the linear projection to the space shared with texts.
    return folder / "open_clip_pytorch_model.bin", model.visual.trunk, {}


def medsiglip(folder):
    config = transformers.SiglipVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        image_size=56, patch_size=14,
    )  # fmt: skip
    model = randomised(transformers.SiglipVisionModel(config))
    state = {
        (k if k.startswith("vision_model.") else f"vision_model.{k}"): v.contiguous()
        for k, v in published(model, folder).items()
    }
    save_file(state | {"text_model.head.weight": torch.zeros(2)}, folder / "model.safetensors")
    options = {**SMALL_VIT, "img_size": 56, "act_layer": "gelu_tanh", "mlp_ratio": 4.0}
    return folder / "model.safetensors", lambda x: model(x).pooler_output, {
        "architecture_options": options, "feature_dim": 64, "input_size": 56}  # fmt: skip


def xrv_densenet121(folder):
    xrv = pytest.importorskip("torchxrayvision")
    model = randomised(xrv.models.DenseNet(num_classes=18, in_channels=1, weights=None))
    torch.save(model, folder / "published.pt")
    tool = runpy.run_path(str(ROOT / "tools" / "convert_xrv.py"))
    tool["convert"](folder / "published.pt", folder / "xrv.safetensors")
    return folder / "xrv.safetensors", model.features2, {}


def saved(state, folder):
    save_file({key: value.contiguous() for key, value in state.items()},
              folder / "model.safetensors")  # fmt: skip
    return folder / "model.safetensors"


def in_timm_names(convert, make, options):
    """The source library's model, brought into timm's names as the timm hub has it."""

    def made(folder):
        model, feature, more = make()
        return saved(convert(published(model, folder)), folder), feature, {**options, **more}

    return made


def clip_vision(patch):
    def make():
        config = transformers.CLIPVisionConfig(
            hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
            patch_size=patch, image_size=224,
        )  # fmt: skip
        model = randomised(transformers.CLIPVisionModel(config))
        return model, lambda x: model(x).pooler_output, {}

    return make


def dinov2_model():
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, patch_size=14, image_size=518
    )
    model = randomised(transformers.Dinov2Model(config))
    return model, lambda x: model(x).pooler_output, {}


def siglip_model():
    config = transformers.SiglipVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        image_size=224, patch_size=16, hidden_act="gelu_pytorch_tanh",
    )  # fmt: skip
    model = randomised(transformers.SiglipVisionModel(config))
    return model, lambda x: model(x).pooler_output, {}


def dinov3_model():
    config = transformers.DINOv3ViTConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=2,
        image_size=256, patch_size=16, num_register_tokens=4,
        query_bias=False, value_bias=False,
    )  # fmt: skip
    model = randomised(transformers.DINOv3ViTModel(config))
    return model, lambda x: model(x).pooler_output, {}


def dinov3_names(state):
    """timm's names of a DINOv3, for this test only: its hub has them so already."""
    rules = (
        (r"^(model\.)?embeddings\.cls_token$", "cls_token"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
        (r"^(model\.)?layer\.", "blocks."),
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.attention\.", ".attn."),
        (r"\.layer_scale1\.lambda1$", ".gamma_1"),
        (r"\.layer_scale2\.lambda1$", ".gamma_2"),
        (r"\.mlp\.up_proj\.", ".mlp.fc1."),
        (r"\.mlp\.down_proj\.", ".mlp.fc2."),
    )
    own = renamed(state, rules, dropped=r"embeddings\.mask_token|rope_embeddings\..*")
    for key in [key for key in own if key.endswith(".q_proj.weight")]:
        block = key.removesuffix("q_proj.weight")
        own[f"{block}qkv.weight"] = torch.cat(
            [own.pop(f"{block}{part}_proj.weight") for part in "qkv"]
        )
    return own


def eva_x_small(folder):
    """The authors' class is timm's Eva; their file is that of masked image modelling."""
    from timm.models.eva import Eva

    network = randomised(
        Eva(img_size=224, patch_size=16, embed_dim=96, depth=3, num_heads=3, mlp_ratio=8 / 3,
            swiglu_mlp=True, use_rot_pos_emb=True, ref_feat_shape=(14, 14), num_classes=0)
    )  # fmt: skip
    state = {key.replace("fc_norm.", "norm."): value for key, value in network.state_dict().items()}
    state |= {"mask_token": torch.zeros(1, 1, 96), "lm_head.weight": torch.zeros(8, 96),
              "lm_head.bias": torch.zeros(8)}  # fmt: skip
    path = folder / "eva_x_small_patch16_merged520k_mim.pt"
    torch.save({"model": state, "epoch": 3}, path)
    options = {"patch_size": 16, "ref_feat_shape": (14, 14), "embed_dim": 96, "depth": 3,
               "num_heads": 3}  # fmt: skip
    return path, network, {"architecture_options": options, "feature_dim": 96}


def biovil_t(folder):
    """The trunk of the multi-image encoder, which is torchvision's ResNet-50."""
    model = randomised(torchvision.models.resnet50())
    state = {f"encoder.encoder.{key}": value for key, value in model.state_dict().items()}
    state |= {"encoder.backbone_to_vit.weight": torch.zeros(2), "encoder.missing_previous_emb":
              torch.zeros(2), "projector.model.0.weight": torch.zeros(2)}  # fmt: skip
    torch.save(state, folder / "biovil_t_image_model_proj_size_128.pt")
    model.fc = torch.nn.Identity()
    crop = torchvision.transforms.CenterCrop(448)
    return folder / "biovil_t_image_model_proj_size_128.pt", lambda x: model(crop(x)), {}


def ark_plus(folder):
    """A Swin as an older timm saved it: a downsampling at the end of the stage it leaves."""
    model = randomised(
        transformers.SwinModel(transformers.SwinConfig(
            embed_dim=12, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], image_size=192,
            window_size=6,
        ))
    )  # fmt: skip
    state = {}
    for key, value in conversions.swin(published(model, folder)).items():
        stage = re.match(r"layers\.(\d)\.downsample", key)
        name = key if stage is None else f"layers.{int(stage[1]) - 1}.downsample" + key[19:]
        state[f"module.{name}"] = value
    state |= {"module.omni_heads.0.weight": torch.zeros(2, 96),
              "module.projector.weight": torch.zeros(2, 96),
              "module.layers.0.blocks.1.attn_mask": torch.zeros(2)}  # fmt: skip
    torch.save({"teacher": state, "epoch": 50}, folder / "Ark6_swinLarge768_ep50.pth.tar")
    options = {**SMALL_SWIN, "img_size": 192, "window_size": 6}
    return folder / "Ark6_swinLarge768_ep50.pth.tar", lambda x: model(x).pooler_output, {
        "architecture_options": options, "feature_dim": 96, "input_size": 192}  # fmt: skip


def convnext_tiny(folder):
    model = randomised(torchvision.models.convnext_tiny())
    places = {1: 0, 3: 1, 5: 2, 7: 3}
    state = {}
    for key, value in model.state_dict().items():
        name = re.sub(r"^features\.0\.", "stem.", key)
        name = re.sub(r"^features\.([246])\.",
                      lambda m: f"stages.{int(m[1]) // 2}.downsample.", name)  # fmt: skip
        name = re.sub(r"^features\.([1357])\.(\d+)\.",
                      lambda m: f"stages.{places[int(m[1])]}.blocks.{m[2]}.", name)  # fmt: skip
        for old, new in {
            "block.0.": "conv_dw.", "block.2.": "norm.", "block.3.": "mlp.fc1.",
            "block.5.": "mlp.fc2.", "layer_scale": "gamma", "classifier.0.": "head.norm.",
            "classifier.2.": "head.fc.",
        }.items():  # fmt: skip
            name = name.replace(old, new)
        state[name] = value.flatten() if name.endswith("gamma") else value
    model.classifier[2] = torch.nn.Identity()
    return saved(state, folder), model, {}


def torchvision_network(name):
    def make(folder):
        model = randomised(getattr(torchvision.models, name)())
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        head = "classifier" if name == "densenet121" else "fc"
        setattr(model, head, torch.nn.Identity())
        return folder / "model.safetensors", model, {}

    return make


SMALL = {"architecture_options": SMALL_VIT, "feature_dim": 64}
SMALL_EVA = {
    "architecture_options": {**SMALL_VIT, "num_heads": 2, "global_pool": "token"},
    "feature_dim": 64,
}
PUBLISHED = {
    "clip_vitl14": in_timm_names(conversions.clip, clip_vision(14), SMALL),
    "clip_vitb16": in_timm_names(conversions.clip, clip_vision(16), SMALL),
    "dinov2_vits14": in_timm_names(conversions.dinov2, dinov2_model, SMALL),
    "siglip2_vitb16": in_timm_names(
        conversions.siglip,
        siglip_model,
        {"architecture_options": {**SMALL_VIT, "act_layer": "gelu_tanh"}, "feature_dim": 64},
    ),
    "dinov3_vits16": in_timm_names(dinov3_names, dinov3_model, SMALL_EVA),
    "eva_x_small": eva_x_small,
    "biovil_t": biovil_t,
    "ark_plus": ark_plus,
    "convnext_tiny": convnext_tiny,
    "pubmedclip": pubmedclip,
    "rad_dino": rad_dino,
    "medclip_vit": medclip_vit,
    "medclip_resnet50": medclip_resnet50,
    "biomedclip": biomedclip,
    "medsiglip": medsiglip,
    "xrv_densenet121": xrv_densenet121,
    "resnet18": torchvision_network("resnet18"),
    "resnet50": torchvision_network("resnet50"),
    "densenet121": torchvision_network("densenet121"),
}


def loaded(name, path, changes):
    entry = catalog.get_entry(name)
    weights = dataclasses.replace(entry.weights, file=local_copy(entry, path))
    entry = dataclasses.replace(entry, weights=weights, **changes)
    return entry, load_backbone(entry)


def difference(entry, backbone, oracle):
    batch = images(entry.image_size)
    with torch.inference_mode():
        expected = oracle(pixels(entry, batch))
        found = backbone.features(batch)
    assert found.shape == expected.shape
    assert expected.std() > 1e-3
    # Relative to the largest feature: random weights make them of any size.
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", PUBLISHED)
def test_features_are_those_of_the_source_library(name, tmp_path):
    path, oracle, changes = PUBLISHED[name](tmp_path)
    entry, backbone = loaded(name, path, changes)
    assert difference(entry, backbone, oracle) <= 1e-5


@pytest.mark.parametrize("name", ["pubmedclip", "rad_dino", "medclip_vit", "medsiglip"])
def test_swapped_projections_would_be_seen(name, tmp_path):
    path, oracle, changes = PUBLISHED[name](tmp_path)
    entry, backbone = loaded(name, path, changes)
    block = backbone.network.get_submodule(backbone.modules_of("attention_in")[0])
    width = block.weight.shape[0] // 3
    with torch.no_grad():
        block.weight.copy_(block.weight.roll(width, 0))
    assert difference(entry, backbone, oracle) > 1e-3


def test_another_activation_or_a_dropped_layer_scale_or_normalisation_would_be_seen(tmp_path):
    path, oracle, changes = pubmedclip(tmp_path)
    plain = {"architecture": "vit_base_patch32_clip_224"}
    entry, backbone = loaded("pubmedclip", path, {**changes, **plain})
    assert difference(entry, backbone, oracle) > 1e-3
    entry, backbone = loaded("pubmedclip", path, {**changes, "mean": (0.5, 0.5, 0.5)})
    right = catalog.get_entry("pubmedclip")
    assert difference(right, backbone, oracle) > 1e-3
    path, oracle, changes = rad_dino(tmp_path)
    entry, backbone = loaded("rad_dino", path, changes)
    with torch.no_grad():
        backbone.network.blocks[0].ls1.gamma.fill_(1.0)
    assert difference(entry, backbone, oracle) > 1e-3


@pytest.mark.parametrize(("name", "other"), [("pubmedclip", "rad_dino"), ("resnet50", "resnet18")])
def test_the_file_of_another_model_is_refused_with_its_keys(name, other, tmp_path):
    path, _, _ = PUBLISHED[other](tmp_path)
    with pytest.raises(UserError, match=f"does not fit {name}: missing"):
        loaded(name, path, {})


def test_a_missing_projection_is_refused_by_name(tmp_path):
    path, _, changes = pubmedclip(tmp_path)
    state = torch.load(path, weights_only=True)
    del state["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"missing blocks.1.attn.qkv.bias"):
        loaded("pubmedclip", path, changes)


def test_another_input_size_interpolates_the_position_embeddings(tmp_path):
    path, _, changes = rad_dino(tmp_path)
    entry = catalog.get_entry("rad_dino", 224)
    weights = dataclasses.replace(entry.weights, file=LocalFile(path))
    backbone = load_backbone(dataclasses.replace(entry, weights=weights, **changes))
    assert backbone.network.pos_embed.shape[1] == 16 * 16 + 1
    with torch.inference_mode():
        assert backbone.features(images(224)).shape == (2, 64)
    with pytest.raises(UserError, match="no multiple"):
        catalog.get_entry("rad_dino", 225)
