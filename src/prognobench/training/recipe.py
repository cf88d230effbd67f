"""How training goes: the part of a run's identity that is neither data nor model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ScoreName = Literal["loss", "mcc", "auroc", "pr_auc"]


class Recipe(BaseModel):
    """The recipe of all runs of a benchmark; learning rates inside a backbone are the strategy's.

    The defaults are a synthesis of published recipes (``docs/methods.md`` names them).

    For an ordinal score training minimises the squared error of the score in standard units, and
    for times Cox's partial likelihood; ``validation_score`` is then the loss, whatever it says, and
    ``loss`` and ``imbalance`` have no part.

    Attributes:
        preset: Where the values come from that are not given: see
            :mod:`prognobench.training.presets`. Not part of a run's identity; the values are.
        epochs: Passes over the training part, at most, where there is a validation part.
        few_shot_steps: Optimiser steps, where there is none.
        batch_size: Images a step, at most.
        head_lr: Peak learning rate of the head beside an adapted backbone.
        schedule: ``cosine``: down to 0 over all steps (Loshchilov and Hutter 2017, arXiv
            1608.03983). ``plateau``: multiplied by ``plateau_factor`` when the validation score
            has not improved for ``plateau_patience`` epochs; constant where there is no
            validation part.
        plateau_factor: See ``schedule``.
        plateau_patience: See ``schedule``.
        warmup: Share of the steps in which learning rates rise linearly from 0, in [0, 1).
        patience: Epochs without a better validation score after which training stops, counted
            from the end of the warm-up at the earliest.
        validation_score: What decides on the validation part when to stop, which epoch to keep
            and which learning rate to take: ``loss`` (the expected training loss), or ``mcc``,
            ``auroc``, ``pr_auc`` (average precision) of its patients.
        gradient_clip: Largest norm of the gradient of all trainable parameters.
        loss: ``cross_entropy``, or ``focal`` with gamma 2 (Lin et al. 2017, arXiv 1708.02002).
        imbalance: What is done about a rare class, one thing at a time, since two of them would
            correct twice. ``class_weights``: the loss of each class is weighted by the inverse of
            its frequency. ``balanced_sampling``: batches hold as many images of either class.
            ``logit_adjustment``: the log-odds of the training part are added to the logits in the
            loss (Menon et al. 2021, arXiv 2007.07314, tau 1). ``none``.
        augmentation: ``chest`` for small shifts, rotations, scalings, changes of contrast and
            brightness; ``none``.
        horizontal_flip: Whether half of the training images are mirrored.
        precision: Of training steps: ``float32``, ``bfloat16`` (autocast), or ``auto`` (bfloat16
            where hardware and network suit it). What is judged is always computed in float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: Literal["default", "paper"] = "default"
    epochs: int = Field(default=50, ge=1)
    few_shot_steps: int = Field(default=500, ge=1)
    batch_size: int = Field(default=32, ge=2)
    head_lr: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_factor: float = Field(default=0.75, gt=0, lt=1)
    plateau_patience: int = Field(default=25, ge=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=10, ge=1)
    validation_score: ScoreName = "loss"
    gradient_clip: float = Field(default=1.0, gt=0)
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    imbalance: Literal["class_weights", "balanced_sampling", "logit_adjustment", "none"] = (
        "class_weights"
    )
    augmentation: Literal["chest", "none"] = "chest"
    horizontal_flip: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def identity(self) -> dict[str, Any]:
        """Return everything in the recipe that can change a result, as plain data."""
        return self.model_dump(mode="json", exclude={"preset"})
