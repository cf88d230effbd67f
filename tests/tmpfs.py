"""A file system of its own for a test that needs one full, read-only or gone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest


@contextlib.contextmanager
def mounted(place, *options):
    """Mount a new file system at a folder that is made; skips where that cannot be done."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a file system needs root on Linux")
    place.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", *options, "tmpfs", str(place)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["/bin/umount", "--lazy", place], check=True)
