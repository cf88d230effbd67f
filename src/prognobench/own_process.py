"""Other processes of this program: the same code, one thread each, nothing of the caller's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import prognobench


def own_command(module: str, *given: str) -> list[str]:
    """Return the command that runs a module of this program.

    Neither the caller's main module nor its working folder is imported.

    Args:
        module: The module's full name.
        given: Its arguments.
    """
    return [sys.executable, "-P", "-m", module, *given]


def own_environment() -> dict[str, str]:
    """Return the environment for :func:`own_command`: this code is found, with one thread."""
    home = str(Path(prognobench.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)}
