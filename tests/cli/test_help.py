"""Help comes at once: whatever takes long to import stays inside the verbs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "torchvision", "timm", "peft", "pandas", "numpy", "scipy", "sklearn", "sqlalchemy"),
    *("pydicom", "PIL", "omegaconf", "yaml", "rich", "jinja2", "matplotlib", "mlflow", "wandb"),
}

ASK = """
import sys
sys.argv = ["prognobench", *sys.argv[1:]]
from prognobench.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
sys.stderr.write(" ".join(sys.modules))
"""


def loaded_for(*words: str) -> set[str]:
    """Return the top-level modules that a command line has loaded when it ends."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK, *words], capture_output=True, text=True, check=True
    )
    assert "Usage: prognobench" in asked.stdout
    return set(asked.stderr.split())


def test_the_help_loads_nothing_heavy():
    loaded = loaded_for("--help")
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    # Both take longer than our own modules together.
    assert not {"importlib.metadata", "pydantic"} & loaded


@pytest.mark.parametrize("verb", ["run", "export", "doctor", "cohort build"])
def test_the_help_of_a_verb_loads_nothing_heavy(verb):
    loaded = loaded_for(*verb.split(), "--help")
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
