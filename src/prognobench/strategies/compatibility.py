"""The compatibility matrix: every strategy, with its defaults, on every kind of backbone.

A strategy states its own row (``Strategy.cells``); this module has the columns and puts the rows
together. Plans ask ``Strategy.unsuitable``, which knows the options and the one backbone at hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from prognobench.strategies.peft_methods import CELLS
from prognobench.strategies.strategy import PEFT_PREFIX, Cell, get_strategy, strategy_names


def matrix() -> dict[str, Mapping[str, Cell]]:
    """Return the cells of every strategy by the kinds of backbone.

    The last row, ``peft METHOD``, is that of peft's own methods; a strategy of another package
    that states no cells has none.
    """
    rows = {name: get_strategy(name).cells for name in strategy_names()}
    return {**rows, f"{PEFT_PREFIX}METHOD": CELLS}
