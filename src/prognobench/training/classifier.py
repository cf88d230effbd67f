"""The model of a run: an adapted backbone with a linear head."""

from __future__ import annotations

import copy

import torch
from torch import nn

from prognobench.backbones.backbone import Backbone
from prognobench.randomness import derived_seed
from prognobench.strategies.strategy import Strategy, StrategyOptions
from prognobench.training.dropout import own_masks
from prognobench.training.job import Job


class Trainable(nn.Module):
    """A model that gives one logit and says what training can change."""

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return copies of everything that training can change."""
        raise NotImplementedError


class Classifier(Trainable):
    """An adapted backbone with a linear head that gives one logit."""

    def __init__(self, backbone: Backbone, strategy: Strategy) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.entry.feature_dim, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._trains_normalisation = strategy.trains_normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the float32 logits [B] of uint8 images [B, 1, S, S].

        The head is computed in float32 always: bfloat16 would leave logits three digits.
        """
        features = self.backbone.features(images)
        with torch.autocast(features.device.type, enabled=False):
            logits: torch.Tensor = self.head(features).squeeze(1)
        return logits

    def train(self, mode: bool = True) -> Classifier:
        """Set training mode; statistics of a frozen backbone's normalisation never move."""
        super().train(mode)
        if mode and not self._trains_normalisation:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return copies of the trained parameters and of statistics that move."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        if self._trains_normalisation:
            trained |= {name for name, _ in self.named_buffers()}
        state = self.state_dict()
        return {name: state[name].detach().clone() for name in trained & state.keys()}


def build_classifier(
    job: Job, backbone: Backbone, strategy: Strategy, options: StrategyOptions
) -> Classifier:
    """Return an adapted copy of a backbone with a random head: the state training starts from.

    Every random draw is derived from ``job.run``, those of its dropout included.

    Args:
        job: The run's data.
        backbone: The frozen backbone; it is not changed.
        strategy: How it is adapted. Where it can train together with others, the copy shares the
            memory of all weights that it does not train.
        options: The strategy's options.
    """
    device = backbone.mean.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(job.run, "initialisation"))
        shares = strategy.trains_together(options)
        adapted = _same_memory(backbone) if shares else copy.deepcopy(backbone)
        strategy.attach(adapted, options)
        model = Classifier(adapted, strategy).to(device)
    if shares:
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.clone()
    own_masks(model, derived_seed(job.run, "dropout"), device)
    return model


def _same_memory(backbone: Backbone) -> Backbone:
    """Return a copy whose modules and parameters are its own, and whose tensors are not."""
    memo: dict[int, object] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False) for p in backbone.parameters()
    }
    memo |= {id(buffer): buffer.detach() for buffer in backbone.buffers()}
    return copy.deepcopy(backbone, memo)
