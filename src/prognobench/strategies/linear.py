"""Linear probing: a logistic regression on the frozen backbone's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from prognobench.strategies.strategy import KINDS, Cell, Strategy, StrategyOptions, anywhere

if TYPE_CHECKING:
    from prognobench.backbones.backbone import Backbone

Positive = Annotated[float, Field(gt=0)]


class LinearOptions(StrategyOptions):
    """Options of linear probing.

    Attributes:
        C: Inverse regularisation strengths (scikit-learn's ``C``, for standardised features).
            The one with the best validation score is taken, by default the lowest loss.
        fixed_C: The one taken where there is no validation part (few-shot).
        lr: Where it is given, the head is trained by stochastic gradient descent from this peak
            learning rate, as the recipe says, instead of being solved for; ``C`` and ``fixed_C``
            then have no part.
    """

    C: tuple[Positive, ...] = Field(default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1)
    fixed_C: Positive = 1e-2  # noqa: N815  named after scikit-learn's C
    lr: Positive | None = None

    @model_validator(mode="after")
    def _one_way(self) -> LinearOptions:
        if self.lr is not None and self.model_fields_set & {"C", "fixed_C"}:
            raise ValueError("give C for a solved probe or lr for a trained one, not both")
        return self


def _attach(backbone: Backbone, _: LinearOptions) -> None:
    backbone.network.requires_grad_(False)


STRATEGY = Strategy(
    name="linear",
    title="Linear probing",
    source="Alain and Bengio 2016, arXiv 1610.01644",
    options=LinearOptions,
    defaults={},
    cells={kind: Cell(True, "a linear head on the frozen features") for kind in KINDS},
    unsuitable=anywhere,
    attach=_attach,
)
