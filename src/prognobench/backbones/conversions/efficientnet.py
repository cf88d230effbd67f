"""EfficientNet-Lite0 in the naming of EfficientNet-PyTorch."""

from __future__ import annotations

import re

from prognobench.backbones.conversions.names import Tensor

_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage of EfficientNet-Lite0; the checkpoint counts blocks without stages."""

_LITE0_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE0_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def efficientnet_lite0(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint of EfficientNet-Lite0 in the naming of EfficientNet-PyTorch.

    Names that are not of that form are kept, so that loading names them as unexpected.

    Args:
        state: Tensors such as ``_blocks.3._expand_conv.weight``.

    Returns:
        The same tensors as ``blocks.2.0.conv_pw.weight``.
    """
    places = [
        (stage, block) for stage, blocks in enumerate(_LITE0_STAGES) for block in range(blocks)
    ]
    renamed = {}
    for key, value in state.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        outside = re.fullmatch(r"(\w+)\.(\w+)", key)
        name = key
        if inside and int(inside[1]) < len(places):
            stage, block = places[int(inside[1])]
            # The first block has no expansion, which shifts the numbers of its normalisations.
            names = _LITE0_FIRST_BLOCK if stage == 0 else _LITE0_BLOCK
            if inside[2] in names:
                name = f"blocks.{stage}.{block}.{names[inside[2]]}.{inside[3]}"
        elif outside and outside[1] in _LITE0_OUTSIDE:
            name = f"{_LITE0_OUTSIDE[outside[1]]}.{outside[2]}"
        renamed[name] = value
    return renamed
