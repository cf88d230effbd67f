"""Attaching a strategy and taking a few training steps, as the engine does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from small_backbones import backbone_of, random_images
from torch.nn import functional

from prognobench.backbones.backbone import Backbone
from prognobench.strategies.strategy import Strategy, get_strategy
from prognobench.training.classifier import Classifier

IMAGES = random_images(8)
TARGETS = torch.tensor([0.0, 1.0] * 4)
STEPS = 4


@dataclass
class Adapted:
    """An adapted backbone.

    Attributes:
        backbone: It.
        strategy: How it is adapted.
        frozen: Features of the untouched backbone for ``IMAGES``.
    """

    backbone: Backbone
    strategy: Strategy
    frozen: torch.Tensor

    def trained(self) -> dict[str, torch.nn.Parameter]:
        named = self.backbone.network.named_parameters()
        return {name: p for name, p in named if p.requires_grad}

    def features(self) -> torch.Tensor:
        with torch.no_grad():
            return self.backbone.eval().features(IMAGES)

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all parameters and buffers, those that are not saved too."""
        named = [*self.backbone.named_parameters(), *self.backbone.named_buffers()]
        return {name: tensor.detach().clone() for name, tensor in named}


def attached(name: str, strategy: str, seed: int = 0, **options) -> Adapted:
    backbone, method = backbone_of(name), get_strategy(strategy)
    with torch.no_grad():
        frozen = backbone.features(IMAGES)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method.attach(backbone, method.resolve(options, backbone.entry.kind))
    return Adapted(backbone, method, frozen)


def train(adapted: Adapted, steps: int = STEPS) -> dict[str, float]:
    """Train; return the largest gradient that each trainable tensor ever had, 0 for none."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Classifier(adapted.backbone, adapted.strategy)
        optimiser = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0
        )
        largest: dict[str, float] = {}
        for step in range(1, steps + 1):
            model.train()
            loss = functional.binary_cross_entropy_with_logits(model(IMAGES), TARGETS)
            optimiser.zero_grad()
            loss.backward()
            for name, parameter in adapted.trained().items():
                gradient = 0.0 if parameter.grad is None else float(parameter.grad.abs().max())
                largest[name] = max(largest.get(name, 0.0), gradient)
            optimiser.step()
            if adapted.strategy.after_step:
                adapted.strategy.after_step(adapted.backbone, step, steps)
    return largest
