"""The house as DESIGN.md draws it: imports point one way, heavy ones stay inside the verbs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import prognobench

SOURCE = Path(prognobench.__file__).parent

ROOMS = [
    "__main__",
    "cli",
    "report",
    "saliency",
    "sinks",
    "export",
    "prediction",
    "execution",
    "audit",
    "plan",
    "spec",
    "regimes",
    "results",
    "evaluation",
    "training",
    "strategies",
    "backbones",
    "splits",
    "images",
    "cohorts",
    "demo",
    "plain_yaml",
    "randomness",
    "own_process",
    "files",
    "errors",
]
"""From above to below: a room may import those after it, never one before it."""


def imported_rooms(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("prognobench.")} & set(ROOMS)


def modules() -> list[tuple[str, Path]]:
    return [
        (path.relative_to(SOURCE).parts[0].removesuffix(".py"), path)
        for path in sorted(SOURCE.rglob("*.py"))
        if path != SOURCE / "__init__.py"
    ]


def test_every_module_stands_in_a_known_room():
    assert {room for room, _ in modules()} == set(ROOMS)


def test_imports_point_down_only():
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for room, path in modules()
        for other in imported_rooms(path)
        if ROOMS.index(other) < ROOMS.index(room)
    ]
    assert not wrong


def test_an_import_upwards_would_be_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from prognobench.report import page\n")
    assert imported_rooms(path) == {"report"}


def test_modules_are_short():
    long = {
        str(path.relative_to(SOURCE)): lines
        for _, path in modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_the_command_line_starts_without_heavy_libraries():
    code = (
        "import sys, prognobench.cli; "
        "heavy = {'torch', 'timm', 'peft', 'pandas', 'numpy', 'sklearn', 'sqlalchemy'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
