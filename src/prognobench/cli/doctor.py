"""``prognobench doctor``: what this machine has, what is missing, how to mend it."""

from __future__ import annotations

import json
from typing import Any

import typer

from prognobench.cli.options import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what is missing, and how to mend it.

    Exit code 0: everything is in place. 1: something is missing.

    Example: prognobench doctor --json
    """
    checks = _checks()
    if as_json:
        print(json.dumps(checks, indent=2))
    else:
        from rich.console import Console

        from prognobench.cli.tables import print_table

        rows = [{**check, "ok": "ok" if check["ok"] else "MISSING"} for check in checks]
        print_table(Console(), rows)
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


def _checks() -> list[dict[str, Any]]:
    from prognobench.backbones.backbone import load_backbone
    from prognobench.backbones.catalog import CATALOG
    from prognobench.backbones.fetch import on_disk
    from prognobench.errors import UserError
    from prognobench.execution.environment import choose_device, describe_environment
    from prognobench.files import atomic_path, cache_folder

    environment = describe_environment(choose_device("auto"))
    checks = [
        _check("python", True, environment["python"]),
        _check("device", True, f"{environment['device']}: {environment['device_name']}"),
        _check("cores", True, str(environment["cores"])),
    ]
    for package, version in environment["packages"].items():
        present = version != "not installed"
        checks.append(_check(package, present, version, f"pip install {package}"))
    try:
        import torchvision

        checks.append(_check("torch with torchvision", True, torchvision.__version__))
    except (ImportError, RuntimeError) as error:
        advice = "install torch and torchvision together, from the same place"
        checks.append(_check("torch with torchvision", False, str(error), advice))
    try:
        with atomic_path(cache_folder() / "doctor.txt") as temporary:
            temporary.write_text("ok")
        checks.append(_check("cache", True, str(cache_folder())))
    except (UserError, OSError) as error:
        checks.append(_check("cache", False, str(error), "set PROGNOBENCH_CACHE"))
    for entry in CATALOG:
        if not on_disk(entry):
            advice = f"not fetched yet: prognobench pull {entry.name}"
            checks.append(_check(f"weights of {entry.name}", True, advice))
            continue
        try:
            load_backbone(entry)
            checks.append(_check(f"weights of {entry.name}", True, "verified"))
        except UserError as error:
            checks.append(_check(f"weights of {entry.name}", False, str(error), "see left"))
    return checks


def _check(name: str, ok: bool, found: str, advice: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "advice": "" if ok else advice}
