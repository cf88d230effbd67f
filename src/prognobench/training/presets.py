"""Presets: values that stand where a benchmark file gives none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER_RECIPE: Mapping[str, Any] = {
    "epochs": 1000,
    "warmup": 0.05,  # 50 of 1000 epochs
    "patience": 100,
    "schedule": "plateau",
    "plateau_patience": 25,
    "head_lr": 1e-3,
    "validation_score": "loss",
    "loss": "cross_entropy",
    "imbalance": "class_weights",
}
"""Values of the authors of Ruffini et al. 2025 (arXiv 2506.18434), as far as they are known.

From their configuration of May 2025: epochs, warm-up, early stopping, the schedule with its
patience, and the head's learning rate. Not known, and left at our defaults: the optimiser, the
augmentation, the plateau's factor (0.75 is that of their earlier code, MDMT 2024), the steps of
few-shot training. The batch size (32, 64 or 128, by cohort) is for the benchmark file to say.
"""

PAPER_STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "full": {"lr": 1e-5},
    # Their heads are trained as in DINOv2's linear evaluation, for three learning rates at once.
    "linear": {"lr": [1e-2, 1e-3, 1e-4]},
    "lora": {
        "lr": 1e-4,
        "r": [4, 8, 16],
        "lora_alpha": 1,
        "lora_dropout": 0.1,
        "target_modules": ["attention_in", "mlp_in", "mlp_out", "convolution"],
    },
    "vera": {
        "lr": 1e-4,
        "r": [4, 8, 16],
        "vera_dropout": 0.1,
        "target_modules": ["attention_in"],
    },
    "bitfit": {"lr": 1e-4},
    "ia3": {
        "lr": 1e-4,
        "target_modules": ["attention_in", "mlp_in", "mlp_out", "convolution"],
    },
}
"""Their learning rates inside the backbone, ranks, dropout and layers (qkv, fc1 and fc2; for VeRA,
whose layers must be alike, qkv is inferred). Lists of ``lr`` are searched, those of ``r`` expanded,
as in a benchmark file. On convolutional networks they adapted the layers named conv1; ours are the
role ``convolution``. Their VeRA also has an alpha of 4, for which peft has no option.
"""


def fill_in(data: Any) -> Any:
    """Return a benchmark file's data with the values of the preset that its recipe names.

    ``recipe: paper`` and ``recipe: {preset: paper, epochs: 100}`` are understood; what the file
    says itself goes before the preset, key by key. Data of another form are returned as they
    are, for the validation to find fault with.
    """
    if not isinstance(data, Mapping):
        return data
    recipe = data.get("recipe", {})
    if isinstance(recipe, str):
        recipe = {"preset": recipe}
    if not isinstance(recipe, Mapping):
        return data
    filled = {**data, "recipe": dict(recipe)}
    if recipe.get("preset") == "paper":
        filled["recipe"] = {**PAPER_RECIPE, **recipe}
        strategies = data.get("strategies")
        if isinstance(strategies, list | tuple):
            filled["strategies"] = [_strategy(item) for item in strategies]
    return filled


def _strategy(item: Any) -> Any:
    own = {"name": item} if isinstance(item, str) else item
    if not isinstance(own, Mapping) or not isinstance(own.get("name"), str):
        return item
    preset = dict(PAPER_STRATEGIES.get(own["name"], {}))
    if own["name"] == "linear" and {"C", "fixed_C"} & own.keys():
        del preset["lr"]  # a probe that the file wants solved is not trained at the preset's rates
    return {**preset, **own}
