"""Linear probing: a logistic regression on the frozen backbone's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from prognobench.strategies.strategy import Strategy, StrategyOptions, anywhere

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone

Positive = Annotated[float, Field(gt=0)]


class LinearOptions(StrategyOptions):
    """Options of linear probing.

    Attributes:
        C: Inverse regularisation strengths (scikit-learn's ``C``, for standardised features).
            The one with the lowest log-loss on the validation part is taken.
        fixed_C: The one taken where there is no validation part (few-shot).
    """

    C: tuple[Positive, ...] = Field(default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1)
    fixed_C: Positive = 1e-2  # noqa: N815  named after scikit-learn's C


def _attach(backbone: Backbone, _: LinearOptions) -> None:
    backbone.network.requires_grad_(False)


STRATEGY = Strategy(
    name="linear",
    title="Linear probing",
    source="Alain and Bengio 2016, arXiv 1610.01644",
    options=LinearOptions,
    defaults={},
    unsuitable=anywhere,
    attach=_attach,
)
