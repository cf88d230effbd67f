"""prognobench: a benchmark for prognosis from medical images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prognobench.prediction.model import Model

    __version__: str

__all__ = ["__version__", "load_model"]


def load_model(path: str | Path, device: str = "auto", weights: str | Path | None = None) -> Model:
    """Load a model that ``prognobench export`` wrote; nothing in its folder can run code.

    ``load_model("models/demo").predict("images/")`` gives a table with one row an image.

    Args:
        path: The model folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        weights: The file of the backbone's weights, where the folder does not hold them and they
            are not where ``prognobench pull`` puts them.

    Raises:
        UserError: When the folder is not as it was written, or the weights are missing.
    """
    from prognobench.prediction.model import load_model as load

    return load(path, device, weights)


def __getattr__(name: str) -> str:
    """Return the version when it is asked for: looking it up takes longer than ``--help`` may."""
    if name == "__version__":
        from importlib.metadata import version

        return version("prognobench")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
