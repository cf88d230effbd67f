"""The doctor finds what is missing and says how to mend it; nothing broken breaks it."""

from __future__ import annotations

import importlib.metadata
import sys

from prognobench.cli import doctor as module


def found(monkeypatch, groups):
    """Return the checks of some groups by name; the others are left out."""
    for name in {"_packages", "_machine", "_compressions", "_cache", "_weights"} - groups:
        monkeypatch.setattr(module, name, lambda: iter(()))
    return {check["name"]: check for check in module._checks()}


def test_a_missing_and_an_old_package_are_named_with_what_to_install(monkeypatch):
    known = importlib.metadata.version

    def version(name):
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.3.1" if name == "pydicom" else known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    checks = found(monkeypatch, {"_packages"})
    assert [name for name, check in checks.items() if not check["ok"]] == ["pydicom", "timm"]
    assert checks["timm"]["advice"].startswith("pip install 'timm")
    assert checks["pydicom"]["found"] == "2.3.1, where >=3.0 is needed"
    assert "hypothesis" not in checks  # only developers need it


def test_a_client_for_something_special_may_be_missing(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    known = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: (version if name == "ray" else known)(name)
    )
    ray = found(monkeypatch, {"_packages"})["ray"]
    assert ray["ok"]
    assert "pip install 'prognobench[ray]'" in ray["found"]


def test_a_broken_torch_is_told_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "prognobench.execution.environment", None)
    checks = found(monkeypatch, {"_machine", "_compressions"})
    assert not checks["machine"]["ok"]
    assert checks["machine"]["advice"]
    assert checks["DICOM in JPEG 2000"]["ok"]


def test_a_codec_that_is_missing_is_told(monkeypatch):
    from pydicom.pixels import decoders

    monkeypatch.setattr(decoders.JPEG2000Decoder, "_available", {})
    checks = found(monkeypatch, {"_compressions"})
    assert not checks["DICOM in JPEG 2000"]["ok"]
    assert "pylibjpeg-openjpeg" in checks["DICOM in JPEG 2000"]["advice"]
    assert checks["DICOM in JPEG"]["ok"]


def test_a_full_disk_is_told(monkeypatch):
    import shutil

    class Usage:
        free = 1e6

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    checks = found(monkeypatch, {"_machine", "_cache"})
    assert not checks["free disk here"]["ok"]
    assert not checks["cache"]["ok"]
    assert "PROGNOBENCH_CACHE" in checks["cache"]["advice"]
