"""``prognobench doctor``: what this machine has, what is missing, how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import typer

from prognobench.cli.options import JsonOption

LEAST_FREE = 2e9
"""Bytes of free disk below which a benchmark is likely to fail."""

EXTRAS = {
    "ray": ("ray", "several machines"),
    "psycopg": ("postgres", "several drivers that share results"),
    "mlflow-skinny": ("mlflow", "run --sink mlflow"),
    "wandb": ("wandb", "run --sink wandb"),
}
"""Packages that are only needed for something, with the extra that brings them and for what."""

COMPRESSIONS = {
    "JPEG": "1.2.840.10008.1.2.4.50",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
    "RLE": "1.2.840.10008.1.2.5",
}
"""Transfer syntaxes that radiographs come in."""


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, what is missing, and how to mend it.

    Exit code 0: everything is in place. 1: something is missing.
    """
    checks = list(_checks())
    if as_json:
        print(json.dumps(checks, indent=2))
    else:
        from prognobench.cli.console import results_console
        from prognobench.cli.tables import print_table

        rows = [{**check, "ok": "ok" if check["ok"] else "MISSING"} for check in checks]
        print_table(results_console(), rows)
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


def _checks() -> Iterator[dict[str, Any]]:
    """Yield every check; one that breaks is itself a finding, and the others go on."""
    groups: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "packages": _packages,
        "machine": _machine,
        "DICOM": _compressions,
        "cache": _cache,
        "weights": _weights,
    }
    for name, group in groups.items():
        try:
            yield from group()
        except Exception as error:  # whatever is broken here is what is looked for
            found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            advice = "install prognobench anew in a fresh environment, see the README"
            yield _check(name, False, found, advice)


def _packages() -> Iterator[dict[str, Any]]:
    import platform
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    yield _check("prognobench", True, version("prognobench"))
    yield _check("python", True, platform.python_version())
    for line in requires("prognobench") or ():
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        advice = f"pip install '{needed.name}{needed.specifier}'"
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield _check(needed.name, False, "not installed", advice)
            continue
        fits = needed.specifier.contains(found, prereleases=True)
        told = found if fits else f"{found}, where {needed.specifier} is needed"
        yield _check(needed.name, fits, told, advice)
    for package, (extra, purpose) in EXTRAS.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = f"not installed, only for {purpose}: pip install 'prognobench[{extra}]'"
        yield _check(package, True, found)


def _machine() -> Iterator[dict[str, Any]]:
    import os
    import shutil
    from pathlib import Path

    from prognobench.execution.environment import choose_device, describe_environment

    try:
        import torchvision

        yield _check("torch with torchvision", True, torchvision.__version__)
    except (ImportError, RuntimeError) as error:
        advice = "install torch and torchvision together, from the same place"
        yield _check("torch with torchvision", False, str(error), advice)
    about = describe_environment(choose_device("auto"))
    yield _check("device", True, f"{about['device']}: {about['device_name']}")
    yield _check("cores", True, str(about["cores"]))
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield _check("memory", True, f"{memory / 1e9:.0f} GB")
    free = shutil.disk_usage(Path.cwd()).free
    advice = "make room, or name a folder on another disk with --output"
    yield _check("free disk here", free > LEAST_FREE, f"{free / 1e9:.1f} GB", advice)


def _compressions() -> Iterator[dict[str, Any]]:
    from pydicom.pixels.decoders.base import get_decoder

    for name, syntax in COMPRESSIONS.items():
        ready = get_decoder(syntax).is_available
        advice = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        yield _check(f"DICOM in {name}", ready, "readable" if ready else "no decoder", advice)


def _cache() -> Iterator[dict[str, Any]]:
    import shutil

    from prognobench.errors import UserError
    from prognobench.files import atomic_path, lasting_cache_folder

    try:
        folder = lasting_cache_folder()
        with atomic_path(folder / "doctor.txt") as temporary:
            temporary.write_text("ok")
    except (UserError, OSError) as error:
        yield _check("cache", False, str(error), "set PROGNOBENCH_CACHE to a folder of your own")
        return
    free = shutil.disk_usage(folder).free
    told = f"{folder}, {free / 1e9:.1f} GB free"
    advice = "make room, or set PROGNOBENCH_CACHE to a folder on another disk"
    yield _check("cache", free > LEAST_FREE, told, advice)


def _weights() -> Iterator[dict[str, Any]]:
    from prognobench.backbones.backbone import load_backbone
    from prognobench.backbones.catalog import CATALOG
    from prognobench.backbones.fetch import on_disk
    from prognobench.errors import UserError

    for entry in CATALOG:
        if not on_disk(entry):
            advice = f"not fetched yet: prognobench pull {entry.name}"
            yield _check(f"weights of {entry.name}", True, advice)
            continue
        try:
            load_backbone(entry)
            yield _check(f"weights of {entry.name}", True, "verified")
        except UserError as error:
            yield _check(f"weights of {entry.name}", False, str(error), "see left")


def _check(name: str, ok: bool, found: str, advice: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "advice": "" if ok else advice}
